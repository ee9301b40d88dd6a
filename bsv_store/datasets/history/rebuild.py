"""Computing a version again from the recorded inputs.

Does it come out the same, and can a damaged file be restored?
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import select, update

from bsv_store.catalog.database.models import Dataset
from bsv_store.catalog.database.models import DatasetVersion as VersionRow
from bsv_store.catalog.edits import current_user
from bsv_store.checkpoints import checkpoint
from bsv_store.datasets.compute import DamagedInputsError, compute, result_room
from bsv_store.datasets.history.checks import FileState, NewCheck, record_check
from bsv_store.datasets.history.compare import GroupPlanes, voxel_difference
from bsv_store.datasets.recorded import recorded_content, recorded_inputs
from bsv_store.datasets.result.file import EncodedResult, result_path, software
from bsv_store.datasets.table import find_version, refuse_read_only
from bsv_store.errors import MissingDataError, ReadOnlyStoreError, StoreError
from bsv_store.text import listed_ids

if TYPE_CHECKING:
    from bsv_store.catalog.database.engine import Database
    from bsv_store.datasets.version import DatasetVersion
    from bsv_store.datasets.workers import Executor
    from bsv_store.progress import Progress
    from bsv_store.volumes.files import StoreFiles


@dataclass(frozen=True, slots=True)
class RebuildReport:
    """What computing a version again gave.

    Attributes
    ----------
    ref : str
    file_state : {'intact', 'damaged'}
        Of the stored result before; 'damaged' includes missing.
    is_identical : bool
        Whether every array came out the same to the last bit.
    largest_difference : float or None
        Largest absolute difference of a mean, in the unit of the mean; None if the stored result cannot be read.
    voxels : int or None
        Voxels of all groups whose mean differs.
    was_restored : bool
        Whether a damaged file was replaced by an identical one.
    was_recorded : bool
        Whether this is among the version's ``checks`` now; False where the store is open read-only.
    software_then, software_now : str
    """

    ref: str
    file_state: FileState
    is_identical: bool
    largest_difference: float | None
    voxels: int | None
    was_restored: bool
    was_recorded: bool
    software_then: str
    software_now: str


def rebuild_version(
    database: Database,
    files: StoreFiles,
    ref: str,
    *,
    check_only: bool = False,
    checked_by: str | None = None,
    progress: Progress | None = None,
    executor: Executor | None = None,
    workers: int | None = None,
) -> RebuildReport:
    """What computing a version again from its recorded inputs gives.

    A damaged result file is replaced if the arrays come out the same to the last bit; an intact one never is. What came
    of it is recorded among the version's checks, also where inputs are missing.

    Parameters
    ----------
    ref : str
        ``name``, ``name@3``, ``name@latest`` or ``name@tag``.
    check_only : bool
        Leave the file as it is. Works on a store that is open read-only too, where nothing is recorded.
    checked_by : str, optional
        Who to record; the user of this process by default.
    progress : Progress, optional
    executor, workers
        Who computes, as of `bsv_store.datasets.aggregate.aggregate`: it does not change a bit.

    Raises
    ------
    UnknownDatasetError
        If the store does not have the version.
    MissingDataError
        If volumes that went in are no longer in the store.
    DamagedFileError
        If volumes that went in are damaged.
    """
    if not check_only:
        refuse_read_only(database, files)
    version = find_version(database, files, ref)
    user = checked_by or current_user()
    content = recorded_content(version)
    state: FileState = "damaged" if content is None else "intact"
    try:
        with database.reading() as connection:
            inputs = recorded_inputs(connection, version, content)
        with result_room(files, inputs.recipe, in_store=not check_only) as room:
            options: dict[str, Any] = {"executor": executor, "workers": workers, "can_leave_out": False}
            result = compute(files, inputs, progress, path=room, **options)
            checkpoint("rebuild:computed")
            identical = result.content_sha256 == version.content_sha256
            largest: float | None = 0.0 if identical else None
            voxels: int | None = 0 if identical else None
            if not identical and content is not None:
                largest, voxels = _difference(version, result)
            # The file carries the fingerprint: only inputs that have the very same one may stand in it.
            restored = identical and content is None and not check_only and inputs.fingerprint() == version.fingerprint
            if restored:
                _restore(database, files, version, result)
    except (MissingDataError, DamagedInputsError) as error:
        _record(database, version, _failure(error, state), user)
        raise
    check = NewCheck(
        software=software(),
        outcome="identical" if identical else "different",
        file_state=state,
        largest_difference=largest,
        voxels=voxels,
        was_restored=restored,
    )
    recorded = _record(database, version, check, user)
    return RebuildReport(
        version.ref, state, identical, largest, voxels, restored, recorded, version.software, check.software
    )


def _failure(error: MissingDataError | DamagedInputsError, state: FileState) -> NewCheck:
    if isinstance(error, MissingDataError):
        return NewCheck(software=software(), outcome="inputs missing", file_state=state, note=error.message)
    # Not the message, which names a path on this machine.
    note = f"volumes of {listed_ids(error.damaged)} are missing or damaged"
    return NewCheck(software=software(), outcome="inputs damaged", file_state=state, note=note)


def _record(database: Database, version: DatasetVersion, check: NewCheck, checked_by: str) -> bool:
    if database.read_only:
        return False
    try:
        record_check(database, version, check, checked_by=checked_by)
    except ReadOnlyStoreError:
        # Who may only read the store shall be able to check what is cited all the same.
        return False
    return True


def _difference(version: DatasetVersion, result: EncodedResult) -> tuple[float, int]:
    """Largest difference of a mean, and number of voxels that differ."""
    import h5py

    largest, voxels = 0.0, 0
    with version.open() as stored, result.open() as stream, h5py.File(stream, "r") as computed:
        for group in version.groups:
            pair = GroupPlanes(stored, group.number), GroupPlanes(computed, group.number)
            difference = voxel_difference(*pair, version.grid)
            largest, voxels = max(largest, difference.largest), voxels + difference.voxels
    return largest, voxels


def _restore(database: Database, files: StoreFiles, version: DatasetVersion, result: EncodedResult) -> None:
    """Publish the file again. Another release may pack the same arrays into other bytes: then the row follows."""
    path = result_path(version.name, version.fingerprint, result.file_sha256)
    result.publish(files, path)
    checkpoint("rebuild:published")
    with database.writing() as connection:
        connection.execute(select(Dataset.id).where(Dataset.name == version.name).with_for_update())
        values = {"path": path, "size_bytes": result.size_bytes, "file_sha256": result.file_sha256}
        mine = VersionRow.fingerprint == version.fingerprint, VersionRow.path == version.relative_path
        if connection.execute(update(VersionRow).where(*mine).values(values)).rowcount != 1:
            raise StoreError(f"{version.ref} was deleted or restored by somebody else in the meantime")
        checkpoint("rebuild:recorded")
    if path != version.relative_path:
        files.trash(version.relative_path)
