"""Files that are computed once, while they are sent, and kept in temporary files for the next requests."""

from __future__ import annotations

import os
import tempfile
import threading
import weakref
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bsv_store.errors import NoSpaceError
from bsv_store.server.allen.messages import FileContent
from bsv_store.volumes.files import is_no_space

SPOOL_BYTES: Final = 2 * 1024**3
"""Total size of the temporary files, beyond which the least recently used are removed."""
SPOOL_FILES: Final = 128
_PIECE_BYTES = 1024 * 1024


class SpooledFile:
    """The content of a file, which is computed as far as it is read. Safe to share between threads.

    Bytes are computed by the thread that reads beyond those computed so far; others wait for it. If a reader stops
    early, the next one continues.

    Parameters
    ----------
    content : FileContent
    """

    def __init__(self, content: FileContent) -> None:
        self.etag = content.etag
        self._pieces = content.pieces()
        self._lock = threading.Lock()
        self._written = 0
        self._is_complete = False
        self._error: Exception | None = None
        self._file, path = tempfile.mkstemp(prefix="bsv-store-")
        # Without a name, it is removed even if the process is killed.
        Path(path).unlink()
        weakref.finalize(self, os.close, self._file)

    @property
    def size(self) -> int | None:
        """Size in bytes; None if not all bytes are computed yet."""
        return self._written if self._is_complete else None

    @property
    def has_failed(self) -> bool:
        """Whether the bytes cannot be computed."""
        return self._error is not None

    @property
    def written(self) -> int:
        """Number of bytes computed so far."""
        return self._written

    def compute(self, size: int | None = None) -> None:
        """Compute the first bytes, by default all.

        Raises
        ------
        BsvStoreError
            If a file of the store is damaged, or the disk is full.
        """
        while not self._is_complete and (size is None or self._written < size):
            self._extend(self._written)

    def read(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """The bytes [start, stop), by default to the end, in pieces.

        Raises
        ------
        BsvStoreError
            As `compute` does.
        """
        position = start
        while stop is None or position < stop:
            if position < self._written:
                end = self._written if stop is None else min(stop, self._written)
                data = os.pread(self._file, min(_PIECE_BYTES, end - position), position)
                position += len(data)
                yield data
            elif self._is_complete:
                return
            else:
                self._extend(position)

    def _extend(self, position: int) -> None:
        """Compute at least one byte after this position, unless that is the end."""
        with self._lock:
            while self._written <= position and not self._is_complete:
                if self._error is not None:
                    raise self._error
                try:
                    piece = next(self._pieces, None)
                    if piece is None:
                        self._is_complete = True
                    else:
                        self._write(piece)
                except Exception as error:
                    self._error = error
                    raise

    def _write(self, piece: bytes) -> None:
        view = memoryview(piece)
        written = 0
        try:
            while written < len(view):
                written += os.pwrite(self._file, view[written:], self._written + written)
        except OSError as error:
            if is_no_space(error):
                raise NoSpaceError(
                    "the disk with the temporary files of the server is full",
                    hint="The variable TMPDIR names the folder for temporary files.",
                ) from error
            raise
        self._written += written


class Spool:
    """The most recently used files, by ETag.

    Parameters
    ----------
    limit_bytes : int
        Total size beyond which the least recently used are removed. A file that is being sent stays until it is sent.
    """

    def __init__(self, *, limit_bytes: int = SPOOL_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._files: OrderedDict[str, SpooledFile] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, content: FileContent) -> SpooledFile:
        """The file with this content, of which nothing may be computed yet."""
        with self._lock:
            found = self._files.get(content.etag)
            if found is None or found.has_failed:
                found = self._files[content.etag] = SpooledFile(content)
            self._files.move_to_end(content.etag)
            self._shrink()
            return found

    @property
    def size_bytes(self) -> int:
        """Total size of the temporary files in bytes."""
        with self._lock:
            return sum(file.written for file in self._files.values())

    def _shrink(self) -> None:
        size = sum(file.written for file in self._files.values())
        while len(self._files) > 1 and (size > self._limit_bytes or len(self._files) > SPOOL_FILES):
            _, dropped = self._files.popitem(last=False)
            size -= dropped.written
