"""Rebuilding a version from its recorded inputs, to verify it or to restore a damaged file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bsv_store.catalog.activity import record_activity
from bsv_store.catalog.database.sqlite import long_run
from bsv_store.catalog.unused_files import keep_files, trash_unused
from bsv_store.catalog.verifications import forget_verifications
from bsv_store.catalog.volume_use import record_use
from bsv_store.checkpoints import checkpoint
from bsv_store.datasets.compute import DamagedInputsError, compute, temporary_result
from bsv_store.datasets.history.checks import FileState, NewCheck
from bsv_store.datasets.history.compare import GroupPlanes, MapPlanes, Planes, voxel_difference
from bsv_store.datasets.history.structures import value_differences
from bsv_store.datasets.original_inputs import content_of_file, original_inputs
from bsv_store.datasets.publish import require_writable
from bsv_store.datasets.refs import parse_ref, version_key
from bsv_store.datasets.result.content_hash import arrays_without_groups
from bsv_store.datasets.result.contents import software
from bsv_store.datasets.result.file import EncodedResult, result_path
from bsv_store.datasets.table import add_check, find_version, replace_file, version_id
from bsv_store.datasets.version import DatasetVersion
from bsv_store.datasets.workers import checked_workers
from bsv_store.errors import MissingDataError, ReadOnlyStoreError, StoreError
from bsv_store.html import card
from bsv_store.owner import current_user
from bsv_store.text import listed_ids
from bsv_store.volumes.grid import Grid
from bsv_store.volumes.hdf5 import opened_hdf5

if TYPE_CHECKING:
    import h5py
    from sqlalchemy import Connection

    from bsv_store.averaging.recipe import Recipe
    from bsv_store.catalog.database.engine import Database
    from bsv_store.datasets.workers import Executor
    from bsv_store.progress import Progress
    from bsv_store.volumes.files import StoreFiles


@dataclass(frozen=True, slots=True)
class RebuildReport:
    """Result of rebuilding a version.

    Attributes
    ----------
    ref : str
    file_state : {'intact', 'damaged'}
        Of the stored result before; 'damaged' includes missing.
    is_identical : bool
        Whether all arrays are identical.
    largest_difference : float or None
        Largest absolute difference of a mean or map, each in its unit; None if the stored result cannot be read.
    voxels : int or None
        Number of voxels of all groups whose mean differs, and of all maps that differ.
    was_restored : bool
        Whether a damaged file was replaced by an identical one.
    was_recorded : bool
        Whether it was recorded in the version's ``checks``; False if the store cannot be written.
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

    def _repr_html_(self) -> str:
        facts = [
            ("Result", "identical" if self.is_identical else "different"),
            ("File before", f"{self.file_state}{', restored' if self.was_restored else ''}"),
            ("Different voxels", None if self.is_identical or self.voxels is None else f"{self.voxels:,}"),
            ("Largest difference", None if self.is_identical else self.largest_difference),
            ("Recorded", "yes" if self.was_recorded else "no"),
            ("Software then", self.software_then),
            ("Software now", self.software_now),
        ]
        return card(self.ref, kind="computed again", facts=facts)


@long_run()
def rebuild_version(
    database: Database,
    files: StoreFiles,
    ref: str | DatasetVersion,
    *,
    check_only: bool = False,
    checked_by: str | None = None,
    progress: Progress | None = None,
    executor: Executor | None = None,
    workers: int | None = None,
) -> RebuildReport:
    """Rebuild a version; see `Datasets.rebuild`.

    Parameters
    ----------
    ref : str or DatasetVersion
        A `DatasetVersion` only if it was computed on this computer and is not in the catalog.
    check_only : bool
        Do not replace a damaged file. Works with a store that is open read-only, where nothing is recorded.
    checked_by : str, optional
        The user to record; by default the current user.

    Raises
    ------
    UnknownDatasetError
        If the store does not have the version, or another process deletes it meanwhile.
    StoreError
        If another process replaces it meanwhile.
    MissingDataError
        If volumes that the version was computed from are not in the store.
    DamagedFileError
        If volumes that the version was computed from are damaged.
    """
    checked_workers(workers, executor)
    if not check_only:
        require_writable(database, files)
    version = ref if isinstance(ref, DatasetVersion) else find_version(database, files, ref)
    user = checked_by or current_user()
    content = content_of_file(version)
    state: FileState = "damaged" if content is None else "intact"
    try:
        with database.reading() as connection:
            inputs = original_inputs(connection, version, content)
        record_use(database, inputs.files())
        with temporary_result(files, inputs.recipe, in_store=not check_only) as path:
            result = compute(files, inputs, progress, path=path, executor=executor, workers=workers)
            checkpoint("rebuild:computed")
            check = compared(version, result, state)
            # The file contains the fingerprint, so the inputs must have the same one.
            if (
                check.outcome == "identical"
                and content is None
                and not check_only
                and inputs.fingerprint() == version.fingerprint
            ):
                _restore(database, files, version, result)
                check = replace(check, was_restored=True)
    except (MissingDataError, DamagedInputsError) as error:
        _record(database, version, failed_check(error, state), user)
        raise
    recorded = _record(database, version, check, user)
    return RebuildReport(
        version.ref,
        state,
        check.outcome == "identical",
        check.largest_difference,
        check.voxels,
        check.was_restored,
        recorded,
        version.software,
        check.software,
    )


def compared(version: DatasetVersion, result: EncodedResult, state: FileState | None = None) -> NewCheck:
    """Compare a version with a result recomputed from its inputs.

    Parameters
    ----------
    state : {'intact', 'damaged'}, optional
        State of the version's file; by default the file is checked.
    """
    if state is None:
        state = "damaged" if content_of_file(version) is None else "intact"
    identical = result.has_content(version.recipe, version.content_sha256)
    largest: float | None = 0.0 if identical else None
    voxels: int | None = 0 if identical else None
    if not identical and state == "intact":
        with (
            version.open() as stored,
            result.open() as stream,
            opened_hdf5(stream, what="the recomputed result") as computed,
        ):
            largest, voxels = difference(stored, computed, version.recipe, len(version.groups))
    return NewCheck(
        software=software(),
        outcome="identical" if identical else "different",
        file_state=state,
        largest_difference=largest,
        voxels=voxels,
    )


def difference(first: h5py.File, second: h5py.File, recipe: Recipe, groups: int) -> tuple[float, int]:
    """The largest difference of the means and maps in two open result files, and the number of voxels that differ.

    Of comparisons by structure, the largest difference and number of all values; infinite if only one has a value.
    """
    largest, voxels = 0.0, 0
    for name in () if recipe.has_voxels else arrays_without_groups(recipe):
        one_by_one = value_differences(first[name][:], second[name][:])
        largest, voxels = max(largest, float(one_by_one.max())), voxels + int(np.count_nonzero(one_by_one))
    pairs: list[tuple[Planes, Planes]] = [
        *(
            (GroupPlanes(first, number), GroupPlanes(second, number))
            for number in range(groups if recipe.has_voxels else 0)
        ),
        *((MapPlanes(first, name), MapPlanes(second, name)) for name in recipe.maps),
    ]
    for one, other in pairs:
        found = voxel_difference(one, other, Grid(recipe.spacing_um))
        largest, voxels = max(largest, found.largest), voxels + found.voxels
    return largest, voxels


def failed_check(error: MissingDataError | DamagedInputsError, state: FileState) -> NewCheck:
    """The record of a check that was impossible because inputs are missing or damaged."""
    if isinstance(error, MissingDataError):
        return NewCheck(software=software(), outcome="inputs missing", file_state=state, note=error.message)
    # The message would name a path on this machine.
    note = f"volumes of {listed_ids(error.damaged)} are missing or damaged"
    return NewCheck(software=software(), outcome="inputs damaged", file_state=state, note=note)


def _record(database: Database, version: DatasetVersion, check: NewCheck, checked_by: str) -> bool:
    if database.read_only:
        return False
    try:
        with database.writing() as connection:
            is_there = add_check(connection, version, check, checked_by=checked_by)
            if not is_there:
                raise _changed(connection, version)
            details = {"result": check.outcome, "file": check.file_state}
            record_activity(connection, "verified", version.ref, details)
    except ReadOnlyStoreError:
        # Verifying a version does not require write access.
        return False
    checkpoint("rebuild:checked")
    return True


def _changed(connection: Connection, version: DatasetVersion) -> StoreError:
    """The error for a version that is not the one that was read.

    Raises
    ------
    UnknownDatasetError
        If another process has deleted it.
    """
    version_id(connection, parse_ref(version.ref))
    return StoreError(f"another process has replaced {version.ref}", hint="Run the command again.")


def _restore(database: Database, files: StoreFiles, version: DatasetVersion, result: EncodedResult) -> None:
    """Publish the file again. Other software may write the arrays as different bytes, so the row is updated too."""
    path = result_path(version.name, version.fingerprint, result.file_sha256)
    result.publish(files, path)
    checkpoint("rebuild:published")
    with database.writing() as connection:
        keep_files(connection)
        # A temporary file was moved, so it can be published only once.
        if not files.path(path).exists():
            if isinstance(result.content, Path):
                raise StoreError(f"{path} was removed by another process", hint="Run the command again.")
            result.publish(files, path)
        if not replace_file(connection, version, result, path):
            raise _changed(connection, version)
        forget_verifications(connection, [version_key(version.name, version.number)])
        record_activity(connection, "repaired", version.ref, {"replaced": "the result file"})
        checkpoint("rebuild:recorded")
    if path != version.relative_path:
        trash_unused(database, files, [version.relative_path], "replaced")
