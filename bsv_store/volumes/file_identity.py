"""What shows that a file was changed since it was hashed."""

from __future__ import annotations

import os

# A second change within one tick of the file system's clock does not change the times. The coarsest tick is 2 s.
_SETTLED_NS = 2_000_000_000

FileIdentity = tuple[int, int, int, int, int]
"""See `file_identity`."""


def file_identity(facts: os.stat_result) -> FileIdentity:
    """What changes when a file is replaced or written to: device, inode, size and times."""
    return facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns


def is_settled(identity: FileIdentity, looked_ns: int) -> bool:
    """Whether a file was last changed long enough before a time that any later change alters its identity.

    Parameters
    ----------
    identity : FileIdentity
    looked_ns : int
        Time before the identity was taken: ``time.time_ns()``.
    """
    return looked_ns - max(identity[3:]) > _SETTLED_NS
