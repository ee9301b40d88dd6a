"""Blocks of planes in memory, from which single planes are taken quickly in any orientation.

Files are written in slabs of AP planes. Volumes of 100 and 50 um are cached as a whole. Of 25 and 10 um, a coronal
plane needs the slab of the file that contains it. A sagittal or horizontal plane needs the whole file. At 25 um it is
then read once and cached: its voxels that are not 0, sorted by planes, or all voxels if few are 0. At 10 um one pass
over the file collects as many neighboring planes as fit into a block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bsv_store.vocabulary import PlaneRow
from bsv_store.volumes.grid import ARRAY_AXES, Grid
from bsv_store.volumes.volume import SparseArray

_SLAB_BYTES = 1 << 24
_BLOCK_BYTES = 320 << 20
# Index and value of a sparse voxel take 4 bytes more than a dense one, and planes of it take longer to make.
_DENSE_ABOVE = 0.3

ReadSlab = Callable[[int, int], NDArray[Any]]
"""``read(first, last)`` returns the AP planes [first, last), shape (last - first, dv, ml)."""

ReadStored = Callable[[int, int], SparseArray | NDArray[Any]]
"""The same as it is stored. The index of a sparse array is over the whole grid."""


@dataclass(frozen=True, slots=True, eq=False)
class WholeVolume:
    """A whole volume.

    Attributes
    ----------
    values : ndarray, shape (ap, dv, ml)
    """

    values: NDArray[Any]

    @property
    def nbytes(self) -> int:
        """Size in memory."""
        return self.values.nbytes

    def plane(self, orientation: PlaneRow, index: int) -> NDArray[Any]:
        """A plane as rows (down) and columns (right), C order."""
        return upright(np.take(self.values, index, axis=ARRAY_AXES.index(orientation.across)), orientation)


@dataclass(frozen=True, slots=True, eq=False)
class DenseBlock:
    """Neighboring planes of one orientation.

    Attributes
    ----------
    first : int
        Index of the first plane.
    values : ndarray, shape (planes, down, right)
    """

    first: int
    values: NDArray[Any]

    @property
    def nbytes(self) -> int:
        """Size in memory."""
        return self.values.nbytes

    def plane(self, orientation: PlaneRow, index: int) -> NDArray[Any]:
        """A plane as rows (down) and columns (right), C order."""
        plane: NDArray[Any] = self.values[index - self.first]
        return plane


@dataclass(frozen=True, slots=True, eq=False)
class SparseBlock:
    """Neighboring planes of one orientation, of which most voxels are 0.

    Attributes
    ----------
    first : int
        Index of the first plane.
    starts : ndarray of int64, shape (planes + 1,)
        Where the voxels of each plane start in the other two arrays.
    index : ndarray of uint32
        Of the voxels that are not 0, in the flat plane.
    values : ndarray
        Their values; NaN = no data.
    shape : (int, int)
        Of a plane: down, right.
    """

    first: int
    starts: NDArray[np.int64]
    index: NDArray[np.uint32]
    values: NDArray[Any]
    shape: tuple[int, int]

    @property
    def nbytes(self) -> int:
        """Size in memory."""
        return self.starts.nbytes + self.index.nbytes + self.values.nbytes

    def plane(self, orientation: PlaneRow, index: int) -> NDArray[Any]:
        """A plane as rows (down) and columns (right), C order."""
        start, stop = self.starts[index - self.first : index - self.first + 2]
        flat = np.zeros(self.shape[0] * self.shape[1], self.values.dtype)
        flat[self.index[start:stop]] = self.values[start:stop]
        return flat.reshape(self.shape)


Block = WholeVolume | DenseBlock | SparseBlock


def upright(values: NDArray[Any], orientation: PlaneRow) -> NDArray[Any]:
    """A plane, whose axes are in the order AP, DV, ML, as rows (down) and columns (right), C order."""
    is_upright = ARRAY_AXES.index(orientation.down) < ARRAY_AXES.index(orientation.right)
    return np.ascontiguousarray(values if is_upright else values.T)


def block_range(grid: Grid, orientation: PlaneRow, index: int, itemsize: int) -> tuple[str, int, int]:
    """The block that contains a plane: the axis across its planes ('' = the whole volume), first and last plane."""
    if not grid.is_large:
        return "", 0, grid.shape[0]
    axis = ARRAY_AXES.index(orientation.across)
    plane_bytes = grid.size // grid.shape[axis] * itemsize
    count = max(1, (_SLAB_BYTES if axis == 0 else _BLOCK_BYTES) // plane_bytes)
    first = index // count * count
    return orientation.across, first, min(first + count, grid.shape[axis])


def is_cached_whole(grid: Grid, itemsize: int) -> bool:
    """Whether a volume is small enough to be cached as a whole, if it is sparse or not."""
    return grid.size * itemsize <= _BLOCK_BYTES


def read_whole(
    read: ReadSlab, grid: Grid, itemsize: int, read_stored: ReadStored | None = None
) -> SparseBlock | WholeVolume:
    """Read a large volume once: its voxels that are not 0 by AP planes, or all of them if that is smaller."""
    pieces: list[tuple[NDArray[np.integer[Any]], NDArray[np.uint32], NDArray[Any]]] = []
    count = 0
    dense: NDArray[Any] | None = None
    for start, stop in slab_ranges(grid, itemsize):
        if dense is not None:
            dense[start:stop] = read(start, stop)
            continue
        planes, index, values = _voxels((read_stored or read)(start, stop), start, grid)
        pieces.append((planes, index.astype(np.uint32), values))
        count += index.size
        if count > _DENSE_ABOVE * grid.size:
            dense = np.zeros(grid.shape, values.dtype)
            for earlier, where, what in pieces:
                dense.reshape(grid.shape[0], -1)[earlier, where] = what
            pieces.clear()
    if dense is not None:
        return WholeVolume(dense)
    return _sparse(
        0,
        grid.shape[0],
        np.concatenate([piece[0] for piece in pieces]),
        np.concatenate([piece[1] for piece in pieces]),
        np.concatenate([piece[2] for piece in pieces]),
        grid.shape[1:],
    )


def turned(whole: SparseBlock, grid: Grid, orientation: PlaneRow) -> SparseBlock:
    """The same voxels by the sagittal or horizontal planes."""
    place = [np.repeat(np.arange(grid.shape[0], dtype=np.uint32), np.diff(whole.starts))]
    place += np.divmod(whole.index, np.uint32(grid.shape[2]))
    across, down, right = (ARRAY_AXES.index(axis) for axis in (orientation.across, orientation.down, orientation.right))
    planes = place[across].astype(np.uint16)
    # Radix sort, since the planes are 16-bit numbers.
    order = np.argsort(planes, kind="stable")
    index = (place[down] * np.uint32(grid.shape[right]) + place[right])[order]
    shape = grid.shape[down], grid.shape[right]
    return _sparse(0, grid.shape[across], planes, index, whole.values[order], shape)


def slab_ranges(grid: Grid, itemsize: int) -> Iterator[tuple[int, int]]:
    """First and last AP plane of the slabs in which a whole volume is read, about 16 MiB each."""
    count = max(1, _SLAB_BYTES // (grid.shape[1] * grid.shape[2] * itemsize))
    for first in range(0, grid.shape[0], count):
        yield first, min(first + count, grid.shape[0])


def read_block(read: ReadSlab, grid: Grid, orientation: PlaneRow, where: tuple[str, int, int], itemsize: int) -> Block:
    """Read the block of `block_range` from the file."""
    across, first, last = where
    if not across:
        return WholeVolume(read(0, grid.shape[0]))
    if ARRAY_AXES.index(orientation.across) == 0:
        slab = read(first, last)
        rows, columns, values = _non_zero(slab)
        if rows.size > _DENSE_ABOVE * slab.size:
            return DenseBlock(first, slab)
        return _sparse(first, last, rows, columns.astype(np.uint32), values, slab.shape[1:])
    return _collected(read, grid, orientation, first, last, itemsize)


def _non_zero(slab: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[Any]]:
    """Plane, index in the flat plane, and value of the voxels that are not 0."""
    flat = slab.reshape(-1)
    found = np.flatnonzero(flat)
    planes, index = np.divmod(found, slab.shape[1] * slab.shape[2])
    return planes, index, flat[found]


def _voxels(
    slab: SparseArray | NDArray[Any], start: int, grid: Grid
) -> tuple[NDArray[np.integer[Any]], NDArray[np.integer[Any]], NDArray[Any]]:
    """AP plane in the volume, index in the flat plane, and value of the voxels of a slab that are not 0."""
    if isinstance(slab, SparseArray):
        planes, index = np.divmod(slab.index, np.uint32(grid.shape[1] * grid.shape[2]))
        return planes, index, slab.values
    rows, columns, values = _non_zero(slab)
    return rows + start, columns, values


def _sparse(
    first: int,
    last: int,
    planes: NDArray[Any],
    index: NDArray[np.uint32],
    values: NDArray[Any],
    shape: tuple[int, ...],
) -> SparseBlock:
    starts = np.concatenate(([0], np.cumsum(np.bincount(planes, minlength=last - first))))
    return SparseBlock(first, starts, index, values, (shape[0], shape[1]))


def _collected(
    read: ReadSlab, grid: Grid, orientation: PlaneRow, first: int, last: int, itemsize: int
) -> DenseBlock | SparseBlock:
    """The planes [first, last) across DV or ML, from all slabs of the file."""
    down, right = ARRAY_AXES.index(orientation.down), ARRAY_AXES.index(orientation.right)
    across = ARRAY_AXES.index(orientation.across)
    shape = grid.shape[down], grid.shape[right]
    size = (last - first) * shape[0] * shape[1]
    pieces: list[tuple[NDArray[np.uint16], NDArray[np.uint32], NDArray[Any]]] = []
    count = 0
    dense: NDArray[Any] | None = None
    # The position of each slab in the block: [planes, down, right], with AP as `down` or `right`.
    for start, stop in slab_ranges(grid, itemsize):
        slab = read(start, stop)
        if dense is None:
            part = slab[:, :, first:last] if across == 2 else slab[:, first:last]
            found = np.nonzero(part)
            place = [np.asarray(each) for each in found]
            place[0] = place[0] + start
            index = (place[down] * shape[1] + place[right]).astype(np.uint32)
            pieces.append((place[across].astype(np.uint16), index, part[found]))
            count += index.size
            if count > _DENSE_ABOVE * size:
                dense = np.zeros((last - first, *shape), slab.dtype)
                for planes, index, values in pieces:
                    dense.reshape(len(dense), -1)[planes, index] = values
                pieces.clear()
        else:
            part = slab[:, :, first:last] if across == 2 else slab[:, first:last]
            turned = part.transpose(across, down, right)
            if down == 0:
                dense[:, start:stop, :] = turned
            else:
                dense[:, :, start:stop] = turned
    if dense is not None:
        return DenseBlock(first, dense)
    planes = np.concatenate([piece[0] for piece in pieces])
    # Radix sort, since the planes are 16-bit numbers.
    order = np.argsort(planes, kind="stable")
    index = np.concatenate([piece[1] for piece in pieces])[order]
    values = np.concatenate([piece[2] for piece in pieces])[order]
    return _sparse(first, last, planes, index, values, shape)
