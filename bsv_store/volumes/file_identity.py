"""What shows that a file was changed since it was hashed."""

from __future__ import annotations

import os

FileIdentity = tuple[int, int, int, int, int]
"""See `file_identity`."""


def file_identity(facts: os.stat_result) -> FileIdentity:
    """What changes when a file is replaced or written to: device, inode, size and times."""
    return facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns
