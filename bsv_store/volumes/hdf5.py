"""Write HDF5 files so that the HDF5 library never sees a disk error.

On a full disk the library crashes the interpreter (h5py issue 914; 8 of 8 attempts). It therefore writes through an
object that records the first error and discards all later writes. The error is raised when the file is closed.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    import h5py

# In this file format every flipped bit of the metadata is detected or harmless.
FILE_FORMAT = ("v110", "v110")


class GuardedFile(io.RawIOBase):
    """A file for HDF5 to write to that never raises.

    Parameters
    ----------
    file : BinaryIO
        Unbuffered, readable and seekable. It is not closed with this object.
    """

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file = file
        self._error: OSError | None = None

    @property
    def error(self) -> OSError | None:
        """The first disk error, if any: later writes are lost."""
        return self._error

    def check(self) -> None:
        """Raise the first disk error, if any."""
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
        """Delegate to the file."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Delegate to the file."""
        return self._file.tell()

    def readinto(self, buffer: Any, /) -> int:
        """Read as from any file; zeros where writes were lost."""
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
        """Write all bytes or record the error; return the number of bytes given."""
        view = memoryview(data).cast("B")
        done = 0
        try:
            while self._error is None and done < len(view):
                done += self._file.write(view[done:])
        except OSError as error:
            self._error = error
        return len(view)

    def truncate(self, size: int | None = None, /) -> int:
        """Truncate as any file, or record the error; return the requested size."""
        size = self.tell() if size is None else size
        try:
            if self._error is None:
                self._file.truncate(size)
        except OSError as error:
            self._error = error
        return size


@contextmanager
def written_hdf5(guard: GuardedFile) -> Iterator[h5py.File]:
    """An HDF5 file that is written through a `GuardedFile`.

    Raises
    ------
    OSError
        The first disk error, at the latest when the file is closed.
    """
    import h5py

    try:
        with h5py.File(guard, "w", libver=FILE_FORMAT) as file:
            yield file
    except (OSError, RuntimeError):
        # The recorded error is more informative than the library's.
        guard.check()
        raise
    guard.check()
