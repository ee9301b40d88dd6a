"""Read parts of result files. The whole file is verified once per process; afterwards each block that is read.

The checksum of a chunk detects flipped bits, but not a replaced or rewritten file, a lost chunk, or two swapped chunks.
Hashing the file detects all of these, but takes about a second per gigabyte. It is therefore repeated only if
the file's inode, size, modification time or change time has changed. A failing disk does not change these, so the
hashes of the file's blocks are kept in memory, and each block that is read is compared with its hash.
"""

from __future__ import annotations

import io
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import xxhash

from bsv_store.datasets.result.file import checked_stream, reading_errors, rebuild_hint
from bsv_store.errors import DamagedFileError
from bsv_store.volumes.file_identity import FileIdentity, file_identity, is_settled
from bsv_store.volumes.hdf5 import opened_hdf5

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


_MAX_CACHED = 10_000

_BLOCK_BYTES = 1 << 18


@dataclass(frozen=True, slots=True)
class HashedFile:
    """The hashes of a file's bytes.

    Attributes
    ----------
    sha256 : str
        Of all bytes, hexadecimal.
    blocks : tuple of int
        XXH3-128 of consecutive blocks of 256 KiB.
    """

    sha256: str
    blocks: tuple[int, ...]


_hashed: dict[FileIdentity, HashedFile] = {}


@contextmanager
def unchanged(path: Path, *, size_bytes: int, file_sha256: str, what: str) -> Iterator[HashedFile]:
    """Context manager that verifies that the file is the published one; yields its hashes, for `read_part`.

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
    hashed = _hashed.get(before)
    if hashed is None or hashed.sha256 != file_sha256:
        with (
            checked_stream(path, size_bytes=size_bytes, file_sha256=file_sha256, what=what) as stream,
            reading_errors(path, what),
        ):
            hashed = HashedFile(file_sha256, tuple(xxhash.xxh3_128_intdigest(block) for block in _blocks(stream)))
    yield hashed
    if _identity(path, what) != before:
        raise DamagedFileError(f"the file {path} of {what} was replaced while it was being read", hint="Read it again.")
    if len(_hashed) >= _MAX_CACHED:
        _hashed.clear()
    if is_settled(before, looked_ns):
        _hashed[before] = hashed


def read_part(
    path: Path, name: str, key: tuple[Any, ...], *, hashed: HashedFile, size_bytes: int, what: str
) -> NDArray[Any]:
    """Read a part of an array of a result file without reading the rest. Every byte that is read is verified.

    Raises
    ------
    DamagedFileError
        If the file is missing or has another size, or what is read differs from what was published.
    StoreError
        If it cannot be read.
    """
    hint = rebuild_hint(what)
    with reading_errors(path, what):
        stream = path.open("rb")
    with stream:
        if os.fstat(stream.fileno()).st_size != size_bytes:
            raise DamagedFileError(f"the file {path} of {what} differs from what was stored", hint=hint)
        checked = _CheckedFile(stream, size_bytes, hashed.blocks)
        try:
            with opened_hdf5(checked, what=f"the file {path} of {what}", arrays=[name]) as file:
                values: NDArray[Any] = file[name][key]
        except (OSError, KeyError, RuntimeError) as error:
            raise DamagedFileError(f"the file {path} of {what} is damaged: {error}", hint=hint) from error
        if checked.is_damaged:
            raise DamagedFileError(f"the file {path} of {what} differs from what was stored", hint=hint)
        return values


class _CheckedFile(io.RawIOBase):
    """A file for HDF5 to read from, each block of which is compared with its hash.

    A damaged block does not raise, because the HDF5 library would have to handle the exception; it sets `is_damaged`.
    """

    def __init__(self, file: BinaryIO, size_bytes: int, blocks: tuple[int, ...]) -> None:
        super().__init__()
        self._file = file
        self._size_bytes = size_bytes
        self._hashes = blocks
        self._at = 0
        # The last block is cached, because HDF5 reads the structure of a file in small pieces.
        self._number = -1
        self._block = b""
        self.is_damaged = False

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move the position."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size_bytes}[whence]
        self._at = start + offset
        return self._at

    def tell(self) -> int:
        """The position."""
        return self._at

    def readinto(self, buffer: Any, /) -> int:
        """Read from the position."""
        view = memoryview(buffer).cast("B")
        done = 0
        while done < len(view) and self._at < self._size_bytes:
            number, offset = divmod(self._at, _BLOCK_BYTES)
            if number != self._number:
                self._load(number)
            part = self._block[offset : offset + len(view) - done]
            if not part:
                break
            view[done : done + len(part)] = part
            done += len(part)
            self._at += len(part)
        return done

    def _load(self, number: int) -> None:
        self._file.seek(number * _BLOCK_BYTES)
        self._block = self._file.read(_BLOCK_BYTES)
        self._number = number
        if xxhash.xxh3_128_intdigest(self._block) != self._hashes[number]:
            self.is_damaged = True


def _blocks(stream: BinaryIO) -> Iterator[bytes]:
    while block := stream.read(_BLOCK_BYTES):
        yield block


def _identity(path: Path, what: str) -> FileIdentity:
    with reading_errors(path, what):
        return file_identity(path.stat())
