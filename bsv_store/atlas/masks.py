"""Masks of structures, and sums of sparse volumes over structures without dense arrays."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from bsv_store.atlas.labels import BLOCK_VOXELS, StructureLabels, positions
from bsv_store.check import choice
from bsv_store.errors import FrameError
from bsv_store.vocabulary import MEASURED_HEMISPHERES, MeasuredHemisphere
from bsv_store.volumes.grid import Grid
from bsv_store.volumes.layout import slab_ranges
from bsv_store.volumes.volume import SparseArray

_LEFT, _RIGHT = 0, 1
_ABSOLUTE = {name: row for name, row in MEASURED_HEMISPHERES.items() if not row.is_relative}


def absolute_hemisphere(value: object) -> MeasuredHemisphere:
    """The hemisphere that a value names: both, left or right.

    Raises
    ------
    InputError
        If the value is not valid.
    """
    return choice("hemisphere", value, _ABSOLUTE).name


def mask_of(annotation: Any, ids: Collection[int], *, hemisphere: MeasuredHemisphere = "both") -> NDArray[np.bool_]:
    """The voxels of structures.

    Parameters
    ----------
    annotation : ndarray of int, or an open HDF5 dataset of them, shape (ap, dv, ml)
        Structure id of each voxel on a CCFv3 grid; read in blocks.
    ids : collection of int
        Of the structures and their descendants: the annotation contains only the finest structures.
    hemisphere : {'both', 'left', 'right'}
        See `absolute_hemisphere`.

    Returns
    -------
    ndarray of bool, shape (ap, dv, ml)
    """
    grid = Grid.from_shape(tuple(annotation.shape), what="the annotation")
    wanted = np.array(sorted(ids), np.int64)
    mask = np.empty(grid.shape, np.bool_)
    for first, last in slab_ranges(grid):
        mask[first:last] = positions(annotation[first:last], wanted) >= 0
    if hemisphere != "both":
        other = slice(grid.midline, None) if hemisphere == "left" else slice(None, grid.midline)
        mask[..., other] = False
    return mask


def hemisphere_columns(side: MeasuredHemisphere, injected: str | None) -> list[int] | None:
    """The columns (left, right) of a hemisphere; None if it depends on an unknown injected hemisphere."""
    if side == "both":
        return [_LEFT, _RIGHT]
    if side == "left":
        return [_LEFT]
    if side == "right":
        return [_RIGHT]
    if side == "ipsilateral" or side == "contralateral":
        if injected is None:
            return None
        return [_LEFT if (side == "ipsilateral") == (injected == "left") else _RIGHT]
    assert_never(side)


class StructureVoxels:
    """The voxels of some structures, for summing volumes over them.

    Structures may contain each other. Memory: two bytes for each voxel of the AP planes that contain them, or one byte
    for fewer than 128 structures including descendants, and a few blocks, even while volumes are summed.

    Parameters
    ----------
    annotation : ndarray of int, or an open HDF5 dataset of them, shape (ap, dv, ml)
        Structure id of each voxel on a CCFv3 grid; read in blocks.
    structures : mapping of int to collection of int
        The requested structures, each with the ids of itself and all descendants.

    Attributes
    ----------
    grid : Grid
    planes : tuple of int
        AP planes [first, last) that contain them.
    voxels : ndarray of int64, shape (structures, 2)
        Number of voxels on the left and on the right.
    """

    def __init__(self, annotation: Any, structures: Mapping[int, Collection[int]]) -> None:
        self.grid = Grid.from_shape(tuple(annotation.shape), what="the annotation")
        self._of = StructureLabels(structures)
        self._of_label = np.zeros(self._of.count, np.int64)
        # Pages that are never written take no memory.
        labels = np.zeros(self.grid.shape, self._of.dtype)
        contains = np.zeros(self.grid.shape[0], np.bool_)
        for first, last in slab_ranges(self.grid):
            block = self._of.labels(annotation[first:last])
            contains[first:last] = block.any(axis=(1, 2))
            if contains[first:last].any():
                labels[first:last] = block
                self._of_label += self._of.counts(block)
        planes = np.flatnonzero(contains)
        self.planes = (int(planes[0]), int(planes[-1]) + 1) if planes.size else (0, 0)
        self._labels = labels[self.planes[0] : self.planes[1]].reshape(-1)
        self._start = self.planes[0] * self.grid.shape[1] * self.grid.shape[2]
        self.voxels = self._of.by_structure(self._of_label).astype(np.int64)

    def sums(self, volume: SparseArray | NDArray[np.floating[Any]]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Sum of a volume over each structure and side, and number of voxels with a value.

        Parameters
        ----------
        volume : SparseArray or ndarray, shape (ap, dv, ml)
            NaN = no data. A dense one may have the AP planes `planes` only.

        Returns
        -------
        sums : ndarray of float64, shape (structures, 2)
            Left and right.
        voxels : ndarray of int64, shape (structures, 2)

        Raises
        ------
        FrameError
            If the volume is not on the annotation's grid.
        """
        shape = volume.grid.shape if isinstance(volume, SparseArray) else volume.shape
        part = (self.planes[1] - self.planes[0], *self.grid.shape[1:])
        if shape != self.grid.shape and not (isinstance(volume, np.ndarray) and shape == part):
            raise FrameError(
                f"the annotation has the shape {self.grid.shape}, the volume has {shape}",
                hint="Use the annotation of the same spacing.",
            )
        total, known = np.zeros(self._of.count), self._of_label.copy()
        for labels, values in self._parts(volume):
            sums, unknown = self._of.sums(labels, values)
            total += sums
            known -= unknown
        return self._of.by_structure(total), self._of.by_structure(known).astype(np.int64)

    def _parts(self, volume: SparseArray | NDArray[np.floating[Any]]) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
        """Labels and values of the stored voxels in `planes`, in blocks."""
        if isinstance(volume, SparseArray):
            # With the dtype of the index, so that NumPy does not convert all of it.
            ends = np.array([self._start, self._start + self._labels.size], volume.index.dtype)
            first, last = np.searchsorted(volume.index, ends)
            for start in range(int(first), int(last), BLOCK_VOXELS):
                part = slice(start, min(start + BLOCK_VOXELS, int(last)))
                yield self._labels[volume.index[part].astype(np.int64) - self._start], volume.values[part]
            return
        whole = len(volume) == self.grid.shape[0]
        values = (volume[self.planes[0] : self.planes[1]] if whole else volume).reshape(-1)
        for start in range(0, values.size, BLOCK_VOXELS):
            yield self._labels[start : start + BLOCK_VOXELS], values[start : start + BLOCK_VOXELS]
