"""Consistent copies of a SQLite catalog that may be in use, including the content of its journal."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from bsv_store.catalog.database.driver_errors import BUSY_TIMEOUT_S
from bsv_store.catalog.database.sqlite import connect_sqlite

# Pages copied between two calls of `on_block`: 32 MiB.
_PAGES = 8_192
_MAX_RESTARTS = 3


class _RestartedError(Exception):
    """The copy started again too often, because other connections wrote to the source."""


def _no_action() -> None:
    pass


def copy_sqlite(
    source: Path,
    target: Path,
    *,
    read_only: bool = True,
    wait_s: float = BUSY_TIMEOUT_S,
    lets_others_write: bool = False,
    is_temporary: bool = False,
    on_block: Callable[[], None] = _no_action,
) -> None:
    """Copy a catalog with SQLite's backup API. The copy has a rollback journal, whatever the mode of the source.

    Parameters
    ----------
    source, target : pathlib.Path
    read_only : bool
        Open the source read-only. Otherwise, a transaction that a killed writer left in it is rolled back.
    wait_s : float
        Maximum time to wait for a writer, in seconds.
    lets_others_write : bool
        Let other connections commit between two blocks, after which the copy starts again. After three restarts, or
        if this is False, other connections cannot commit until the copy is complete.
    is_temporary : bool
        The copy does not have to survive a crash, so it is written without flushing.
    on_block : callable
        Called between blocks; may raise an exception to stop.

    Raises
    ------
    sqlite3.Error
        If the source cannot be read, or the target cannot be written.
    BusyError
        If the source is locked for longer than ``wait_s``.
    CannotReadInPlaceError
        If a killed writer left a journal, and ``read_only`` is True.
    """
    with (
        closing(connect_sqlite(source, read_only)) as original,
        closing(sqlite3.connect(target, isolation_level=None)) as copy,
    ):
        if is_temporary:
            copy.execute("PRAGMA synchronous = OFF")
            copy.execute("PRAGMA journal_mode = OFF")
        is_complete = False
        if lets_others_write:
            with contextlib.suppress(_RestartedError):
                _copy_pages(original, copy, on_block, max_restarts=_MAX_RESTARTS)
                is_complete = True
        if not is_complete:
            original.begin("DEFERRED", wait_s=wait_s)
            _copy_pages(original, copy, on_block, max_restarts=None)
            original.execute("COMMIT")
        # The mode is stored in the file, which may be moved to a file system or a version of SQLite where WAL is not
        # safe.
        copy.execute("PRAGMA journal_mode = DELETE")


def _copy_pages(
    original: sqlite3.Connection, copy: sqlite3.Connection, on_block: Callable[[], None], *, max_restarts: int | None
) -> None:
    before, restarts = -1, 0

    def step(_status: int, remaining: int, _total: int) -> None:
        nonlocal before, restarts
        on_block()
        if before >= 0 and remaining > before:
            restarts += 1
            if max_restarts is not None and restarts > max_restarts:
                raise _RestartedError
        before = remaining

    original.backup(copy, pages=_PAGES, progress=step)
