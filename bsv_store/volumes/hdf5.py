"""HDF5 files written to disk without harm: the HDF5 library never sees an error of the disk.

Writing to a full disk, the library crashes the interpreter (h5py issue 914; 8 of 8 tries). So it writes through an
object that keeps the first error for itself, swallows all that comes after it, and raises it when the file is closed.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    import h5py

# The file format in which every flipped bit of the metadata is noticed or harmless.
FILE_FORMAT = ("v110", "v110")


class GuardedFile(io.RawIOBase):
    """A file for HDF5 to write to, which never fails.

    Parameters
    ----------
    file : BinaryIO
        Unbuffered, readable and seekable; it is not closed with this object.
    """

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file = file
        self._error: OSError | None = None

    @property
    def error(self) -> OSError | None:
        """The first error of the disk, if there was one: what is written from then on is lost."""
        return self._error

    def check(self) -> None:
        """Raise the first error of the disk, if there was one."""
        if self._error is not None:
            raise self._error

    def readable(self) -> bool:
        """True."""
        return True

    def writable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """As of any file."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """As of any file."""
        return self._file.tell()

    def readinto(self, buffer: Any, /) -> int:
        """As of any file; zeros where what was written is lost."""
        view = memoryview(buffer).cast("B")
        count = 0
        try:
            while count < len(view) and (part := self._file.readinto(view[count:])):  # type: ignore[attr-defined]
                count += part
        except OSError as error:
            self._error = self._error or error
        view[count:] = bytes(len(view) - count)
        return len(view)

    def write(self, data: Any, /) -> int:
        """Write all of it, or keep the error; the number of bytes that were to be written."""
        view = memoryview(data).cast("B")
        done = 0
        try:
            while self._error is None and done < len(view):
                done += self._file.write(view[done:])
        except OSError as error:
            self._error = error
        return len(view)

    def truncate(self, size: int | None = None, /) -> int:
        """As of any file; the size that was asked for."""
        size = self.tell() if size is None else size
        try:
            if self._error is None:
                self._file.truncate(size)
        except OSError as error:
            self._error = error
        return size


@contextmanager
def written_hdf5(guard: GuardedFile) -> Iterator[h5py.File]:
    """An HDF5 file that is written through a guard, which says whether the disk still takes it.

    Raises
    ------
    OSError
        The first error of the disk, at the latest when the file is closed.
    """
    import h5py

    try:
        with h5py.File(guard, "w", libver=FILE_FORMAT) as file:
            yield file
    except (OSError, RuntimeError):
        # What the library makes of lost bytes is no news.
        guard.check()
        raise
    guard.check()
