"""What is known and what is there, asked before any work: nobody should wait to learn of a slip of the pen."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import Connection, func, select

from bsv_store.catalog.database.engine import Database
from bsv_store.catalog.database.id_lists import id_in
from bsv_store.catalog.database.models import Experiment, UnionizeCoverage
from bsv_store.catalog.volumes import recorded_sizes
from bsv_store.errors import MissingDataError, UnknownExperimentError
from bsv_store.text import listed_ids, number_of
from bsv_store.vocabulary import VolumeKind
from bsv_store.volumes.annotation import AnnotationFile
from bsv_store.volumes.files import StoreFiles
from bsv_store.volumes.library import VolumeFile

_HALVES = 2


def known_experiments(database: Database, experiment_ids: Collection[int]) -> set[int]:
    """Those of the ids that the catalog has, withdrawn ones included."""
    with database.reading() as connection:
        query = select(Experiment.id).where(id_in(connection, Experiment.id, experiment_ids))
        return set(connection.execute(query).scalars())


def check_known(database: Database, experiment_ids: Collection[int]) -> None:
    """Accept the experiments if the catalog has them all.

    Raises
    ------
    UnknownExperimentError
        That names up to ten of those that it has not.
    """
    unknown = set(experiment_ids) - known_experiments(database, experiment_ids)
    if unknown:
        raise UnknownExperimentError(
            f"the catalog does not have {len(unknown)} of the experiments: {listed_ids(unknown)}",
            hint="Bring the list up to date with `bsv-store sync experiments`, or check the ids.",
        )


def has_its_size(files: StoreFiles, file: VolumeFile | AnnotationFile) -> bool:
    """Whether what is recorded has a file of the recorded size: what is missing or cut is to be brought again."""
    size_bytes = file.size_bytes if isinstance(file, AnnotationFile) else file.layout.size_bytes
    return _is_there(files, file.path, size_bytes)


def present_volumes(
    database: Database, files: StoreFiles, experiment_ids: Collection[int], *, kind: VolumeKind, spacing_um: int
) -> set[int]:
    """Those of the experiments whose volume is recorded and has a file of the recorded size."""
    with database.reading() as connection:
        found = recorded_sizes(connection, sorted(experiment_ids), kind=kind, spacing_um=spacing_um)
    return {i for i, (path, size_bytes) in found.items() if _is_there(files, path, size_bytes)}


def _is_there(files: StoreFiles, path: str, size_bytes: int) -> bool:
    try:
        return files.path(path).stat().st_size == size_bytes
    except OSError:
        return False


def covered_experiments(connection: Connection, experiment_ids: Collection[int]) -> set[int]:
    """Those of the experiments of whose unionize tables both halves are in the store."""
    query = (
        select(UnionizeCoverage.experiment_id)
        .where(id_in(connection, UnionizeCoverage.experiment_id, experiment_ids))
        .group_by(UnionizeCoverage.experiment_id)
        .having(func.count() == _HALVES)
    )
    return set(connection.execute(query).scalars())


def refuse_missing(what: str, missing: Sequence[int]) -> None:
    """Accept that nobody can be asked if nothing is missing.

    Raises
    ------
    MissingDataError
        That names up to ten of the missing.
    """
    if missing:
        raise MissingDataError(
            f"the store lacks {what} of {number_of(len(missing), 'experiment')}, and is used offline: "
            f"{listed_ids(missing)}",
            hint="Run the same without being offline, when there is a network.",
        )
