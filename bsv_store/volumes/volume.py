"""Volumes in memory, dense or sparse."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bsv_store.vocabulary import VolumeKind
from bsv_store.volumes.grid import Grid
from bsv_store.volumes.layout import slab_ranges


@dataclass(frozen=True, slots=True)
class SparseArray:
    """The non-zero voxels of a volume, by linear C-order index over [ap, dv, ml].

    Attributes
    ----------
    grid : Grid
    index : ndarray of uint32, shape (n,)
        Strictly ascending.
    values : ndarray of float32, shape (n,)
        NaN = no data. All other voxels are 0.
    complete : bool
        Whether the values are known to contain no NaN.
    """

    grid: Grid
    index: NDArray[np.uint32]
    values: NDArray[np.float32]
    complete: bool = False

    @classmethod
    def from_dense(cls, array: NDArray[np.float32]) -> SparseArray:
        """The non-zero voxels of an array."""
        return cls.from_stored(array, array != 0)

    @classmethod
    def from_stored(cls, array: NDArray[np.float32], stored: NDArray[np.bool_]) -> SparseArray:
        """The voxels of an array that are selected by the mask of its non-zero voxels."""
        flat = array.reshape(-1)
        # np.flatnonzero is three times as fast on booleans as on numbers.
        index = np.flatnonzero(stored)
        return cls(Grid.from_shape(array.shape), index.astype(np.uint32), flat[index])

    def to_dense(self) -> NDArray[np.float32]:
        """The dense array, float32, shape (ap, dv, ml); NaN = no data."""
        return self.dense_planes(0, self.grid.shape[0])

    def planes(self, start: int, stop: int) -> SparseArray:
        """The voxels in the AP planes [start, stop), as views, indexed over the whole grid."""
        if start == 0 and stop == self.grid.shape[0]:
            return self
        plane = self.grid.shape[1] * self.grid.shape[2]
        # With another dtype, searchsorted would convert the whole index.
        low, high = np.searchsorted(self.index, np.array([start * plane, stop * plane], self.index.dtype))
        return SparseArray(self.grid, self.index[low:high], self.values[low:high], self.complete)

    def dense_planes(self, start: int, stop: int) -> NDArray[np.float32]:
        """The dense AP planes [start, stop), shape (stop - start, dv, ml); no voxel may lie outside of them."""
        shape = (stop - start, *self.grid.shape[1:])
        dense = np.zeros(shape, self.values.dtype)
        first = np.uint32(start * shape[1] * shape[2])
        dense.reshape(-1)[self.index - first if first else self.index] = self.values
        return dense


@dataclass(frozen=True, slots=True)
class Volume:
    """A validated volume in memory.

    Attributes
    ----------
    kind : VolumeKind
    array : ndarray of float32, shape (ap, dv, ml), C order
        Finite, or NaN = no data.
    """

    kind: VolumeKind
    array: NDArray[np.float32]

    @property
    def grid(self) -> Grid:
        """The grid that the array lies on."""
        return Grid.from_shape(self.array.shape)

    @property
    def non_zero(self) -> int:
        """Number of voxels that are not 0, including those without data."""
        return int(np.count_nonzero(self.array))

    @property
    def no_data_voxels(self) -> int:
        """Number of voxels without data."""
        return int(np.isnan(self.array).sum())

    def slabs(self) -> Iterator[NDArray[np.float32]]:
        """Consecutive slabs of AP planes, as views of shape (planes, dv, ml)."""
        return (self.array[start:stop] for start, stop in slab_ranges(self.grid))
