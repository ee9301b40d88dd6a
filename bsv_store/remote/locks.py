"""A lock of one part of the cache, between threads and processes; the system releases it when its process ends.

Locks save work that two processes would do twice. Files are correct without them.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bsv_store.errors import BusyError
from bsv_store.progress import do_nothing
from bsv_store.remote.folder import FILE_MODE, cache_errors

_FIRST_WAIT_S: Final = 0.005
_LONGEST_WAIT_S: Final = 0.2
# A transfer has a deadline, so that only a process that is stopped holds a lock for this long.
_MAX_WAIT_S: Final = 3600.0
# On a file system without locks, two processes may download the same object: they write the same bytes.
_NO_LOCKS: Final = {errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL}


@contextmanager
def locked(path: Path, what: str, *, on_wait: Callable[[], None] = do_nothing) -> Iterator[None]:
    """Hold the lock with this file during the block. Waits for other threads and processes.

    Parameters
    ----------
    path : pathlib.Path
        Its folder must exist. The file is removed at the end.
    what : str
        Name of what is downloaded, for the error.
    on_wait : callable
        Called repeatedly while waiting; may raise to stop.

    Raises
    ------
    BusyError
        If another process holds it for an hour.
    NoSpaceError, ReadOnlyStoreError, StoreError
        If the file cannot be made.
    """
    wait_s, until = _FIRST_WAIT_S, time.monotonic() + _MAX_WAIT_S
    while (held := _try(path)) is None:
        on_wait()
        if time.monotonic() > until:
            raise BusyError(
                f"another process has been downloading {what} for an hour",
                hint="It may be stopped: end it, and run the command again.",
            )
        time.sleep(wait_s)
        wait_s = min(_LONGEST_WAIT_S, 2 * wait_s)
    try:
        yield
    finally:
        _release(path, held)


@contextmanager
def locked_if_free(path: Path) -> Iterator[bool]:
    """Hold the lock during the block if it is free; yields whether it was."""
    held = _try(path)
    try:
        yield held is not None
    finally:
        if held is not None:
            _release(path, held)


class ThreadLock:
    """A `threading.Lock` that is free in a forked child, whichever thread of the parent held it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        _thread_locks.add(self)

    def acquire(self, *, blocking: bool = True) -> bool:
        """Whether the lock was acquired."""
        return self._lock.acquire(blocking=blocking)

    def release(self) -> None:
        """Release the lock."""
        self._lock.release()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_failure: object) -> None:
        self._lock.release()

    def _begin(self) -> None:
        self._lock = threading.Lock()


_thread_locks: weakref.WeakSet[ThreadLock] = weakref.WeakSet()
# Descriptors of the lock files that this process holds.
_held: set[int] = set()


def _begin_in_child() -> None:
    for lock in list(_thread_locks):
        lock._begin()
    # With a copy of the descriptor, the child would hold the lock after the end of its parent.
    for descriptor in _held:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_in_child)


def _try(path: Path) -> int | None:
    """The descriptor of the lock file, locked; None if it is held elsewhere."""
    with cache_errors(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
    try:
        if _lock(descriptor) and _is_current(descriptor, path):
            _held.add(descriptor)
            return descriptor
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def _is_current(descriptor: int, path: Path) -> bool:
    """Whether the locked file is still the one at the path: its last holder may have removed it meanwhile."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _release(path: Path, descriptor: int) -> None:
    if descriptor not in _held:
        # Closed by a fork: the parent holds the lock.
        return
    # Removed while it is held: a process that has it open notices that it is not at the path any more.
    with contextlib.suppress(OSError):
        path.unlink()
    try:
        # Explicitly, because a process that was started meanwhile may have inherited the descriptor.
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        _held.discard(descriptor)
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    return True
