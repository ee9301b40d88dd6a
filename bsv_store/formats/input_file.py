"""Opening input files: what is not a regular file, or too large, is refused before it is read."""

from __future__ import annotations

import gzip
import io
import os
import stat
import zlib
from pathlib import Path
from typing import BinaryIO, cast

from bsv_store.errors import FormatError, InputError
from bsv_store.formats.fields import DAMAGED_HINT

MAX_TEXT_BYTES = 1 << 30
"""Tables and lists are read at once: the unionize rows of forty experiments have 60 MB as JSON."""

GZIP_MAGIC = b"\x1f\x8b"
_SPECIAL = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def open_input(path: Path, *, what: str, limit: int | None = None) -> BinaryIO:
    """Open a regular file for reading.

    Parameters
    ----------
    path : Path
    what : str
        Name of the file, for errors.
    limit : int, optional
        Largest size in bytes.

    Raises
    ------
    InputError
        If it does not exist, cannot be read, or is not a regular file.
    FormatError
        If it is larger than ``limit``.
    """
    try:
        # Opening a named pipe would wait for a writer.
        mode = path.stat().st_mode
        special = next((words for is_special, words in _SPECIAL if is_special(mode)), None)
        file = path.open("rb") if special is None else None
    except OSError as error:
        raise InputError(
            f"{what} cannot be read: {error.strerror or error}", hint="Check path and permissions."
        ) from error
    except ValueError as error:
        # For example a NUL byte in the name.
        raise InputError(f"{what} cannot be read: {error}", hint="Check the path.") from error
    if file is None:
        raise InputError(f"{what} is {special}, not a regular file", hint="Check the path.")
    size = os.fstat(file.fileno()).st_size
    if limit is not None and size > limit:
        file.close()
        raise FormatError(f"{what} has {size:,} bytes, more than {limit:,}", hint=DAMAGED_HINT)
    return file


def input_bytes(path: Path, *, what: str, limit: int = MAX_TEXT_BYTES) -> bytes:
    """The content of a regular file; that of a gzip file is decompressed.

    Raises
    ------
    InputError, FormatError
        As `open_input` does; or if a gzip file is damaged, or its content larger than ``limit``.
    """
    with open_input(path, what=what, limit=limit) as file:
        try:
            body = file.read(limit + 1)
        except OSError as error:
            raise InputError(
                f"{what} cannot be read: {error.strerror or error}", hint="Check path and permissions."
            ) from error
    if not body.startswith(GZIP_MAGIC):
        return body
    with unpacked(io.BytesIO(body), what=what) as stream:
        body = stream.read(limit + 1)
    if len(body) > limit:
        raise FormatError(f"{what} contains more than {limit:,} bytes", hint=DAMAGED_HINT)
    return body


def unpacked(stream: BinaryIO, *, what: str) -> BinaryIO:
    """The content of a gzip file, decompressed as it is read; `FormatError` if it is damaged."""
    return cast("BinaryIO", _Unpacked(stream, what))


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
