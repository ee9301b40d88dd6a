"""A file of which some blocks are downloaded: a sparse file, and beside it one byte for each block.

Blocks are marked after they are written, so that after a kill the next process continues with the others. Blocks that
are not what was published are detected by those who read them: the hash of the whole file, or of the parts of a volume.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from bsv_store.checkpoints import checkpoint
from bsv_store.remote.folder import FILE_MODE

BLOCK_BYTES: Final = 64 * 1024
MARKS_ENDING: Final = ".blocks"


class PartialFile:
    """An open file of which some blocks are present.

    Parameters
    ----------
    path : pathlib.Path
        Created if it does not exist; its folder must exist.
    size_bytes : int
        Of the complete file.
    """

    def __init__(self, path: Path, size_bytes: int) -> None:
        self.path = path
        self.size_bytes = size_bytes
        self.block_count = -(-size_bytes // BLOCK_BYTES)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self._data = os.open(path, flags, FILE_MODE)
        try:
            self._marks = os.open(marks_of(path), flags, FILE_MODE)
        except BaseException:
            os.close(self._data)
            raise
        try:
            if os.fstat(self._data).st_size != size_bytes or os.fstat(self._marks).st_size != self.block_count:
                # New, or something else changed it: nothing counts as present.
                os.ftruncate(self._marks, 0)
                os.ftruncate(self._marks, self.block_count)
                os.ftruncate(self._data, size_bytes)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the files."""
        os.close(self._data)
        os.close(self._marks)

    def missing(self, first: int = 0, last: int | None = None) -> Iterator[tuple[int, int]]:
        """The runs of missing blocks among the blocks [first, last), each as its first and its end."""
        end = self.block_count if last is None else min(last, self.block_count)
        marks = os.pread(self._marks, end - first, first)
        at = 0
        while (start := marks.find(b"\0", at)) >= 0:
            at = start
            while at < len(marks) and not marks[at]:
                at += 1
            yield first + start, first + at

    def is_empty(self) -> bool:
        """Whether no block is present."""
        return list(self.missing()) == [(0, self.block_count)]

    def read(self, start: int, count: int) -> bytes:
        """The bytes from an offset, of blocks that are present; fewer at the end of the file."""
        parts = []
        while count > 0 and (part := os.pread(self._data, count, start)):
            parts.append(part)
            start, count = start + len(part), count - len(part)
        return b"".join(parts)

    def window(self, start: int, stop: int) -> Window:
        """A file for a transfer to write the bytes [start, stop) to; ``start`` is the start of a block."""
        return Window(self, start, stop)

    def is_same(self, facts: os.stat_result) -> bool:
        """Whether this is the file with these facts."""
        return os.path.samestat(os.fstat(self._data), facts)

    def sync(self) -> None:
        """Flush the data to disk."""
        os.fsync(self._data)

    def _write(self, data: Any, at: int) -> None:
        _write_all(self._data, data, at)

    def _mark(self, first: int, last: int) -> None:
        _write_all(self._marks, b"\1" * (last - first), first)
        checkpoint("cache:block")

    def _unmark(self, first: int, last: int) -> None:
        _write_all(self._marks, b"\0" * (last - first), first)


def _write_all(descriptor: int, data: Any, at: int) -> None:
    view = memoryview(data).cast("B")
    while view:
        # A call may write only a part, for example when the disk is almost full.
        count = os.pwrite(descriptor, view, at)
        view, at = view[count:], at + count


class SeekableFile(io.RawIOBase):
    """A readable file with a position; those that derive from it say where it ends, and read from the position."""

    def __init__(self) -> None:
        super().__init__()
        self._at = 0

    @property
    def end(self) -> int:
        """Offset of the end."""
        raise NotImplementedError

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """The position."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move the position."""
        self._at = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.end}[whence] + offset
        return self._at


class Window(SeekableFile):
    """A range of a partial file, as the file that receives a transfer. Blocks are marked when they are complete."""

    def __init__(self, file: PartialFile, start: int, stop: int) -> None:
        super().__init__()
        self._file = file
        self._start = start
        self._stop = stop
        self._end = 0

    @property
    def end(self) -> int:
        """Where the last write ended."""
        return self._end

    def writable(self) -> bool:
        """True."""
        return True

    def truncate(self, size: int | None = None, /) -> int:
        """Forget what was written after the position."""
        self._end = self._at if size is None else size
        first = (self._start + self._end) // BLOCK_BYTES
        self._file._unmark(first, max(first, -(-self._stop // BLOCK_BYTES)))
        return self._end

    def readinto(self, buffer: Any, /) -> int:
        """Read what was written."""
        view = memoryview(buffer).cast("B")
        data = self._file.read(self._start + self._at, max(0, min(len(view), self._end - self._at)))
        view[: len(data)] = data
        self._at += len(data)
        return len(data)

    def write(self, data: Any, /) -> int:
        """Write at the position."""
        count = memoryview(data).nbytes
        before, after = self._start + self._at, self._start + self._at + count
        if after > self._stop:
            raise ValueError(f"more than the requested {self._stop - self._start} bytes were received")
        self._file._write(data, before)
        self._at += count
        self._end = max(self._end, self._at)
        complete = self._file.block_count if after == self._file.size_bytes else after // BLOCK_BYTES
        if complete > (first := before // BLOCK_BYTES):
            self._file._mark(first, complete)
        return count


def marks_of(path: Path) -> Path:
    """The file beside a partial file that says which blocks are present."""
    return path.with_name(path.name + MARKS_ENDING)


def remove_partial(path: Path) -> None:
    """Remove a partial file, if it exists. Processes that have it open continue to use their own blocks."""
    # The marks first: without them, no block counts as present.
    for each in (marks_of(path), path):
        with contextlib.suppress(FileNotFoundError):
            each.unlink()
