"""Private copies of a catalog on SQLite, for readers that cannot read the file itself, or not for long."""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bsv_store.catalog.database.sqlite_copy import copy_sqlite
from bsv_store.catalog.database.sqlite_errors import journal_of, refuse_unsafe_wal
from bsv_store.errors import NoSpaceError
from bsv_store.temporary import TemporaryFolder
from bsv_store.text import size_text

# A larger catalog is not copied for a reader that cannot read it in place.
_MAX_COPY_BYTES = 2 << 30
_SPARE_BYTES = 64 << 20
_ATTEMPTS = 3
_BLOCK_BYTES = 1 << 20

_State = tuple[tuple[int, int, int] | None, ...]


@dataclass(frozen=True, slots=True)
class RecoveredCopy:
    """A private copy of a catalog in which the unfinished change of a killed job is undone."""

    path: Path
    original: Path
    state: _State
    folder: TemporaryFolder

    def is_current(self) -> bool:
        """Whether the original has not changed since it was copied."""
        return self.state == _state(self.original)

    def remove(self) -> None:
        """Delete it. Nothing happens in a fork of the process that made it."""
        self.folder.remove()


def recovered_copy(original: Path) -> RecoveredCopy | None:
    """Copy a catalog with its journal, and recover the copy. None if that is not possible: too large, or in change.

    Raises
    ------
    StoreUnreachableError
        If the catalog uses WAL, and this version of SQLite could corrupt it.
    """
    folder = TemporaryFolder()
    copy = folder.path / original.name
    try:
        for _ in range(_ATTEMPTS):
            state = _state(original)
            if not _fits(state, folder.path):
                break
            with suppress(FileNotFoundError):
                _copy_files(original, copy)
            if state == _state(original):
                _recover(copy, original)
                return RecoveredCopy(copy, original, state, folder)
    except BaseException:
        folder.remove()
        raise
    folder.remove()
    return None


def _parts(path: Path) -> tuple[Path, ...]:
    return (path, journal_of(path), path.with_name(f"{path.name}-wal"))


def _state(path: Path) -> _State:
    """What differs if one of the files was written."""
    found: list[tuple[int, int, int] | None] = []
    for part in _parts(path):
        try:
            status = part.stat()
        except FileNotFoundError:
            found.append(None)
        else:
            found.append((status.st_ino, status.st_size, status.st_mtime_ns))
    return tuple(found)


def _fits(state: _State, folder: Path) -> bool:
    size = sum(part[1] for part in state if part is not None)
    return size <= _MAX_COPY_BYTES and 2 * size + _SPARE_BYTES <= shutil.disk_usage(folder).free


def _copy_files(original: Path, copy: Path) -> None:
    for source, target in zip(_parts(original), _parts(copy), strict=True):
        target.unlink(missing_ok=True)
        if source == original:
            _copy_catalog(source, target)
        elif source.exists():
            shutil.copyfile(source, target)


# Never closed: closing any descriptor of a catalog would release the locks of all SQLite connections of this process
# (https://www.sqlite.org/howtocorrupt.html). By device and inode.
_descriptors: dict[tuple[int, int], int] = {}
_one_at_a_time = threading.Lock()


def _copy_catalog(source: Path, target: Path) -> None:
    with _one_at_a_time, target.open("wb") as file:
        status = source.stat()
        identity = (status.st_dev, status.st_ino)
        if identity not in _descriptors:
            _descriptors[identity] = os.open(source, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        descriptor = _descriptors[identity]
        os.lseek(descriptor, 0, os.SEEK_SET)
        while data := os.read(descriptor, _BLOCK_BYTES):
            file.write(data)


def _recover(copy: Path, original: Path) -> None:
    # One connection alone, which does not meet the bug of WAL.
    with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
        if connection.execute("PRAGMA journal_mode").fetchone() == ("wal",):
            refuse_unsafe_wal(original)
            connection.execute("PRAGMA journal_mode = DELETE")


class CopyTooSlowError(Exception):
    """Copying a catalog took longer than others should wait."""


@contextmanager
def snapshot_copy(original: Path, *, time_limit_s: float, wait_s: float) -> Iterator[Path]:
    """A private copy of the committed state of a catalog, deleted at the end.

    Parameters
    ----------
    original : pathlib.Path
    time_limit_s : float
        Maximum duration of the copying, during which no other connection can commit.
    wait_s : float
        How long to wait for a writer.

    Raises
    ------
    NoSpaceError
        If the folder for temporary files does not have enough space.
    CopyTooSlowError
        If copying takes longer than the limit.
    """
    with TemporaryFolder() as folder:
        size, free = original.stat().st_size, shutil.disk_usage(folder).free
        if size + _SPARE_BYTES > free:
            raise NoSpaceError(
                f"{folder.parent} has no space for a private copy of the catalog: {size_text(size)} needed, "
                f"{size_text(free)} free",
                hint="Set TMPDIR to a folder with more space.",
            )
        copy = folder / original.name
        deadline: float | None = None

        def check_time() -> None:
            nonlocal deadline
            if deadline is None:
                # The time limit does not include waiting for a writer.
                deadline = time.monotonic() + time_limit_s
            elif time.monotonic() > deadline:
                raise CopyTooSlowError

        copy_sqlite(original, copy, wait_s=wait_s, is_temporary=True, on_block=check_time)
        yield copy
