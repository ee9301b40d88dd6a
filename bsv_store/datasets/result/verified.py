"""Result files of which a part is read: the whole is checked once in this process, then only that it is still the same.

A chunk's own checksum tells that a bit was flipped, not that somebody has put another file in its place or written to
it. Hashing tells both, and takes about a second for each gigabyte, so what was hashed is remembered by what the file
system says of it: a file with the same inode, size, time of writing and time of change has the same bytes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bsv_store.datasets.result.file import checked_stream, reading_errors
from bsv_store.errors import DamagedFileError

if TYPE_CHECKING:
    from pathlib import Path

_Identity = tuple[int, int, int, int, int]

# A second change within one tick of the file system's clock leaves the times as they were: 2 s on the coarsest.
_SETTLED_NS = 2_000_000_000
_MOST = 10_000

_hashed: dict[_Identity, str] = {}


@contextmanager
def unchanged(path: Path, *, size_bytes: int, file_sha256: str, what: str) -> Iterator[None]:
    """A ``with`` statement in which the file at a path is the one that was published.

    Raises
    ------
    DamagedFileError
        If it is missing or differs in any bit from what was published; at the end, if it was replaced meanwhile.
    StoreError
        If it cannot be read.
    """
    before = _identity(path, what)
    # Not later: a change while it is hashed, in the tick of its times, must not pass for what was hashed.
    looked_ns = time.time_ns()
    if _hashed.get(before) != file_sha256:
        with checked_stream(path, size_bytes=size_bytes, file_sha256=file_sha256, what=what):
            pass
    yield
    if _identity(path, what) != before:
        raise DamagedFileError(f"the file {path} of {what} was replaced while it was being read", hint="Read it again.")
    if len(_hashed) >= _MOST:
        _hashed.clear()
    if looked_ns - max(before[3:]) > _SETTLED_NS:
        _hashed[before] = file_sha256


def _identity(path: Path, what: str) -> _Identity:
    with reading_errors(path, what):
        facts = path.stat()
    return facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns
