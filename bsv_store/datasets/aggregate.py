"""Compute an average as a version of a dataset, or find the version that already has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bsv_store.averaging.inputs import ALGORITHM_VERSION, Inputs, gather_inputs
from bsv_store.catalog.database.sqlite import long_run
from bsv_store.checkpoints import checkpoint
from bsv_store.datasets import locks, table
from bsv_store.datasets.answers import catalog_state, find_answer, try_record_answer
from bsv_store.datasets.compute import DamagedInputsError, compute, not_replaced
from bsv_store.datasets.groups import groups_of
from bsv_store.datasets.new_version import NewVersion
from bsv_store.datasets.publish import VanishedError
from bsv_store.datasets.publisher import Publisher, StorePublisher
from bsv_store.datasets.recorded_rows import has_fingerprint, require_inputs
from bsv_store.datasets.refs import check_name
from bsv_store.datasets.result.contents import software
from bsv_store.datasets.result.file import check_result_size
from bsv_store.datasets.version import DatasetVersion
from bsv_store.datasets.workers import checked_workers
from bsv_store.owner import current_user

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from bsv_store.averaging.recipe import Recipe
    from bsv_store.catalog.database.engine import Database
    from bsv_store.datasets.workers import Executor
    from bsv_store.progress import Progress
    from bsv_store.volumes.files import StoreFiles


@long_run()
def aggregate(
    database: Database,
    files: StoreFiles,
    recipe: Recipe,
    *,
    name: str,
    created_by: str | None = None,
    progress: Progress | None = None,
    executor: Executor | None = None,
    workers: int | None = None,
    replace_damaged: Callable[[Collection[int]], Mapping[int, str]] | None = None,
    publisher: Publisher | None = None,
) -> DatasetVersion:
    """The version of a dataset with the recipe's average in the current state of the store; see `Store.aggregate`.

    If the dataset has a version with the same recipe, groups, inputs and algorithm, it is returned without opening a
    volume file. Otherwise the average is computed and becomes the next version. An unchecked imported version is never
    returned without computing the average. If the result is the same, the imported version becomes checked and is
    returned; otherwise both versions exist, see `DatasetVersion.twins`.

    Parameters
    ----------
    created_by : str, optional
        The user to record; by default the current user.
    replace_damaged : callable, optional
        Called with the experiments whose volume files are damaged, at most once for each. It replaces the files and
        returns the reasons for those that it could not replace.
    publisher : Publisher, optional
        Keeps the result; by default as the next version of the dataset in the store.

    Raises
    ------
    InputError
        If the name is not valid.
    EmptySelectionError
        If no experiment is selected.
    UnknownStructureError, UnknownExperimentError, SelectionError, RecipeError
        If the recipe names something that does not exist, or has no result.
    MissingDataError
        If data are missing and the recipe does not leave such experiments out.
    DamagedCatalogError
        If rows that the average is computed from, or the rows of the existing version, are damaged.
    DamagedFileError
        If a volume file is damaged, even if the recipe leaves out experiments without a volume; or if the result file
        of the existing version is missing or truncated.
    NoSpaceError, ReadOnlyStoreError, StoreError
        If the result cannot be written. Nothing is stored then.
    """
    check_name(name)
    # Checked even if nothing needs to be computed.
    checked_workers(workers, executor)
    replaced: set[int] = set()
    target = publisher or StorePublisher(database, files)
    while True:
        found = _look_up(database, files, recipe, name)
        if isinstance(found, DatasetVersion):
            if publisher is None:
                # Every byte is checked when the file is read, but a missing file should be reported now.
                check_result_size(found.path, found.size_bytes, found.ref)
            return found
        inputs, state = found
        kept = target.find(name, inputs.fingerprint())
        if kept is not None:
            return kept
        try:
            with target.computing(inputs, progress) as path:
                result = compute(files, inputs, progress, path=path, executor=executor, workers=workers)
                checkpoint("aggregate:computed")
                return target.publish(new_version(inputs, created_by or current_user()), result, name=name, state=state)
        except DamagedInputsError as error:
            if _still_current(database, inputs, error):
                if replace_damaged is None or not error.damaged.keys().isdisjoint(replaced):
                    raise
                replaced |= error.damaged.keys()
                if reasons := replace_damaged(sorted(error.damaged)):
                    raise not_replaced(error, reasons) from error
        except VanishedError:
            # The same inputs give the same bytes again.
            continue


def _look_up(database: Database, files: StoreFiles, recipe: Recipe, name: str) -> DatasetVersion | tuple[Inputs, int]:
    """The version that has the same inputs; else the inputs and the state of the catalog."""
    with database.reading() as connection:
        locks.refuse_case_twin(connection, name)
        state = catalog_state(connection)
        identifier = find_answer(connection, name, recipe, state)
        if identifier is not None:
            version = table.read_version(database, connection, files, identifier)
            # A flipped bit can turn a recipe into another valid one.
            if has_fingerprint(version):
                return version
        inputs = gather_inputs(connection, recipe)
        identifier = table.by_fingerprint(connection, name, inputs.fingerprint())
        if identifier is None:
            return inputs, state
        version = table.read_version(database, connection, files, identifier)
        require_inputs(version, inputs)
    try_record_answer(database, identifier, state)
    return version


def _still_current(database: Database, inputs: Inputs, error: DamagedInputsError) -> bool:
    """Whether the catalog still refers to the damaged files; otherwise another process has just replaced them."""
    with database.reading() as connection:
        fresh = gather_inputs(connection, inputs.recipe)
    before = {member.experiment_id: member.files() for member in inputs.members}
    after = {member.experiment_id: member.files() for member in fresh.members}
    return all(before[identifier] == after.get(identifier) for identifier in error.damaged)


def new_version(inputs: Inputs, created_by: str) -> NewVersion:
    """The version of a result that was computed here from these inputs."""
    return NewVersion(
        recipe=inputs.recipe,
        fingerprint=inputs.fingerprint(),
        algorithm_version=ALGORITHM_VERSION,
        groups=groups_of(inputs),
        experiments=inputs.experiments(),
        created_by=created_by,
        software=software(),
    )
