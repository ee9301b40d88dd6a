"""Blocks of planes in memory, from which single planes are taken quickly in any orientation.

Files are written in slabs of AP planes. Volumes of 100 and 50 um are cached as a whole. Of 25 and 10 um, a coronal
plane needs the slab of the file that contains it. A sagittal or horizontal plane needs the whole file. At 25 um it is
then read once and cached: the voxels that are not 0, or all voxels if more than 30 % are not 0. At 10 um, one pass over
the file collects as many neighboring planes as fit into a block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bsv_store.vocabulary import PlaneRow
from bsv_store.volumes.grid import AXES, Grid
from bsv_store.volumes.volume import SparseArray

_SLAB_BYTES = 1 << 24
_BLOCK_BYTES = 320 << 20
# A voxel in the sparse form takes 4 to 6 bytes more than a dense one, and planes take longer to make. Structure ids, 2
# bytes each, would not be smaller in the sparse form, because a third of the voxels are in the brain.
_DENSE_ABOVE = 0.3
_ALWAYS_DENSE_ITEMSIZE = 2

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
        return upright(np.take(self.values, index, axis=AXES.index(orientation.across)), orientation)


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


@dataclass(frozen=True, slots=True, eq=False)
class SparseVolume(SparseBlock):
    """A whole volume as coronal planes in which most voxels are 0.

    There is no copy that is sorted by sagittal or horizontal planes: making it would take longer than finding a hundred
    planes. `index` ascends in each coronal plane, so that a horizontal plane is a range of each.

    Attributes
    ----------
    columns : ndarray of uint16
        Of the voxels that are not 0: the index of their sagittal plane.
    """

    columns: NDArray[np.uint16]

    @property
    def nbytes(self) -> int:
        """Size in memory."""
        return self.starts.nbytes + self.index.nbytes + self.values.nbytes + self.columns.nbytes

    def plane(self, orientation: PlaneRow, index: int) -> NDArray[Any]:
        """A plane as rows (down) and columns (right), C order."""
        rows, columns = self.shape
        axis = AXES.index(orientation.across)
        if axis == 0:
            return SparseBlock.plane(self, orientation, index)
        plane = np.zeros((len(self.starts) - 1, columns if axis == 1 else rows), self.values.dtype)
        if axis == 1:
            ends = np.array([index, index + 1], np.uint32) * np.uint32(columns)
            for number in range(len(plane)):
                start, stop = self.starts[number : number + 2]
                low, high = start + np.searchsorted(self.index[start:stop], ends)
                plane[number, self.index[low:high] - ends[0]] = self.values[low:high]
        else:
            found = np.flatnonzero(self.columns == index)
            numbers = np.searchsorted(self.starts, found, side="right") - 1
            plane[numbers, self.index[found] // np.uint32(columns)] = self.values[found]
        return upright(plane, orientation)


Block = WholeVolume | DenseBlock | SparseBlock


def upright(values: NDArray[Any], orientation: PlaneRow) -> NDArray[Any]:
    """A plane, whose axes are in the order AP, DV, ML, as rows (down) and columns (right), C order."""
    is_upright = AXES.index(orientation.down) < AXES.index(orientation.right)
    return np.ascontiguousarray(values if is_upright else values.T)


def block_range(grid: Grid, orientation: PlaneRow, index: int, itemsize: int) -> tuple[str, int, int]:
    """The block that contains a plane: the axis across its planes ('' = the whole volume), first and last plane."""
    if not grid.is_large:
        return "", 0, grid.shape[0]
    axis = AXES.index(orientation.across)
    plane_bytes = grid.size // grid.shape[axis] * itemsize
    count = max(1, (_SLAB_BYTES if axis == 0 else _BLOCK_BYTES) // plane_bytes)
    first = index // count * count
    return orientation.across, first, min(first + count, grid.shape[axis])


def is_cached_whole(grid: Grid, itemsize: int) -> bool:
    """Whether a volume is small enough to be cached as a whole, if it is sparse or not."""
    return grid.size * itemsize <= _BLOCK_BYTES


def read_whole(
    read: ReadSlab, grid: Grid, itemsize: int, read_stored: ReadStored | None = None
) -> SparseVolume | WholeVolume:
    """Read a large volume once: its voxels that are not 0 by AP planes, or all of them if that is smaller."""
    pieces: list[_Voxels] = []
    count = 0
    dense: NDArray[Any] | None = None
    for start, stop in slab_ranges(grid, itemsize):
        if dense is None and itemsize > _ALWAYS_DENSE_ITEMSIZE:
            piece = _voxels((read_stored or read)(start, stop), start, stop, grid)
            pieces.append(piece)
            count += piece.index.size
            if count > _DENSE_ABOVE * grid.size:
                dense = np.zeros(grid.shape, piece.values.dtype)
                flat = dense.reshape(grid.shape[0], -1)
                for each in pieces:
                    planes = np.arange(each.first, each.first + each.counts.size)
                    flat[planes.repeat(each.counts), each.index] = each.values
                pieces.clear()
        else:
            slab = read(start, stop)
            dense = np.empty(grid.shape, slab.dtype) if dense is None else dense
            dense[start:stop] = slab
    if dense is not None:
        return WholeVolume(dense)
    starts = np.concatenate([[0], *(each.counts for each in pieces)]).cumsum()
    index = np.concatenate([each.index for each in pieces])
    values = np.concatenate([each.values for each in pieces])
    columns = (index % np.uint32(grid.shape[2])).astype(np.uint16)
    return SparseVolume(0, starts, index, values, grid.shape[1:], columns)


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
    if AXES.index(orientation.across) == 0:
        slab = read(first, last)
        if itemsize <= _ALWAYS_DENSE_ITEMSIZE or np.count_nonzero(slab) > _DENSE_ABOVE * slab.size:
            return DenseBlock(first, slab)
        found = _voxels(slab, first, last, grid)
        starts = np.concatenate([[0], found.counts]).cumsum()
        return SparseBlock(first, starts, found.index, found.values, grid.shape[1:])
    return _collected(read, grid, orientation, first, last, itemsize)


@dataclass(frozen=True, slots=True, eq=False)
class _Voxels:
    """The voxels of a slab that are not 0: how many each plane has, and their index in the flat plane and value."""

    first: int
    counts: NDArray[np.int64]
    index: NDArray[np.uint32]
    values: NDArray[Any]


def _voxels(slab: SparseArray | NDArray[Any], start: int, stop: int, grid: Grid) -> _Voxels:
    """The voxels of the AP planes [start, stop)."""
    size = grid.shape[1] * grid.shape[2]
    bounds = np.arange(stop - start + 1) * size
    if isinstance(slab, SparseArray):
        bounds += start * size
        index, values = slab.index.astype(np.uint32), slab.values
    else:
        flat = slab.reshape(-1)
        # NumPy finds the positions of booleans much faster than those of numbers.
        index = np.flatnonzero(flat != 0).astype(np.uint32)
        values = flat[index]
    places = np.searchsorted(index, bounds.astype(np.uint32))
    for bound, low, high in zip(bounds, places, places[1:], strict=False):
        index[low:high] -= np.uint32(bound)
    return _Voxels(start, np.diff(places), index, values)


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
    down, right = AXES.index(orientation.down), AXES.index(orientation.right)
    across = AXES.index(orientation.across)
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
