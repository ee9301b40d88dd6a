"""Which voxels belong to which structures: masks, and sums of sparse volumes over structures without dense arrays."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from bsv_store.errors import FrameError, InputError
from bsv_store.volumes.annotation import runs
from bsv_store.volumes.grid import Grid
from bsv_store.volumes.layout import slab_ranges
from bsv_store.volumes.volume import SparseArray

MaskHemisphere = Literal["both", "left", "right"]
MASK_HEMISPHERES: tuple[MaskHemisphere, ...] = get_args(MaskHemisphere)


def mask_hemisphere(name: str) -> MaskHemisphere:
    """The part of the brain of that name.

    Raises
    ------
    InputError
        If there is none.
    """
    for known in MASK_HEMISPHERES:
        if name == known:
            return known
    raise InputError(f"there is no hemisphere {name!r}", hint=f"It is one of {', '.join(MASK_HEMISPHERES)}.")


def positions(ids: NDArray[np.integer[Any]], wanted: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """Place of each id among the wanted ones, shape of the ids; -1 where it is none of them.

    Parameters
    ----------
    ids : ndarray of int
    wanted : ndarray of int
        Ascending, without repetition.
    """
    if not wanted.size:
        return np.full(ids.shape, -1, np.int64)
    starts, lengths = runs(ids)
    first = ids.reshape(-1)[starts].astype(np.int64)
    place = np.minimum(np.searchsorted(wanted, first), wanted.size - 1)
    return np.repeat(np.where(wanted[place] == first, place, -1), lengths).reshape(ids.shape)


def mask_of(annotation: Any, ids: Collection[int], *, hemisphere: MaskHemisphere = "both") -> NDArray[np.bool_]:
    """The voxels that belong to structures.

    Parameters
    ----------
    annotation : ndarray of int, or an open HDF5 dataset of them, shape (ap, dv, ml)
        Structure id of each voxel on a CCFv3 grid; read block by block.
    ids : collection of int
        Of all that count: the annotation names only the finest structures.
    hemisphere : {'both', 'left', 'right'}

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


class StructureVoxels:
    """The voxels of some structures, ready to sum volumes over them.

    Structures may contain each other. Memory: two bytes for each voxel of the AP planes that they lie in.

    Parameters
    ----------
    annotation : ndarray of int, or an open HDF5 dataset of them, shape (ap, dv, ml)
        Structure id of each voxel on a CCFv3 grid; read block by block.
    structures : mapping of int to collection of int
        The structures asked for, each with the ids of itself and all its descendants.

    Attributes
    ----------
    grid : Grid
    planes : tuple of int
        AP planes [first, last) that they lie in; no others matter.
    voxels : ndarray of int64, shape (structures, 2)
        Number of voxels on the left and on the right.
    """

    def __init__(self, annotation: Any, structures: Mapping[int, Collection[int]]) -> None:
        self.grid = Grid.from_shape(tuple(annotation.shape), what="the annotation")
        wanted = np.array(sorted({one for ids in structures.values() for one in ids}), np.int64)
        # Label 0 is all else; then left and right of the first id, of the second, ...
        self._count = 1 + 2 * wanted.size
        blocks = []
        for first, last in slab_ranges(self.grid):
            labels = (1 + 2 * positions(annotation[first:last], wanted)).clip(0)
            labels[..., self.grid.midline :] += labels[..., self.grid.midline :] > 0
            blocks.append(labels.astype(np.min_scalar_type(self._count)))
        self.planes, self._labels = _trimmed(blocks)
        self._start = self.planes[0] * self.grid.shape[1] * self.grid.shape[2]
        self._belongs = np.array([np.isin(wanted, list(ids)) for ids in structures.values()], np.float64)
        self._belongs = self._belongs.reshape(len(structures), wanted.size)
        self._of_label = np.bincount(self._labels, minlength=self._count)
        self.voxels = self._by_structure(self._of_label).astype(np.int64)

    def sums(self, volume: SparseArray | NDArray[np.floating[Any]]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Sum of a volume over each structure and side, and number of the voxels that have a value there.

        Parameters
        ----------
        volume : SparseArray or ndarray, shape (ap, dv, ml)
            NaN, no data, counts nowhere. Of a dense one, the `planes` alone do.

        Returns
        -------
        sums : ndarray of float64, shape (structures, 2)
            Left and right.
        voxels : ndarray of int64, shape (structures, 2)

        Raises
        ------
        FrameError
            If the volume does not lie on the annotation's grid.
        """
        shape = volume.grid.shape if isinstance(volume, SparseArray) else volume.shape
        part = (self.planes[1] - self.planes[0], *self.grid.shape[1:])
        if shape != self.grid.shape and not (isinstance(volume, np.ndarray) and shape == part):
            raise FrameError(
                f"the annotation has the shape {self.grid.shape}, the volume {shape}",
                hint="Use the annotation of the same spacing.",
            )
        labels, values = self._values(volume)
        absent = np.isnan(values)
        known = self._of_label
        if absent.any():
            known = known - np.bincount(labels[absent], minlength=self._count)
            values = np.where(absent, 0.0, values)
        total = np.bincount(labels, weights=values, minlength=self._count)
        return self._by_structure(total), self._by_structure(known).astype(np.int64)

    def _values(self, volume: SparseArray | NDArray[np.floating[Any]]) -> tuple[NDArray[Any], NDArray[np.float64]]:
        """Labels and values of the stored voxels in the planes that matter: as the indices ascend, a slice of them."""
        stop = self._start + self._labels.size
        if not isinstance(volume, SparseArray):
            whole = len(volume) == self.grid.shape[0]
            values = volume[self.planes[0] : self.planes[1]] if whole else volume
            return self._labels, values.reshape(-1).astype(np.float64)
        # Of the index's own type, or all of it would be converted.
        first, last = np.searchsorted(volume.index, np.array([self._start, stop], volume.index.dtype))
        labels = self._labels[volume.index[first:last].astype(np.int64) - self._start]
        return labels, volume.values[first:last].astype(np.float64)

    def _by_structure(self, of_label: NDArray[Any]) -> NDArray[np.float64]:
        result: NDArray[np.float64] = self._belongs @ of_label[1:].reshape(-1, 2)
        return result


def _trimmed(blocks: list[NDArray[Any]]) -> tuple[tuple[int, int], NDArray[Any]]:
    """The AP planes from the first to the last that have a label, and their labels, flat."""
    plane = np.flatnonzero(np.concatenate([block.any(axis=(1, 2)) for block in blocks]))
    if not plane.size:
        return (0, 0), blocks[0][:0].reshape(-1)
    first, last = int(plane[0]), int(plane[-1]) + 1
    kept, at = [], 0
    for block in blocks:
        kept.append(block[max(0, first - at) : max(0, last - at)])
        at += len(block)
    return (first, last), np.concatenate(kept).reshape(-1)
