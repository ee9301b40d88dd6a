"""Open zip files with a few small members, and read their members, within limits on size."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, Final, cast

from bsv_store.text import size_text

MAX_DIRECTORY_BYTES: Final = 128 * 1024
"""Maximum size of the directory of an archive, which `zipfile` reads at once: at most 2,849 members."""

# With other compression methods, the size of a read is not bounded.
METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)

ZIP_ERRORS: Final = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    ValueError,
    RuntimeError,
    NotImplementedError,
    LookupError,
    OverflowError,
    TypeError,
    AttributeError,
)
"""The errors that `zipfile` raises for damaged files."""

_BLOCK_BYTES = 1 << 20


@contextmanager
def opened_archive(stream: BinaryIO) -> Iterator[zipfile.ZipFile]:
    """An archive open for reading.

    Raises
    ------
    zipfile.BadZipFile
        If its directory is larger than `MAX_DIRECTORY_BYTES`.
    Exception
        Others of `ZIP_ERRORS`, if it is damaged.
    """
    guard = _Guard(stream)
    with zipfile.ZipFile(cast("BinaryIO", guard)) as archive:
        guard.limit = None
        yield archive


def read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, limit: int) -> bytes:
    """The bytes of a member; its checksum is verified. No more than the limit is decompressed.

    Raises
    ------
    zipfile.BadZipFile
        If it is larger than the limit, has another size than the directory states, or is compressed in another way
        than `METHODS`.
    Exception
        Others of `ZIP_ERRORS`, if it is damaged.
    """
    if info.file_size > limit:
        raise zipfile.BadZipFile(f"{info.filename} must be at most {size_text(limit)}, got {size_text(info.file_size)}")
    if info.compress_type not in METHODS:
        raise zipfile.BadZipFile(f"{info.filename} has an unsupported compression")
    parts: list[bytes] = []
    size = 0
    with archive.open(info) as member:
        # In blocks: a read without a size decompresses everything, whatever the directory states.
        while block := member.read(min(_BLOCK_BYTES, info.file_size + 1 - size)):
            parts.append(block)
            size += len(block)
    if size != info.file_size:
        raise zipfile.BadZipFile(f"{info.filename} has {size} bytes instead of {info.file_size}")
    return b"".join(parts)


class _Guard(io.BufferedIOBase):
    """A file whose reads are limited until ``limit`` is set to None."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__()
        self._stream = stream
        self.limit: int | None = MAX_DIRECTORY_BYTES

    def read(self, size: int | None = -1, /) -> bytes:
        if self.limit is None:
            return self._stream.read(-1 if size is None else size)
        # Without a size, `zipfile` reads the end of the file, where it looks for the directory.
        wanted = -1 if size is None or size < 0 else size
        data = self._stream.read(wanted if 0 <= wanted <= self.limit else self.limit + 1)
        if max(wanted, len(data)) > self.limit:
            raise zipfile.BadZipFile(f"its directory must be at most {size_text(self.limit)}")
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def __getattr__(self, name: str) -> Any:
        # `zipfile` asks for the name of a file.
        if name == "_stream":
            raise AttributeError(name)
        return getattr(self._stream, name)
