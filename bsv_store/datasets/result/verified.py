"""Reading parts of result files: the whole file is checked once per process, after that whether it has changed.

The checksum of a chunk detects flipped bits, but not a replaced or rewritten file. Hashing the file detects both, and
takes about a second per gigabyte, so hashes are cached by the file's inode, size, modification time and change time.
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

# A second change within one tick of the file system's clock does not change the times. The coarsest tick is 2 s.
_SETTLED_NS = 2_000_000_000
_MAX_CACHED = 10_000

_hashed: dict[_Identity, str] = {}


@contextmanager
def unchanged(path: Path, *, size_bytes: int, file_sha256: str, what: str) -> Iterator[None]:
    """A ``with`` statement in which the file is the published one.

    Raises
    ------
    DamagedFileError
        If the file is missing or differs from what was published; at the end, if it was replaced meanwhile.
    StoreError
        If it cannot be read.
    """
    before = _identity(path, what)
    # Taken before hashing, so that a change during hashing is not missed.
    looked_ns = time.time_ns()
    if _hashed.get(before) != file_sha256:
        with checked_stream(path, size_bytes=size_bytes, file_sha256=file_sha256, what=what):
            pass
    yield
    if _identity(path, what) != before:
        raise DamagedFileError(f"the file {path} of {what} was replaced while it was being read", hint="Read it again.")
    if len(_hashed) >= _MAX_CACHED:
        _hashed.clear()
    if looked_ns - max(before[3:]) > _SETTLED_NS:
        _hashed[before] = file_sha256


def _identity(path: Path, what: str) -> _Identity:
    with reading_errors(path, what):
        facts = path.stat()
    return facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns
