"""Which experiments the catalog knows, and which of their data the store has."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import Connection, func, select

from bsv_store.catalog.database.engine import Database
from bsv_store.catalog.database.id_lists import id_in
from bsv_store.catalog.database.models import Experiment, UnionizeCoverage
from bsv_store.catalog.volumes import recorded_sizes
from bsv_store.errors import MissingDataError, UnknownExperimentError
from bsv_store.text import listed_ids, number_of
from bsv_store.vocabulary import UNIONIZE_PARTS, VolumeKind
from bsv_store.volumes.annotation import AnnotationFile
from bsv_store.volumes.files import StoreFiles
from bsv_store.volumes.library import VolumeFile


def known_experiments(database: Database, experiment_ids: Collection[int]) -> set[int]:
    """The ids that the catalog has, including withdrawn experiments."""
    with database.reading() as connection:
        query = select(Experiment.id).where(id_in(connection, Experiment.id, experiment_ids))
        return set(connection.execute(query).scalars())


def check_known(database: Database, experiment_ids: Collection[int]) -> None:
    """Check that the catalog has all of the experiments.

    Raises
    ------
    UnknownExperimentError
        If some are missing; the message names up to ten.
    """
    unknown = set(experiment_ids) - known_experiments(database, experiment_ids)
    if unknown:
        raise UnknownExperimentError(
            f"the catalog does not have {len(unknown)} of the experiments: {listed_ids(unknown)}",
            hint="Update the list of experiments: `bsv-store sync experiments`; or check the ids.",
        )


def has_complete_file(files: StoreFiles, file: VolumeFile | AnnotationFile) -> bool:
    """Whether a recorded file exists with the recorded size; if not, it must be downloaded again."""
    size_bytes = file.size_bytes if isinstance(file, AnnotationFile) else file.layout.size_bytes
    return _has_size(files, file.path, size_bytes)


def present_volumes(
    database: Database, files: StoreFiles, experiment_ids: Collection[int], *, kind: VolumeKind, spacing_um: int
) -> set[int]:
    """The experiments whose volume is recorded and has a file of the recorded size."""
    with database.reading() as connection:
        found = recorded_sizes(connection, sorted(experiment_ids), kind=kind, spacing_um=spacing_um)
    return {i for i, (path, size_bytes) in found.items() if _has_size(files, path, size_bytes)}


def _has_size(files: StoreFiles, path: str, size_bytes: int) -> bool:
    try:
        return files.path(path).stat().st_size == size_bytes
    except OSError:
        return False


def experiments_with_unionizes(connection: Connection, experiment_ids: Collection[int]) -> set[int]:
    """The experiments that have all parts of their unionize table in the store."""
    query = (
        select(UnionizeCoverage.experiment_id)
        .where(id_in(connection, UnionizeCoverage.experiment_id, experiment_ids))
        .group_by(UnionizeCoverage.experiment_id)
        .having(func.count() == len(UNIONIZE_PARTS))
    )
    return set(connection.execute(query).scalars())


def check_complete(what: str, missing: Sequence[int]) -> None:
    """Check that nothing is missing, for offline runs.

    Raises
    ------
    MissingDataError
        If something is missing; the message names up to ten experiments.
    """
    if missing:
        raise MissingDataError(
            f"the store does not have {what} of {number_of(len(missing), 'experiment')}, and cannot download offline: "
            f"{listed_ids(missing)}",
            hint="Run the command without offline mode to download them.",
        )
