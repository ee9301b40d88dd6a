"""Create and flush folders, so that they survive a power failure."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Flush a folder to disk, so that new names in it survive a power failure. Does nothing on Windows."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folders(folder: Path, mode: int | None = None) -> None:
    """Create a folder and its missing parents, and flush their names to disk.

    Parameters
    ----------
    folder : pathlib.Path
    mode : int, optional
        Permissions of new folders; by default those of the umask.
    """
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for new in reversed(missing):
        # Another process may be creating the same folder.
        with contextlib.suppress(FileExistsError):
            new.mkdir()
            if mode is not None:
                new.chmod(mode)
        # Also if another process created it, which may not have flushed it yet.
        sync_folder(new.parent)
