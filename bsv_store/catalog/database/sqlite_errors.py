"""The errors of bsv-store for errors of SQLite, by SQLite's extended result codes."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from pathlib import Path

from bsv_store.errors import BsvStoreError, BusyError, NoSpaceError, ReadOnlyStoreError, StoreUnreachableError
from bsv_store.text import store_option
from bsv_store.volumes.files import is_no_space

SAFE_WAL_VERSION = (3, 51, 3)
"""The first version of SQLite in which WAL does not have the bug that corrupted databases (the "WAL-reset bug")."""

# A journal cannot be rolled back: read-only connection; the file of the journal cannot be opened, or deleted.
_ROLLBACK_FAILED = {sqlite3.SQLITE_READONLY_ROLLBACK, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR_DELETE}
# A catalog in WAL mode needs files beside it that this account cannot create or write.
_WAL_FAILED = {
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY_RECOVERY,
    sqlite3.SQLITE_READONLY_CANTINIT,
    sqlite3.SQLITE_READONLY_DIRECTORY,
}
# What SQLite reports for EFBIG and EDQUOT, but also for EIO.
_FAILED_WRITES = {
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_IOERR_WRITE,
    sqlite3.SQLITE_IOERR_FSYNC,
    sqlite3.SQLITE_IOERR_DIR_FSYNC,
    sqlite3.SQLITE_IOERR_TRUNCATE,
    sqlite3.SQLITE_IOERR_SHMSIZE,
    sqlite3.SQLITE_IOERR_SHMMAP,
    sqlite3.SQLITE_IOERR_CLOSE,
    sqlite3.SQLITE_CANTOPEN,
}
# SQLite's limit is 512 bytes, including the endings of the files that it creates beside a database.
_MAX_PATH_BYTES = 500
# A transaction that failed has freed its space again, so that the probe is not of a few bytes.
_PROBED_BYTES = 16 << 20


class CannotReadInPlaceError(ReadOnlyStoreError):
    """The catalog cannot be read without writing beside it, which this account or connection may not do."""


def unfinished_write(path: Path) -> CannotReadInPlaceError:
    """The error for a journal that a killed job left, and that this connection cannot roll back."""
    return CannotReadInPlaceError(
        f"a job that was writing to the catalog {path} was killed, and a reader cannot undo its unfinished change",
        hint=f"Ask someone with write access to run: bsv-store {store_option(path.parent)} status",
    )


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another connection holds a lock."""
    return _primary(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def busy_error(where: str, waited_s: float) -> BusyError:
    """The error for a database that other jobs use."""
    return BusyError(
        f"the database {where} stayed locked for {waited_s:.0f} s",
        hint="Another job is reading or writing; try again when it has finished.",
    )


def cannot_read_in_place(error: sqlite3.Error, path: Path) -> CannotReadInPlaceError | None:
    """The error if the catalog cannot be read because of files beside it that this connection cannot write."""
    code = _code(error)
    if code in _ROLLBACK_FAILED and journal_of(path).exists():
        return unfinished_write(path)
    if code in _WAL_FAILED:
        return CannotReadInPlaceError(
            f"the catalog {path} cannot be read, because this account cannot write the files of its write-ahead log: "
            f"{error}",
            hint=f"Ask the store's maintainer for write access to {path.parent}, or to switch the catalog to the "
            "rollback journal.",
        )
    return None


def journal_of(path: Path) -> Path:
    """The rollback journal of a database."""
    return path.with_name(f"{path.name}-journal")


def refuse_unsafe_wal(path: Path) -> None:
    """Refuse WAL mode if this version of SQLite can corrupt a catalog in it.

    Raises
    ------
    StoreUnreachableError
    """
    if sqlite3.sqlite_version_info < SAFE_WAL_VERSION:
        needed = ".".join(map(str, SAFE_WAL_VERSION))
        raise StoreUnreachableError(
            f"SQLite {sqlite3.sqlite_version} of this Python can corrupt the catalog {path} with a write-ahead log "
            "(WAL)",
            hint=f"Use a Python with SQLite {needed} or later; or keep the rollback journal, or ask the store's "
            "maintainer to switch back to it.",
        )


def sqlite_error(error: sqlite3.Error, where: str) -> BsvStoreError | None:
    """The error of bsv-store for an error of SQLite; None if its code does not tell.

    Parameters
    ----------
    error : sqlite3.Error
    where : str
        Path of the database.
    """
    code = _code(error)
    if is_busy(error):
        return BusyError(
            f"the database {where} is locked", hint="Another job is reading or writing; try again when it has finished."
        )
    if code == sqlite3.SQLITE_READONLY_ROLLBACK:
        return unfinished_write(Path(where))
    if code == sqlite3.SQLITE_CANTOPEN and (length := len(os.fsencode(where))) > _MAX_PATH_BYTES:
        return StoreUnreachableError(
            f"the path of the database is too long for SQLite, which accepts about {_MAX_PATH_BYTES} bytes: {where} "
            f"has {length}",
            hint="Move the store to a folder with a shorter path, or create it there: bsv-store init FOLDER",
        )
    if code == sqlite3.SQLITE_FULL or (code in _FAILED_WRITES and _is_out_of_space(Path(where))):
        return NoSpaceError(
            f"no disk space left for the database {where}, or a quota or file size limit is reached",
            hint="Free some space, or raise the limit, and run the command again.",
        )
    return None


def _code(error: sqlite3.Error) -> int | None:
    # Errors that Python's module raises itself have no code.
    return getattr(error, "sqlite_errorcode", None)


def _primary(error: sqlite3.Error) -> int | None:
    code = _code(error)
    return None if code is None else code & 0xFF


def _is_out_of_space(path: Path) -> bool:
    """Whether a failed write to a database was caused by a full disk, a quota, or a limit on the size of files."""
    try:
        size = path.stat().st_size
    except OSError:
        return False
    return _is_near_size_limit(size) or _is_probe_out_of_space(path.parent)


def _is_near_size_limit(size: int) -> bool:
    try:
        import resource
    except ImportError:
        # Windows does not have such limits.
        return False
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    # How far the failed transaction had got is not known; temporary files of SQLite count too.
    return limit != resource.RLIM_INFINITY and limit <= 2 * size + (256 << 20)


def _is_probe_out_of_space(folder: Path) -> bool:
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(probe.fileno(), 0, _PROBED_BYTES)
            else:
                probe.write(b"\0" * _PROBED_BYTES)
                probe.flush()
    except OSError as error:
        return is_no_space(error)
    return False
