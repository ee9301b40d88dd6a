"""Operations on stores that need not be open: restore, move and attach; and on backup targets."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from bsv_store import check
from bsv_store.config import locate_store, read_located_config
from bsv_store.maintenance.attach import AttachReport, attach_folder
from bsv_store.progress import Progress, do_nothing, shown_progress
from bsv_store.store.connection import connect

if TYPE_CHECKING:
    from bsv_store.maintenance.backup.check import BackupCheck
    from bsv_store.maintenance.backup.manifest import Snapshot
    from bsv_store.maintenance.backup.prune import PruneReport
    from bsv_store.maintenance.backup.restore import RestoreReport
    from bsv_store.maintenance.move import MoveReport

BackupTarget = str | os.PathLike[str]


def list_backups(target: BackupTarget) -> tuple[list[Snapshot], list[str]]:
    """The snapshots in a backup target.

    Parameters
    ----------
    target : path or str
        A folder, or a URL of fsspec.

    Returns
    -------
    list of Snapshot
        Oldest first.
    list of str
        Ids of snapshots whose manifest is damaged.

    Raises
    ------
    InputError
        If it is not a backup target.
    BackupError
        If it cannot be read.
    """
    from bsv_store.maintenance.backup.repository import open_repository

    return open_repository(target).snapshots()


def verify_backup(
    target: BackupTarget,
    *,
    snapshot: str | None = None,
    deep: bool = False,
    discard_damaged: bool = False,
    progress: Progress | None = None,
    check_abort: Callable[[], None] = do_nothing,
) -> BackupCheck:
    """Check that the snapshots in a backup target can be restored.

    Parameters
    ----------
    target : path or str
        A folder, or a URL of fsspec.
    snapshot : str, optional
        The beginning of an id, or 'latest'. By default all snapshots.
    deep : bool
        Read every byte and check its hash; check each database for damaged rows, and that it expects the
        files of its snapshot. By default only presence and sizes are checked.
    discard_damaged : bool
        Remove damaged objects from the target. The next backup stores them again if the store still has the files.
    progress : Progress, optional
    check_abort : callable
        Called regularly; may raise to stop.

    Returns
    -------
    BackupCheck

    Raises
    ------
    InputError
        If it is not a backup target, or there is no such snapshot.
    BusyError
        If the target is being pruned.
    BackupError
        If it cannot be read.
    """
    from bsv_store.maintenance.backup.check import verify_target

    return verify_target(
        target,
        snapshot=snapshot,
        deep=deep,
        discard_damaged=discard_damaged,
        progress=shown_progress(progress),
        check_abort=check_abort,
    )


def restore_store(
    target: BackupTarget,
    path: Path | str,
    *,
    snapshot: str | None = None,
    database: str | None = None,
    progress: Progress | None = None,
    check_abort: Callable[[], None] = do_nothing,
) -> RestoreReport:
    """Restore a snapshot into a new folder. Existing stores are never changed.

    Every byte is checked against its hash. The folder becomes a store at the end; if the restore is interrupted, run it
    again with the same arguments. Version numbers that any snapshot of the store in the target has are not assigned
    again; the files beside the datasets are those of the snapshot that knows the most numbers.

    The restored store has the id of the original. As long as both are in use, datasets with the same name and number
    may differ between the two.

    Parameters
    ----------
    target : path or str
        A folder, or a URL of fsspec.
    path : path
        A new or empty folder.
    snapshot : str, optional
        The beginning of an id, or 'latest', the default.
    database : str, optional
        URL of an empty Postgres database, without a password. By default SQLite in the folder. The database of the
        original store does not matter.
    progress : Progress, optional
    check_abort : callable
        Called regularly; may raise to stop.

    Returns
    -------
    RestoreReport

    Raises
    ------
    StoreExistsError
        If folder or database are not empty.
    InputError
        If an argument is not valid, or there is no such snapshot.
    BackupError
        If the snapshot is damaged.
    SchemaTooNewError
        If a later version of the package made the snapshot.
    NoSpaceError, StoreError
        If folder or database cannot be written.
    BusyError
        If the target is being pruned.
    """
    from bsv_store.maintenance.backup.restore import restore_snapshot

    return restore_snapshot(
        target,
        locate_store(path).path,
        snapshot=snapshot,
        database=database,
        progress=shown_progress(progress),
        check_abort=check_abort,
    )


def prune_backup(
    target: BackupTarget,
    *,
    keep_last: int = 0,
    keep_daily: int = 0,
    keep_weekly: int = 0,
    keep_monthly: int = 0,
    keep_yearly: int = 0,
    apply: bool = False,
    check_abort: Callable[[], None] = do_nothing,
) -> PruneReport:
    """Remove old snapshots from a backup target, and the objects that no snapshot needs afterwards.

    A snapshot is kept if any rule keeps it. The rules apply to each store by itself.

    Parameters
    ----------
    target : path or str
        A folder, or a URL of fsspec.
    keep_last : int
        Number of latest snapshots to keep.
    keep_daily, keep_weekly, keep_monthly, keep_yearly : int
        Number of days, ISO weeks, months or years with a snapshot, of which to keep the latest one. Times are UTC.
    apply : bool
        Remove them. By default only a plan is returned.
    check_abort : callable
        Called regularly; may raise to stop.

    Returns
    -------
    PruneReport

    Raises
    ------
    InputError
        If it is not a backup target, or there is no rule.
    BusyError
        If the target is in use.
    BackupError
        If it cannot be read or written, or a manifest is damaged.
    """
    from bsv_store.maintenance.backup.prune import KeepRules, prune_target

    rules = KeepRules(
        last=check.whole_number("keep_last", keep_last, least=0),
        daily=check.whole_number("keep_daily", keep_daily, least=0),
        weekly=check.whole_number("keep_weekly", keep_weekly, least=0),
        monthly=check.whole_number("keep_monthly", keep_monthly, least=0),
        yearly=check.whole_number("keep_yearly", keep_yearly, least=0),
    )
    return prune_target(target, rules, apply=apply, check_abort=check_abort)


def move_store(
    path: Path | str | None = None, *, database: str, check_abort: Callable[[], None] = do_nothing
) -> MoveReport:
    """Move the catalog of a store from SQLite to Postgres, or back.

    All rows are copied in one transaction and compared, while writers wait. The old database keeps its rows, but can
    neither be opened as a store nor changed. If the move is interrupted, run it again with the same arguments.

    Parameters
    ----------
    path : path, optional
        See `open_store`.
    database : str
        URL of an empty Postgres database without a password, or 'sqlite'.
    check_abort : callable
        Called regularly; may raise to stop.

    Returns
    -------
    MoveReport

    Raises
    ------
    InputError
        If the URL is not valid, or the catalog is already there.
    StoreExistsError
        If the new database is not empty.
    BusyError
        If other jobs are downloading, or the database stays locked.
    DamagedCatalogError
        If the copy differs from the original. Nothing is changed then.
    StoreError, SchemaError
        See `open_store`.
    """
    from bsv_store.maintenance.move import move_catalog

    location = locate_store(path)
    config = read_located_config(location)
    with closing(connect(location.path, config, read_only=False)) as source:
        return move_catalog(location.path, config, source, database=database, check_abort=check_abort)


def attach_store(path: Path | str | None = None, *, database: str | None = None, force: bool = False) -> AttachReport:
    """Attach a folder to its database.

    If ``store.toml`` is missing or damaged, it is written again. A database on Postgres is linked to this folder; the
    folder that was linked before cannot be opened any more.

    Parameters
    ----------
    path : path, optional
        See `open_store`.
    database : str, optional
        URL of the Postgres database without a password, or 'sqlite'. By default that of ``store.toml``, or
        ``catalog.db`` in the folder.
    force : bool
        Attach the folder even if most of the files that the database expects are not there.

    Returns
    -------
    AttachReport

    Raises
    ------
    InputError
        If the database is not known, or ``store.toml`` is intact and names another one.
    StoreMismatchError
        If folder and database belong to different stores, or most files are missing.
    NotAStoreError, StoreError, SchemaError
        If the folder or the catalog cannot be used.
    """
    return attach_folder(locate_store(path).path, database=database, force=force)
