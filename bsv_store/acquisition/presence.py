"""Which experiments the catalog knows, and which of their data the store has."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice

from sqlalchemy import Connection, func, select

from bsv_store.catalog.database.engine import Database
from bsv_store.catalog.database.id_lists import id_in
from bsv_store.catalog.database.models import Experiment, UnionizeCoverage, Verification
from bsv_store.catalog.volumes import find_volumes, recorded_sizes, volume_prefix
from bsv_store.errors import DamagedFileError, MissingDataError, UnknownExperimentError
from bsv_store.progress import NO_PROGRESS, Progress
from bsv_store.text import listed_ids, number_of
from bsv_store.vocabulary import UNIONIZE_PARTS, FindingKind, VolumeKind
from bsv_store.volumes.annotation import AnnotationFile
from bsv_store.volumes.files import StoreFiles
from bsv_store.volumes.library import VolumeFile
from bsv_store.volumes.template import TemplateFile


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


def has_complete_file(files: StoreFiles, file: VolumeFile | AnnotationFile | TemplateFile) -> bool:
    """Whether a recorded file exists with the recorded size; if not, it must be downloaded again."""
    size_bytes = file.layout.size_bytes if isinstance(file, VolumeFile) else file.size_bytes
    return _has_size(files, file.path, size_bytes)


def has_intact_file(files: StoreFiles, file: VolumeFile | AnnotationFile | TemplateFile) -> bool:
    """Whether a recorded file exists with the recorded bytes. It is read."""
    record = file.layout if isinstance(file, VolumeFile) else file
    try:
        with files.opened(file.path, size_bytes=record.size_bytes, xxh3=record.file_xxh3):
            return True
    except DamagedFileError:
        return False


def present_volumes(
    database: Database, files: StoreFiles, experiment_ids: Collection[int], *, kind: VolumeKind, spacing_um: int
) -> set[int]:
    """The experiments whose volume is recorded and has a file of the recorded size."""
    with database.reading() as connection:
        found = recorded_sizes(connection, sorted(experiment_ids), kind=kind, spacing_um=spacing_um)
    return {i for i, (path, size_bytes) in found.items() if _has_size(files, path, size_bytes)}


def damaged_volumes(
    database: Database,
    files: StoreFiles,
    experiment_ids: Collection[int],
    *,
    kind: VolumeKind,
    spacing_um: int,
    verify: bool = False,
    workers: int = 4,
    progress: Progress = NO_PROGRESS,
) -> tuple[VolumeFile, ...]:
    """The recorded volumes of these experiments whose file is damaged, ascending by experiment.

    Parameters
    ----------
    verify : bool
        Read and hash every file. By default only missing files, those of another size, and those in which
        ``Store.admin.verify`` found damage that is still there are found.
    workers : int
        Number of files that are read at a time.
    progress : Progress
        Of the hashing.
    """
    ids = sorted(experiment_ids)
    with database.reading() as connection:
        sizes = recorded_sizes(connection, ids, kind=kind, spacing_um=spacing_um)
        if verify:
            incomplete, suspects = [], list(sizes)
        else:
            incomplete = [i for i, (path, size) in sizes.items() if not _has_size(files, path, size)]
            suspects = sorted(_found_damaged(connection, kind, spacing_um) & sizes.keys() - set(incomplete))
        wanted = incomplete + suspects
        found = find_volumes(connection, wanted, kind=kind, spacing_um=spacing_um) if wanted else {}
    damaged = [found[i] for i in incomplete if i in found]
    if suspects:
        damaged += _changed(files, [found[i] for i in suspects if i in found], workers, progress)
    return tuple(sorted(damaged, key=lambda file: file.experiment_id))


def _found_damaged(connection: Connection, kind: VolumeKind, spacing_um: int) -> set[int]:
    """The experiments whose file had other bytes when it was last verified at some depth."""
    prefix = volume_prefix(kind=kind, spacing_um=spacing_um)
    query = select(Verification.object_key).where(
        Verification.object_key.startswith(prefix, autoescape=True), Verification.outcome == _OTHER_BYTES
    )
    ids = (key.removeprefix(prefix) for key in connection.scalars(query).all())
    return {int(each) for each in ids if each.isdecimal()}


# Downloading a file again is no remedy for the other findings, such as wrong permissions.
_OTHER_BYTES: FindingKind = "damaged_file"
# Files that wait for each thread: enough to keep it busy, few enough that an interrupt is not delayed.
_QUEUED_PER_WORKER = 4


def _changed(files: StoreFiles, recorded: Iterable[VolumeFile], workers: int, progress: Progress) -> list[VolumeFile]:
    """The files whose bytes are not those that were published."""
    waiting = list(recorded)
    progress.start(len(waiting), "verifying volumes")
    rest = iter(waiting)
    running: dict[Future[bool], VolumeFile] = {}
    changed = []
    pool = ThreadPoolExecutor(workers, thread_name_prefix="bsv-store-verify")
    try:
        while True:
            for file in islice(rest, _QUEUED_PER_WORKER * workers - len(running)):
                running[pool.submit(has_intact_file, files, file)] = file
            if not running:
                break
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                file = running.pop(future)
                if not future.result():
                    changed.append(file)
                progress.advance(size_bytes=file.layout.size_bytes)
    finally:
        pool.shutdown(cancel_futures=True)
        progress.finish()
    return sorted(changed, key=lambda file: file.experiment_id)


def _has_size(files: StoreFiles, path: str, size_bytes: int) -> bool:
    return files.size_bytes(path) == size_bytes


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
