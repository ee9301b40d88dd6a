"""Temporary folders outside of stores. Those of a killed process are removed by a later process."""

from __future__ import annotations

import math
import os
import shutil
import stat
import tempfile
import time
import weakref
from pathlib import Path
from types import TracebackType
from typing import Final

from bsv_store.owner import owner_state, process_owner

# For a process on another host or in another container, it is not known whether it has ended.
_UNKNOWN_KEPT_S: Final = 7 * 24 * 3600.0
# A process looks for the folders of others at most this often: the folder for temporary files may have many entries.
_INTERVAL_S: Final = 60.0
_next_look = -math.inf


class TemporaryFolder:
    """A new folder that only this user can access; a context manager, which returns its path.

    It is removed at the end of the block, with the object, or at the end of the process, whichever comes first. If the
    process is killed, another process of this user removes the folder when it makes one. A forked process does not
    remove the folders of its parent.

    Attributes
    ----------
    path : pathlib.Path
    """

    def __init__(self) -> None:
        _look_for_abandoned()
        self.path = Path(tempfile.mkdtemp(prefix=f"{_prefix()}{process_owner()}-"))
        self._finalizer = weakref.finalize(self, _remove, self.path, os.getpid())

    def remove(self) -> None:
        """Remove the folder and everything in it. Do nothing if it was already removed."""
        self._finalizer()

    def __enter__(self) -> Path:
        return self.path

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()


def _look_for_abandoned() -> None:
    global _next_look
    if time.monotonic() >= _next_look:
        _next_look = time.monotonic() + _INTERVAL_S
        remove_abandoned()


def remove_abandoned() -> None:
    """Remove the temporary folders of processes of this user that have ended."""
    try:
        with os.scandir(tempfile.gettempdir()) as entries:
            names = [entry.name for entry in entries if entry.name.startswith(_prefix())]
    except PermissionError:
        # Some computers permit users to make folders in it, but not to list it.
        return
    for name in names:
        path = Path(tempfile.gettempdir()) / name
        try:
            found = path.lstat()
        except FileNotFoundError:
            # Its process, or another one, removed it.
            continue
        if stat.S_ISDIR(found.st_mode) and found.st_uid == _user() and _is_abandoned(name, found):
            shutil.rmtree(path, ignore_errors=True)


def _is_abandoned(name: str, found: os.stat_result) -> bool:
    state = owner_state(name.removeprefix(_prefix()).rpartition("-")[0])
    return state == "ended" or (state == "unknown" and time.time() - found.st_mtime > _UNKNOWN_KEPT_S)


def _remove(path: Path, process: int) -> None:
    if os.getpid() == process:
        shutil.rmtree(path, ignore_errors=True)


def _user() -> int:
    return os.getuid() if hasattr(os, "getuid") else 0


def _prefix() -> str:
    # One for each user, since users cannot remove the folders of others.
    return f"bsv-store-{_user()}-"
