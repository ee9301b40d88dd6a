"""From a recipe to a version of a dataset: the one that answered the same question before, or a new one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bsv_store.averaging.inputs import ALGORITHM_VERSION, Inputs, gather_inputs
from bsv_store.catalog.edits import current_user
from bsv_store.checkpoints import checkpoint
from bsv_store.datasets.answers import catalog_state, known_answer, record_answer, remember_answer
from bsv_store.datasets.compute import DamagedInputsError, compute, result_room
from bsv_store.datasets.records import NewVersion, experiments_of, groups_of
from bsv_store.datasets.refs import check_name
from bsv_store.datasets.result.file import check_result_size, result_path, software
from bsv_store.datasets.table import (
    add_version,
    by_fingerprint,
    read_version,
    refuse_case_twin,
    refuse_read_only,
    take_dataset,
)
from bsv_store.datasets.version import DatasetVersion

if TYPE_CHECKING:
    from bsv_store.averaging.recipe import Recipe
    from bsv_store.catalog.database.engine import Database
    from bsv_store.datasets.result.file import EncodedResult
    from bsv_store.datasets.workers import Executor
    from bsv_store.progress import Progress
    from bsv_store.volumes.files import StoreFiles


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
) -> DatasetVersion:
    """The version of a dataset that answers a recipe over what the store holds now.

    If the dataset has a version with the same recipe, groups, inputs and algorithm, that one is returned without
    opening a volume file; else the average is computed and becomes the next version.

    Parameters
    ----------
    database : Database
    files : StoreFiles
    recipe : Recipe
    name : str
        Of the dataset.
    created_by : str, optional
        Who to record; the user of this process by default.
    progress : Progress, optional
    executor : Executor, optional
        Of ``concurrent.futures``, or a client of Dask: does the passes over the volumes. The result is the same to the
        last bit.
    workers : int, optional
        Passes under way at a time, without an executor in so many processes: 1 by default, with an executor the number
        of processors here.

    Returns
    -------
    DatasetVersion
        Its ``was_computed`` says whether this call computed it.

    Raises
    ------
    InputError
        If a dataset cannot have that name.
    EmptySelectionError
        If no experiment is selected.
    UnknownStructureError, UnknownExperimentError, SelectionError, RecipeError
        If the recipe names what does not exist, or cannot be answered.
    MissingDataError
        If data are missing and the recipe does not leave such experiments out.
    DamagedFileError
        If a volume file is not what was published and the recipe does not leave such experiments out, or the result
        file of the version that answers is missing or cut.
    NoSpaceError, ReadOnlyStoreError, StoreError
        If the result cannot be written; nothing is stored then.
    """
    check_name(name)
    damaged: dict[int, str] = {}
    while True:
        found = _look_up(database, files, recipe, name, damaged)
        if isinstance(found, DatasetVersion):
            # Whoever reads it checks every byte; nobody should hear only then that it is gone.
            check_result_size(found.path, found.size_bytes, found.ref)
            return found
        inputs, state = found
        refuse_read_only(database, files)
        try:
            with result_room(files, recipe) as path:
                result = compute(files, inputs, progress, path=path, executor=executor, workers=workers)
                checkpoint("aggregate:computed")
                author = created_by or current_user()
                # With damage, the same recipe is first asked without it again.
                at_state = None if damaged else state
                return _stored(database, files, inputs, result, name=name, created_by=author, state=at_state)
        except DamagedInputsError as error:
            if _still_current(database, inputs, damaged, error):
                if recipe.missing == "error":
                    raise
                damaged.update(dict.fromkeys(error.damaged, _DAMAGED))
        except _VanishedError:
            # The same inputs give the same bytes again.
            continue


class _VanishedError(Exception):
    """A version with the same bytes was deleted since they were published, and they with it; no copy is left."""


# Without the path or the kind of damage: the same damage must give the same fingerprint the next time.
_DAMAGED = "its stored file is missing or damaged"


def _look_up(
    database: Database, files: StoreFiles, recipe: Recipe, name: str, damaged: dict[int, str]
) -> DatasetVersion | tuple[Inputs, int]:
    """The version that was made from the same inputs, or the inputs and the state of the catalog that has them."""
    with database.reading() as connection:
        refuse_case_twin(connection, name)
        state = catalog_state(connection)
        identifier = None if damaged else known_answer(connection, name, recipe, state)
        if identifier is not None:
            return read_version(connection, files, identifier)
        inputs = gather_inputs(connection, recipe, damaged=damaged)
        identifier = by_fingerprint(connection, name, inputs.fingerprint())
        if identifier is None:
            return inputs, state
        version = read_version(connection, files, identifier)
    if not damaged:
        remember_answer(database, identifier, state)
    return version


def _still_current(database: Database, inputs: Inputs, damaged: dict[int, str], error: DamagedInputsError) -> bool:
    """Whether the catalog still names the files that proved damaged; else somebody has just replaced them."""
    with database.reading() as connection:
        fresh = gather_inputs(connection, inputs.recipe, damaged=damaged)
    before = {member.experiment_id: member.files() for member in inputs.members}
    after = {member.experiment_id: member.files() for member in fresh.members}
    return all(before[identifier] == after.get(identifier) for identifier in error.damaged)


def _stored(
    database: Database,
    files: StoreFiles,
    inputs: Inputs,
    result: EncodedResult,
    *,
    name: str,
    created_by: str,
    state: int | None,
) -> DatasetVersion:
    """The result as a new version, or the version that somebody else made of the same inputs in the meantime."""
    path = result_path(name, inputs.fingerprint(), result.file_sha256)
    result.publish(files, path)
    checkpoint("aggregate:published")
    with database.writing() as connection:
        dataset = take_dataset(connection, name, created_by)
        earlier = by_fingerprint(connection, name, inputs.fingerprint())
        if earlier is None:
            if not files.path(path).exists():
                # A version with the same bytes was deleted since, and this file with it.
                if isinstance(result.content, Path):
                    raise _VanishedError
                result.publish(files, path)
            identifier = add_version(connection, dataset, _new_version(inputs, result, path, created_by))
            checkpoint("aggregate:inserted")
        else:
            identifier = earlier
        if state is not None:
            record_answer(connection, identifier, state)
        version = read_version(connection, files, identifier, was_computed=earlier is None)
    checkpoint("aggregate:committed")
    if version.relative_path != path:
        files.trash(path)
    return version


def _new_version(inputs: Inputs, result: EncodedResult, path: str, created_by: str) -> NewVersion:
    return NewVersion(
        recipe=inputs.recipe,
        fingerprint=inputs.fingerprint(),
        algorithm_version=ALGORITHM_VERSION,
        content_sha256=result.content_sha256,
        path=path,
        size_bytes=result.size_bytes,
        file_sha256=result.file_sha256,
        groups=groups_of(inputs),
        experiments=experiments_of(inputs),
        created_by=created_by,
        software=software(),
    )
