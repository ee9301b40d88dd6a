"""Reading a slab of a member's volume and masks into flat, reused buffers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bsv_store.averaging.hemisphere import injected_half
from bsv_store.errors import FrameError, InputError
from bsv_store.vocabulary import Hemisphere
from bsv_store.volumes.volume import SparseArray

Voxels = SparseArray | NDArray[np.floating[Any]]
"""A volume over the whole grid, sparse or dense with axes [ap, dv, ml], or only its AP planes in the slab."""

Mask = SparseArray | NDArray[np.floating[Any]] | NDArray[np.bool_]
"""A volume of fractions, sparse or dense, or a dense boolean array."""


@dataclass(frozen=True, slots=True)
class Flat:
    """Voxels by C-order index inside the slab; all others are 0. Valid until the reader's next volume.

    Attributes
    ----------
    index : ndarray of intp, shape (n,)
        Unique.
    values : ndarray of float64, shape (n,)
    """

    index: NDArray[np.intp]
    values: NDArray[np.float64]


class SlabReader:
    """Reader of volumes over a slab of AP planes.

    Parameters
    ----------
    shape : tuple of int
        The whole grid, (ap, dv, ml).
    ap_range : tuple of int
        First AP plane of the slab and the one after its last.

    Attributes
    ----------
    first : int
        Index of the slab's first voxel in the whole grid.
    """

    def __init__(self, shape: tuple[int, int, int], ap_range: tuple[int, int]) -> None:
        self.grid_shape = shape
        self.ap_range = ap_range
        self.shape = (ap_range[1] - ap_range[0], *shape[1:])
        self.size = self.shape[0] * shape[1] * shape[2]
        self.first = ap_range[0] * shape[1] * shape[2]
        self._listed: Flat | None = None
        self._dropped: NDArray[np.bool_] | None = None
        self._difference: NDArray[np.float64] | None = None

    def slab_of(self, array: NDArray[Any], what: str) -> NDArray[Any]:
        """The slab of a dense array over the whole grid or the slab, flat in C order; a view where possible.

        Raises
        ------
        FrameError
            If the array is on another grid.
        """
        if tuple(array.shape) == self.shape:
            return np.ascontiguousarray(array).ravel()
        self._check_shape(array.shape, what)
        return np.ascontiguousarray(array[self.ap_range[0] : self.ap_range[1]]).ravel()

    def listed(self, voxels: SparseArray, what: str) -> tuple[NDArray[np.uint32], NDArray[np.float32]]:
        """Index and values of a sparse volume in the slab, the index still that of the whole grid; views.

        Raises
        ------
        FrameError
            If the volume is on another grid.
        InputError
            If the index points outside the grid, or there are more or fewer values.
        """
        self._check_shape(voxels.grid.shape, what)
        index, values = voxels.index, voxels.values
        if index.size != values.size:
            raise InputError(f"{what} lists {index.size} voxels with {values.size} values")
        if index.size and int(index[-1]) >= self._grid_size:
            raise InputError(f"{what} lists voxels outside its grid", hint="The file is damaged; fetch it again.")
        if self.size == self._grid_size:
            return index, values
        # With the dtype of the index, so that NumPy does not convert all of it.
        low, high = np.searchsorted(index, np.array([self.first, self.first + self.size], index.dtype))
        return index[low:high], values[low:high]

    def flat(self, voxels: Voxels, divisor: float, what: str) -> Flat:
        """The voxels of the slab that are not 0, divided by the divisor in float64.

        Raises
        ------
        FrameError
            If the volume is on another grid.
        InputError
            If a sparse index points outside the grid.
        """
        if isinstance(voxels, SparseArray):
            index, values = self.listed(voxels, what)
            flat = self._buffers(index.size)
            np.subtract(index, index.dtype.type(self.first), out=flat.index)
            if divisor != 1:
                np.divide(values, divisor, out=flat.values, dtype=np.float64)
            else:
                np.copyto(flat.values, values)
        else:
            dense = self.slab_of(voxels, what)
            listed = np.flatnonzero(dense)
            flat = self._buffers(listed.size)
            np.copyto(flat.index, listed)
            np.divide(dense[listed], divisor, out=flat.values, dtype=np.float64)
        return flat

    def dropped(self, flat: Flat, exclude: Mask | None, *, symmetric: bool, what: str) -> NDArray[np.bool_] | None:
        """Which voxels of the slab are not counted; None if all are.

        Parameters
        ----------
        flat : Flat
            NaN = no data: not counted.
        exclude : SparseArray or ndarray, optional
            Voxels above 0 (or NaN, or true) are not counted.
        symmetric : bool
            Whether the mirrored voxel is not counted either.

        Returns
        -------
        ndarray of bool, shape (n_voxels,), or None
            A buffer, valid until the next call.
        """
        has_nan = flat.values.size > 0 and np.isnan(flat.values.min())
        if not has_nan and exclude is None:
            return None
        if self._dropped is None:
            self._dropped = np.empty(self.size, np.bool_)
        dropped = self._dropped
        dropped.fill(False)
        if has_nan:
            dropped[flat.index[np.isnan(flat.values)]] = True
        if isinstance(exclude, SparseArray):
            index, values = self.listed(exclude, f"the exclusion mask of {what}")
            dropped[index[~(values <= 0)].astype(np.intp) - self.first] = True
        elif exclude is not None:
            dropped |= ~(self.slab_of(exclude, f"the exclusion mask of {what}") <= 0)
        if symmetric:
            planes = dropped.reshape(self.shape)
            planes |= planes[..., ::-1].copy()
        return dropped

    def weights(
        self, weights: Mask | float, dropped: NDArray[np.bool_] | None, *, symmetric: bool, what: str
    ) -> NDArray[np.float64]:
        """Weight of every voxel of the slab, float64; 0 for voxels without data or that are not counted.

        With `symmetric` a voxel and its mirror both get the smaller of their two weights, since a difference is as
        reliable as the less reliable of its two voxels.

        Raises
        ------
        InputError
            If a weight is negative or infinite.
        """
        name = f"the weights of {what}"
        result = np.zeros(self.size)
        if isinstance(weights, float):
            result.fill(weights)
        elif isinstance(weights, SparseArray):
            index, values = self.listed(weights, name)
            result[index.astype(np.intp) - self.first] = values
        else:
            np.copyto(result, self.slab_of(weights, name))
        np.copyto(result, 0.0, where=np.isnan(result))
        if result.size and not (result.min() >= 0 and np.isfinite(result.max())):
            raise InputError(f"{name} must be finite and not negative", hint="Use an unmodified data mask.")
        if symmetric:
            planes = result.reshape(self.shape)
            np.minimum(planes, planes[..., ::-1].copy(), out=planes)
        if dropped is not None:
            result[dropped] = 0.0
        return result

    def without(self, flat: Flat, dropped: NDArray[np.bool_]) -> Flat:
        """The voxels that are counted."""
        kept = ~dropped[flat.index]
        return Flat(flat.index[kept], flat.values[kept])

    def subtracted(self, flat: Flat, injected: Hemisphere) -> Flat:
        """Signal minus the mirrored voxel in the injected hemisphere; 0 in the other one.

        Only voxels that are not 0 are processed, in a buffer whose other elements are not read.
        """
        width = self.shape[2]
        half = injected_half(width, injected)
        ml = flat.index % width
        own = (ml >= half.start) & (ml < half.stop)
        here, there = flat.index[own], flat.index[~own]
        mirrored = there + (width - 1) - 2 * ml[~own]
        if self._difference is None:
            self._difference = np.empty(self.size)
        difference = self._difference
        # NaN marks voxels that have not been written, so that none is listed twice.
        difference[mirrored] = np.nan
        difference[here] = 0.0
        index = np.concatenate([here, mirrored[np.isnan(difference[mirrored])]])
        difference[mirrored] = 0.0
        difference[here] = flat.values[own]
        difference[mirrored] -= flat.values[~own]
        return Flat(index, difference[index])

    def release(self) -> None:
        """Free the buffers; the next volume allocates them again."""
        self._listed = self._dropped = self._difference = None

    def _check_shape(self, shape: tuple[int, ...], what: str) -> None:
        if tuple(shape) != self.grid_shape:
            raise FrameError(
                f"{what} has the shape {tuple(shape)}, the average has {self.grid_shape}",
                hint="All volumes of an average have one spacing and one coordinate frame.",
            )

    @property
    def _grid_size(self) -> int:
        ap, dv, ml = self.grid_shape
        return ap * dv * ml

    def _buffers(self, count: int) -> Flat:
        if self._listed is None or self._listed.index.size < count:
            # Allocate more than needed, so that slowly growing volumes do not allocate each time.
            capacity = min(self.size, count + count // 4)
            self._listed = Flat(np.empty(capacity, np.intp), np.empty(capacity))
        return Flat(self._listed.index[:count], self._listed.values[:count])
