"""Small files that several processes map into memory."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

from bsv_store.volumes.files import store_errors


def mapped_file(file: int, path: Path, size_bytes: int) -> mmap.mmap:
    """Map a file into memory, extended to this size if it is shorter; its content is kept.

    Parameters
    ----------
    file : int
        Descriptor, open for reading and writing.
    path : pathlib.Path
        For errors.
    size_bytes : int

    Raises
    ------
    NoSpaceError, StoreError
        If the disk is full, or the file cannot be written.
    """
    with store_errors(path):
        if hasattr(os, "posix_fallocate"):
            # Reserves disk space: on a full disk, writing to the memory of a sparse file kills the process (SIGBUS).
            os.posix_fallocate(file, 0, size_bytes)
        else:
            os.ftruncate(file, size_bytes)
        return mmap.mmap(file, size_bytes)
