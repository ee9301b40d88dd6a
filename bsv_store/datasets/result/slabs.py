"""Hashes of the slabs of large results, which verify a part of a result without the rest of its file.

The content hash of a version, which is in the catalog, is one over the hashes of its arrays. At 25 and 10 um, the hash
of an array is one over the hashes of its slabs, which are the chunks of the file, and the file has those in the array
``slab_sha256``. So what is read is compared with the catalog: this table once in a process, then each slab.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from bsv_store.datasets.result.contents import describe_variable, write_dimension
from bsv_store.errors import DamagedFileError
from bsv_store.volumes.hdf5 import opened_hdf5
from bsv_store.volumes.hdf5_limits import HDF5_ERRORS, check_chunk_size

if TYPE_CHECKING:
    import h5py

    from bsv_store.volumes.files import StoreFiles
    from bsv_store.volumes.grid import Grid

TABLE: Final = "slab_sha256"
NO_GROUP: Final = "all"
"""Takes the place of the group number for arrays without groups."""

# Smaller results are verified as a whole.
_LARGEST_SPACING_UM = 25
_HASH_BYTES: Final = 32
# Results whose table was verified in this process. One takes 8 KB for each array at 25 um.
_MAX_TABLES: Final = 200

ArrayKey = tuple[str, int | str]
"""Name of an array, and number of the group or `NO_GROUP`."""


class _Hash(Protocol):
    def hexdigest(self) -> str: ...


def has_slab_hashes(grid: Grid) -> bool:
    """Whether arrays on a grid are hashed by slabs."""
    return grid.spacing_um <= _LARGEST_SPACING_UM


class ArrayHash:
    """The SHA-256 of an array, from its AP planes in ascending order.

    Parameters
    ----------
    slab_planes : int or None
        Number of AP planes in a slab, if the array is hashed by slabs; it divides the grid.
    """

    def __init__(self, slab_planes: int | None) -> None:
        self._planes = slab_planes
        self._hash = hashlib.sha256()
        self._filled = 0
        self.slabs: list[bytes] = []

    def update(self, block: NDArray[Any]) -> None:
        """Add planes; little-endian, C order."""
        if self._planes is None:
            self._hash.update(block.data)
            return
        at = 0
        while at < len(block):
            count = min(self._planes - self._filled, len(block) - at)
            self._hash.update(block[at : at + count].data)
            at, self._filled = at + count, self._filled + count
            if self._filled == self._planes:
                self.slabs.append(self._hash.digest())
                self._hash, self._filled = hashlib.sha256(), 0

    def hexdigest(self) -> str:
        """The hash, hexadecimal."""
        if self._planes is None:
            return self._hash.hexdigest()
        rest = [self._hash.digest()] if self._filled else []
        return hashlib.sha256(b"".join([*self.slabs, *rest])).hexdigest()


def content_of(hashes: Mapping[ArrayKey, _Hash]) -> str:
    """The content hash of a result, from those of its arrays in their order; see `ResultWriter`."""
    lines = "".join(f"{name} {group} {each.hexdigest()}\n" for (name, group), each in hashes.items())
    return hashlib.sha256(lines.encode()).hexdigest()


def array_keys(statistics: Sequence[str], groups: int, arrays: Sequence[str]) -> list[ArrayKey]:
    """The arrays of a result in the order of their hashes."""
    by_group = ((name, group) for name in statistics for group in range(groups))
    return [*by_group, *((name, NO_GROUP) for name in arrays)]


def create_table(file: h5py.File, arrays: int, slabs: int) -> None:
    """Create the table of a result file."""
    table = file.create_dataset(TABLE, shape=(arrays, slabs, _HASH_BYTES), dtype="u1")
    for axis, (name, size) in enumerate((("hashed_array", arrays), ("slab", slabs), ("hash_byte", _HASH_BYTES))):
        table.dims[axis].attach_scale(write_dimension(file, name, size))
    words = "SHA-256 of each slab of AP planes of each array: statistics by group, then maps"
    describe_variable(table, long_name=words)
    file.attrs["coordinates"] = f"{file.attrs['coordinates']} {TABLE}"


def fill_table(file: h5py.File, hashes: Sequence[ArrayHash]) -> None:
    """Write the hashes into the table of a result file."""
    packed = np.frombuffer(b"".join(slab for each in hashes for slab in each.slabs), np.uint8)
    file[TABLE][...] = packed.reshape(file[TABLE].shape)


@dataclass(frozen=True, slots=True)
class _RecordedHash:
    """The hash of an array, from those of its slabs."""

    slabs: NDArray[np.uint8]

    def hexdigest(self) -> str:
        return hashlib.sha256(self.slabs.tobytes()).hexdigest()


def verified_table(
    file: h5py.File, keys: Sequence[ArrayKey], slabs: int, content_sha256: str
) -> NDArray[np.uint8] | None:
    """The table of an open file, shape (arrays, slabs, 32); None if it is not that of arrays with this content hash."""
    table = file[TABLE]
    if table.shape != (len(keys), slabs, _HASH_BYTES) or table.dtype != np.uint8:
        return None
    check_chunk_size(table, TABLE)
    found: NDArray[np.uint8] = table[...]
    hashes = {key: _RecordedHash(row) for key, row in zip(keys, found, strict=True)}
    return found if content_of(hashes) == content_sha256 else None


@dataclass(frozen=True, slots=True)
class LargeResult:
    """A result file at 25 or 10 um, as the catalog records it.

    Attributes
    ----------
    files : StoreFiles
    path : str
        Relative to the store.
    size_bytes : int
    content_sha256 : str
    keys : tuple
        From `array_keys`.
    grid : Grid
    planes : int
        Number of AP planes in a slab.
    what : str
        Name of the version in messages.
    """

    files: StoreFiles
    path: str
    size_bytes: int
    content_sha256: str
    keys: tuple[ArrayKey, ...]
    grid: Grid
    planes: int
    what: str

    def read_into(self, out: NDArray[Any], name: str, group: int | str, where: tuple[slice, slice, slice]) -> bool:
        """Read a part of an array into ``out``, shape as ``where``; False if the whole file must be verified instead.

        This is the case if the file was written before slabs were hashed, or is damaged.

        Raises
        ------
        StoreUnreachableError
            If the store is on a server that cannot be reached, and the part is not in the cache.
        """
        try:
            return self.files.read_undamaged(self.path, lambda: self._read(out, name, group, where))
        except DamagedFileError:
            return False

    def _read(self, out: NDArray[Any], name: str, group: int | str, where: tuple[slice, slice, slice]) -> bool:
        with self.files.opened(self.path, size_bytes=self.size_bytes) as stream:
            try:
                with opened_hdf5(stream, what=f"the file of {self.what}", arrays=[name, TABLE]) as file:
                    self._read_slabs(file, out, name, group, where)
                    return True
            except KeyError:
                # Without a table the file is intact, so that it must not be discarded from a cache.
                return False
            except HDF5_ERRORS as error:
                raise DamagedFileError(f"the file of {self.what} is damaged: {error}") from error

    def _read_slabs(
        self, file: h5py.File, out: NDArray[Any], name: str, group: int | str, where: tuple[slice, slice, slice]
    ) -> None:
        hashes = self._table(file)[self.keys.index((name, group))]
        dataset = file[name]
        prefix = () if group == NO_GROUP else (group,)
        if dataset.shape[len(prefix) :] != self.grid.shape or dataset.dtype != out.dtype:
            raise ValueError(f"{name} has another shape or type than was written")
        check_chunk_size(dataset, name)
        along, *across = where
        for number in range(along.start // self.planes, -(-along.stop // self.planes)):
            first = number * self.planes
            slab = np.ascontiguousarray(dataset[(*prefix, slice(first, first + self.planes))])
            if hashlib.sha256(slab.data).digest() != hashes[number].tobytes():
                raise ValueError(f"slab {number} of {name} has changed")
            low, high = max(along.start, first), min(along.stop, first + self.planes)
            out[low - along.start : high - along.start] = slab[(slice(low - first, high - first), *across)]

    def _table(self, file: h5py.File) -> NDArray[np.uint8]:
        known = _tables.get(self.content_sha256)
        if known is not None:
            return known
        table = verified_table(file, self.keys, self.grid.shape[0] // self.planes, self.content_sha256)
        if table is None:
            raise ValueError(f"its array {TABLE} has changed")
        if len(_tables) >= _MAX_TABLES:
            _tables.clear()
        _tables[self.content_sha256] = table
        return table


_tables: dict[Hashable, NDArray[np.uint8]] = {}
