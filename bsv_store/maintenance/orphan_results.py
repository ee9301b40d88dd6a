"""Recording result files without a row as versions, as after a database was restored from an older copy.

A result file contains its recipe and its inputs. It is not trusted: the result is computed again from these inputs, and
recorded if it is the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from bsv_store.averaging.inputs import ALGORITHM_VERSION
from bsv_store.averaging.recorded import fingerprint_of
from bsv_store.catalog.database.models import Dataset, DatasetVersion, Experiment
from bsv_store.catalog.volume_use import record_use
from bsv_store.datasets.aggregate import new_version
from bsv_store.datasets.compute import compute, temporary_result
from bsv_store.datasets.original_inputs import inputs_with_files
from bsv_store.datasets.publish import VanishedError, publish
from bsv_store.datasets.result.content_hash import arrays_without_groups, content_hash, slab_planes
from bsv_store.datasets.result.slabs import TABLE
from bsv_store.datasets.share.bundle_schema import check_structure, read_inputs
from bsv_store.errors import DamagedFileError, InputError, MissingDataError, NotReproducibleError
from bsv_store.maintenance.trash import read_trash
from bsv_store.owner import current_user
from bsv_store.text import listed_ids
from bsv_store.volumes.hdf5 import opened_hdf5
from bsv_store.volumes.hdf5_limits import HDF5_ERRORS
from bsv_store.volumes.hdf5_probe import try_to_read

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection

    from bsv_store.averaging.recorded import RecordedInputs
    from bsv_store.catalog.database.engine import Database
    from bsv_store.datasets.version import DatasetVersion as Version
    from bsv_store.progress import Progress
    from bsv_store.volumes.files import StoreFiles

# The digits of a fingerprint in the name of a result file.
_DIGITS = 16


def result_key(name: str, fingerprint: str) -> str:
    """The key of a result file without a row, given the start of its fingerprint."""
    return f"result/{name}/{fingerprint[:_DIGITS]}"


def recorded_results(connection: Connection) -> set[str]:
    """The keys of the results that versions have."""
    query = select(Dataset.name, DatasetVersion.fingerprint).join(
        Dataset.__table__, Dataset.id == DatasetVersion.dataset_id
    )
    return {result_key(name, fingerprint) for name, fingerprint in connection.execute(query)}


def record_result(database: Database, files: StoreFiles, relative: str, *, progress: Progress) -> Version:
    """Compute the result of a file again from the inputs in it, and record it as a version of its dataset.

    The version gets the number that the folder has recorded for it if that is the highest one, otherwise the next.

    Parameters
    ----------
    relative : str
        Path of the file: ``datasets/NAME/FINGERPRINT.HASH.nc``.

    Raises
    ------
    DamagedFileError, FormatError, FrameError
        If the file is not the result of the inputs in it.
    InputError
        If its version was deleted.
    MissingDataError
        If volumes, unionize rows or experiments that it was computed from are not in the store, or were replaced.
    NotReproducibleError
        If the computed result differs from the file.
    """
    _, name, file_name = relative.split("/")
    recorded, fingerprint, content_sha256 = _content(files.path(relative))
    if not file_name.startswith(fingerprint[:_DIGITS]):
        raise DamagedFileError("the inputs in the file do not have the fingerprint in its name")
    _refuse_deleted(files, name, fingerprint)
    if recorded.algorithm_version != ALGORITHM_VERSION:
        raise NotReproducibleError(
            f"it was computed with version {recorded.algorithm_version} of the algorithm; this release uses another one"
        )
    while True:
        with database.reading() as connection:
            _require_experiments(connection, recorded)
            inputs = inputs_with_files(connection, recorded)
        record_use(database, inputs.files())
        with temporary_result(files, inputs.recipe) as path:
            result = compute(files, inputs, progress, path=path)
            if not result.has_content(inputs.recipe, content_sha256):
                raise NotReproducibleError("computed again from the same inputs, the result differs from the file")
            try:
                return publish(database, files, new_version(inputs, current_user()), result, name=name)
            except VanishedError:
                # The same inputs give the same bytes again.
                continue


def _content(path: Path) -> tuple[RecordedInputs, str, str]:
    """The inputs in a result file, their fingerprint, and the hash of its arrays."""
    try:
        # No row has its hash.
        try_to_read(path)
        with path.open("rb") as stream, opened_hdf5(stream, what="the file") as file:
            text, inputs = read_inputs(file, path)
            check_structure(file, inputs, path)
            recipe = inputs.recipe
            planes = slab_planes(recipe) if TABLE in file else None
            content_sha256 = content_hash(file, recipe.statistics, arrays_without_groups(recipe), slab_planes=planes)
            return inputs, fingerprint_of(text), content_sha256
    except HDF5_ERRORS as error:
        raise DamagedFileError(f"the file cannot be decoded: {error}") from error


def _refuse_deleted(files: StoreFiles, name: str, fingerprint: str) -> None:
    """Refuse a result whose version was deleted by a process that was killed before it moved the file."""
    records, _ = read_trash(files)
    for record in records.values():
        rows = record.rows or {}
        if (rows.get("name"), rows.get("fingerprint")) == (name, fingerprint):
            ref = f"{name}@{rows['number']}"
            raise InputError(f"the version {ref} was deleted", hint=f"Restore it: bsv-store untrash {ref}")


def _require_experiments(connection: Connection, recorded: RecordedInputs) -> None:
    known = set(connection.scalars(select(Experiment.id)))
    if unknown := sorted({each.experiment_id for each in recorded.members} - known):
        raise MissingDataError(
            f"the catalog does not have the experiments {listed_ids(unknown)}",
            hint="Update the list: bsv-store sync experiments",
        )
