"""Read input files: regular files of limited size, optionally compressed with gzip."""

from __future__ import annotations

import gzip
import io
import stat
import zlib
from pathlib import Path
from typing import BinaryIO, cast

from bsv_store.errors import FormatError, InputError
from bsv_store.formats.fields import DAMAGED_HINT
from bsv_store.text import shown, size_text

MAX_BYTES = 2_000_000_000
"""Maximum size of an input file in bytes, before and after decompression. An experiment list has 3 MB."""

MIN_UNPACKED_BYTES = 64_000_000
MAX_RATIO = 100
"""A gzip file larger than that after decompression must not be larger than 100 times its size. Tables are 5 to 30."""

# <(command) in a shell is a pipe that is already open, like standard input.
_OPEN_FILES = (Path("/dev/fd"), Path("/proc/self/fd"))

GZIP_MAGIC = b"\x1f\x8b"
_GZIP_WINDOW = 31  # zlib: 15 bits, with the header of gzip

_SPECIAL = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def open_input(path: Path, *, what: str) -> BinaryIO:
    """Open a regular file for reading.

    Parameters
    ----------
    path : Path
    what : str
        Name of the file, for errors.

    Raises
    ------
    InputError
        If it does not exist, cannot be read, or is not a regular file.
    """
    require_regular_file(path, what=what)
    try:
        return path.open("rb")
    except OSError as error:
        raise InputError(
            f"{what} cannot be read: {error.strerror or error}", hint="Check path and permissions."
        ) from error


def read_input_file(file: Path, *, what: str | None = None, max_bytes: int = MAX_BYTES) -> bytes:
    """The content of a file.

    Raises
    ------
    InputError
        If it cannot be read, or is neither a regular file nor opened by the shell. Reading a device or a pipe may never
        end.
    FormatError
        If it is too large.
    """
    name = what or shown_path(file)
    if file.parent not in _OPEN_FILES:
        require_regular_file(file, what=name)
    try:
        with file.open("rb") as stream:
            return read_stream(stream, what=name, max_bytes=max_bytes)
    except OSError as error:
        raise InputError(f"{name} cannot be read: {error.strerror or error}") from error


def require_regular_file(file: Path, *, what: str | None = None) -> None:
    """Check that a file is regular: opening a pipe may block forever, and reading a device may never end.

    Raises
    ------
    InputError
        If it does not exist, or is a folder, a device, a pipe or a socket.
    """
    name = what or shown_path(file)
    try:
        mode = file.stat().st_mode
    except OSError as error:
        raise InputError(
            f"{name} cannot be read: {error.strerror or error}", hint="Check path and permissions."
        ) from error
    except ValueError as error:
        # A NUL character.
        raise InputError(f"{name} is not a valid path: {error}") from error
    if special := next((words for is_special, words in _SPECIAL if is_special(mode)), None):
        raise InputError(
            f"{name} cannot be read: it is {special}, not a regular file", hint="Save the data to a file first."
        )


def read_stream(stream: BinaryIO, *, what: str, max_bytes: int) -> bytes:
    """The rest of a stream.

    Raises
    ------
    FormatError
        If it is too large.
    """
    body = stream.read(max_bytes + 1)
    if len(body) > max_bytes:
        raise _too_large(what, max_bytes)
    return body


def _too_large(what: str, max_bytes: int) -> FormatError:
    return FormatError(f"{what} must be at most {size_text(max_bytes)}, which is more than any valid file")


def shown_path(file: Path) -> str:
    """A path for messages, with escapes for bytes that are not UTF-8 and for control characters."""
    text = str(file)
    return text if text.isprintable() else shown(text)


def decompressed(body: bytes, *, what: str, max_bytes: int = MAX_BYTES) -> bytes:
    """Decompress a gzip body, of one or several members; other bodies are returned unchanged.

    Raises
    ------
    FormatError
        If it is damaged, truncated, or too large: more than ``max_bytes``, or than both `MIN_UNPACKED_BYTES` and
        `MAX_RATIO` times the size of the body.
    """
    if not body.startswith(GZIP_MAGIC):
        return body
    parts: list[bytes] = []
    size = 0
    rest = body
    max_bytes = min(max_bytes, max(MIN_UNPACKED_BYTES, MAX_RATIO * len(body)))
    while rest.startswith(GZIP_MAGIC):
        member = zlib.decompressobj(_GZIP_WINDOW)
        try:
            parts.append(member.decompress(rest, max_bytes - size + 1))
        except zlib.error as error:
            raise FormatError(f"{what} is not valid gzip: {error}", hint=DAMAGED_HINT) from error
        size += len(parts[-1])
        if size > max_bytes:
            raise FormatError(f"{what} must be at most {size_text(max_bytes)} when decompressed", hint=DAMAGED_HINT)
        if not member.eof:
            raise FormatError(f"{what} ends in the middle of its gzip data: it is truncated", hint=DAMAGED_HINT)
        rest = member.unused_data
    if rest.strip(b"\0"):
        raise FormatError(f"{what} has other data after its gzip data", hint=DAMAGED_HINT)
    return b"".join(parts)


def unpacked(stream: BinaryIO, *, what: str) -> BinaryIO:
    """A stream that decompresses a gzip file as it is read; raises `FormatError` if the file is damaged."""
    return cast("BinaryIO", _Unpacked(stream, what))


def open_unpacked(source: bytes | Path, *, what: str) -> BinaryIO:
    """A file or its content, open for reading, decompressed as it is read if the whole file is compressed with gzip.

    The reader limits the number of bytes.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    stream: BinaryIO = io.BytesIO(source) if isinstance(source, bytes) else open_input(source, what=what)
    try:
        is_packed = stream.read(len(GZIP_MAGIC)) == GZIP_MAGIC
        stream.seek(0)
        return unpacked(stream, what=what) if is_packed else stream
    except OSError as error:
        stream.close()
        raise InputError(f"{what} cannot be read: {error.strerror or error}") from error
    except BaseException:
        stream.close()
        raise


class _Unpacked(gzip.GzipFile):
    def __init__(self, stream: BinaryIO, what: str) -> None:
        super().__init__(fileobj=stream, mode="rb")
        self._packed = stream
        self._what = what

    def read(self, size: int | None = -1) -> bytes:
        try:
            return super().read(size)
        except (OSError, EOFError, zlib.error) as error:
            raise FormatError(f"{self._what} is not a complete gzip file: {error}", hint=DAMAGED_HINT) from error

    def close(self) -> None:
        super().close()
        self._packed.close()
