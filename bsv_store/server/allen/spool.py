"""Files that are computed once and kept in temporary files for the next requests.

Large files take up to 400 MB of memory and up to minutes to compute, so only few are computed at a time, by threads of
their own. A client that has waited for some seconds gets what is computed so far, and the rest when it is.
"""

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
LARGE_AT_A_TIME: Final = 2
RETRY_AFTER_S: Final = 30
# Clients give up after some 60 seconds without a byte.
_SLOT_WAIT_S: Final = 20.0
_COMPLETE_WAIT_S: Final = 10.0
_PIECE_BYTES = 1024 * 1024


class SpoolBusyError(Exception):
    """Too many large files are being computed; the reply has the status 503."""


class SpooledFile:
    """The content of a file, computed once. Safe to share between threads.

    Parameters
    ----------
    content : FileContent
    """

    def __init__(self, content: FileContent) -> None:
        self._content = content
        self._computing = threading.Lock()
        self._is_started = False
        self._changed = threading.Condition()
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
        with self._changed:
            return self._written if self._is_complete else None

    @property
    def has_failed(self) -> bool:
        """Whether the bytes cannot be computed."""
        return self._error is not None

    @property
    def written(self) -> int:
        """Number of bytes computed so far."""
        return self._written

    def compute(self, slots: threading.Semaphore) -> None:
        """Compute all bytes, or of large content those of some seconds; the rest follows in another thread.

        Parameters
        ----------
        slots : threading.Semaphore
            Acquired while large content is computed.

        Raises
        ------
        SpoolBusyError
            If no slot became free in time.
        BsvStoreError
            If a file of the store is damaged, or the disk is full.
        """
        with self._computing:
            if not self._is_started:
                if self._content.is_large and not slots.acquire(timeout=_SLOT_WAIT_S):
                    raise SpoolBusyError
                self._is_started = True
                if self._content.is_large:
                    threading.Thread(target=self._run, args=(slots,), daemon=True, name="bsv-store-spool").start()
                else:
                    self._run(slots)
        with self._changed:
            self._changed.wait_for(lambda: self._is_complete or self.has_failed, _COMPLETE_WAIT_S)
            if self._error is not None:
                raise self._error
        # An error can be reported only before the reply begins.
        self._wait_beyond(0)

    def read(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """The bytes [start, stop), by default to the end, in pieces; waits for those that are not computed yet.

        Raises
        ------
        BsvStoreError
            As `compute` does.
        """
        position = start
        while stop is None or position < stop:
            written = self._wait_beyond(position)
            if written <= position:
                return
            end = written if stop is None else min(stop, written)
            data = os.pread(self._file, min(_PIECE_BYTES, end - position), position)
            position += len(data)
            yield data

    def _wait_beyond(self, position: int) -> int:
        """Wait for a byte after the position or the end, and return the number of bytes that are computed."""
        with self._changed:
            self._changed.wait_for(lambda: self._written > position or self._is_complete or self.has_failed)
            if self._written <= position and self._error is not None:
                raise self._error
            return self._written

    def _run(self, slots: threading.Semaphore) -> None:
        error: Exception | None = None
        try:
            for piece in self._content.pieces():
                self._write(piece)
        except Exception as found:  # noqa: BLE001
            # Raised in the threads that read.
            error = found
        finally:
            if self._content.is_large:
                slots.release()
        with self._changed:
            self._error, self._is_complete = error, error is None
            self._changed.notify_all()

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
        with self._changed:
            self._written += written
            self._changed.notify_all()


class Spool:
    """The most recently used files, by ETag.

    Parameters
    ----------
    limit_bytes : int
        Total size beyond which the least recently used are removed. A file that is being sent stays until it is sent.
    large_at_a_time : int
        Maximum number of large files that are computed at the same time.
    """

    def __init__(self, *, limit_bytes: int = SPOOL_BYTES, large_at_a_time: int = LARGE_AT_A_TIME) -> None:
        self._limit_bytes = limit_bytes
        self._slots = threading.BoundedSemaphore(large_at_a_time)
        self._files: OrderedDict[str, SpooledFile] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, content: FileContent) -> SpooledFile:
        """The file with this content: complete, or if it is large, at least its first bytes.

        Raises
        ------
        SpoolBusyError, BsvStoreError
            As `SpooledFile.compute` does.
        """
        etag = content.etag
        with self._lock:
            found = self._files.get(etag)
            if found is None or found.has_failed:
                found = self._files[etag] = SpooledFile(content)
            self._files.move_to_end(etag)
        found.compute(self._slots)
        with self._lock:
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
