"""Write HDF5 files so that the HDF5 library never sees a disk error, and read only what is in a file itself.

Writing: on a full disk the library crashes the interpreter (h5py issue 914; 8 of 8 attempts). It therefore writes
through an object that records the first error and discards all later writes. The error is raised when the file is
closed.

Reading: an HDF5 file can name other files, which the library then opens: external links, external storage and virtual
datasets. Files are therefore opened with `opened_hdf5` only, which refuses everything that this package does not write.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

from bsv_store.errors import DamagedFileError, StoreError
from bsv_store.text import shown
from bsv_store.volumes.hdf5_limits import HDF5_ERRORS

if TYPE_CHECKING:
    import h5py

# In this file format every flipped bit of the metadata is detected or harmless.
FILE_FORMAT = ("v110", "v110")

# Twenty times the arrays of the largest result.
_MAX_ARRAYS = 1000
# Deflate, byte shuffle and Fletcher32. The library would load other filters from a folder of plugins.
_FILTERS = frozenset({1, 2, 3})


@contextmanager
def opened_hdf5(
    stream: BinaryIO | io.RawIOBase, *, what: str, arrays: Iterable[str] | None = None
) -> Iterator[h5py.File]:
    """An HDF5 file open for reading, all of whose arrays are in the file itself.

    Parameters
    ----------
    stream : file
        Readable and seekable.
    what : str
        Name of the file for errors.
    arrays : iterable of str, optional
        The arrays that are read: only these are checked, which is faster. By default all.

    Raises
    ------
    DamagedFileError
        If it has anything but arrays of numbers and text in its root group: a link of any kind to another place, a
        group, a virtual dataset, external storage, references, or filters that this package does not use.
    StoreError
        If the system cannot read the stream. That is not damage: the next attempt may succeed.
    OSError, RuntimeError, ValueError, KeyError
        If the library cannot read its content, or one of ``arrays`` is missing.
    """
    import h5py

    source = stream if isinstance(stream, io.BytesIO) else _Source(stream)
    try:
        with h5py.File(source, "r") as file:
            problem = _foreign_content(file, file.id if arrays is None else [name.encode() for name in arrays])
            if problem is not None:
                raise DamagedFileError(f"{what} is not a file that bsv-store writes: {problem}")
            yield file
    except HDF5_ERRORS as error:
        if isinstance(source, io.BytesIO) or source.error is None:
            raise
        raise StoreError(
            f"{what} cannot be read: {source.error.strerror or source.error}", hint="Check the disk."
        ) from error


class _Observed(io.RawIOBase):
    """A seekable file for HDF5 that stores the first error of the system; see the classes below."""

    def __init__(self, file: BinaryIO | io.RawIOBase) -> None:
        super().__init__()
        self._file = file
        self._error: OSError | None = None

    @property
    def error(self) -> OSError | None:
        """The first disk error, if any."""
        return self._error

    def readable(self) -> bool:
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


class _Source(_Observed):
    """A file for HDF5 to read from that stores an error of the system, which HDF5 reports in other words."""

    def readinto(self, buffer: Any, /) -> int:
        """Delegate to the file."""
        try:
            return self._file.readinto(buffer)  # type: ignore[union-attr]
        except OSError as error:
            self._error = self._error or error
            raise


def _foreign_content(file: h5py.File, names: Iterable[bytes]) -> str | None:
    """What a file has under these names that this package never writes, without following any link; None if nothing."""
    from h5py import h5d, h5l, h5o, h5t

    count = len(file)
    if count > _MAX_ARRAYS:
        return f"it has {count:,} arrays"
    for name in names:
        if not file.id.links.exists(name):
            raise KeyError(f"it does not have the array {_shown(name)}")
        if file.id.links.get_info(name).type != h5l.TYPE_HARD:
            return f"{_shown(name)} is a link to another place"
        found = h5o.open(file.id, name)
        if not isinstance(found, h5d.DatasetID):
            return f"{_shown(name)} is not an array"
        properties = found.get_create_plist()
        if properties.get_layout() == h5d.VIRTUAL or properties.get_external_count():
            return f"the values of {_shown(name)} are in other places"
        filters = [properties.get_filter(number)[0] for number in range(properties.get_nfilters())]
        if not {*filters} <= _FILTERS or len({*filters}) < len(filters):
            return f"{_shown(name)} has a filter that bsv-store does not use"
        if found.get_type().get_class() not in (h5t.INTEGER, h5t.FLOAT, h5t.STRING):
            return f"{_shown(name)} has values that are neither numbers nor text"
    return None


def _shown(name: bytes) -> str:
    """The name of an HDF5 object for a message."""
    return shown(name.decode(errors="backslashreplace"))


class GuardedFile(_Observed):
    """A file for HDF5 to write to that never raises.

    Parameters
    ----------
    file : BinaryIO
        Unbuffered, readable and seekable. It is not closed with this object.
    """

    def check(self) -> None:
        """Raise the first disk error, if any: later writes are lost."""
        if self._error is not None:
            raise self._error

    def writable(self) -> bool:
        """True."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """Read as from any file; zeros where writes were lost."""
        view = memoryview(buffer).cast("B")
        count = 0
        try:
            while count < len(view) and (part := self._file.readinto(view[count:])):  # type: ignore[union-attr]
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
