"""A lock of one process that works on all platforms and ends with the process."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from bsv_store.errors import BusyError

_STEP_S: Final = 0.2
TIMEOUT_S: Final = 3600.0


@contextmanager
def locked(path: Path, is_done: Callable[[], bool], *, timeout_s: float = TIMEOUT_S) -> Iterator[None]:
    """Hold a lock, which only saves work that two processes would do twice.

    Parameters
    ----------
    path : pathlib.Path
        A file of its own.
    is_done : callable
        Whether there is nothing left to do. Asked while waiting; if so, the block runs without the lock.
    timeout_s : float

    Raises
    ------
    BusyError
    """
    path.touch(mode=0o600, exist_ok=True)
    deadline = time.monotonic() + timeout_s
    # An exclusive transaction that writes nothing.
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as driver:
        while True:
            try:
                driver.execute("BEGIN EXCLUSIVE")
                break
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    raise
                if is_done():
                    break
                if time.monotonic() > deadline:
                    raise BusyError(
                        f"another process holds {path} for more than {timeout_s:.0f} s",
                        hint="Wait for it to finish, or end it.",
                    ) from error
            time.sleep(_STEP_S)
        yield
