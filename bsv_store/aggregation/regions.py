"""What a result says of each brain structure: means over the voxels that the annotation gives to it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bsv_store.aggregation.hemisphere import HemisphereRule
from bsv_store.aggregation.masks import positions
from bsv_store.errors import FrameError, InputError

RegionHemisphere = Literal["left", "right", "contralateral", "ipsilateral", "both"]
_BLOCK_VOXELS = 1 << 20


@dataclass(frozen=True, slots=True, eq=False)
class RegionTable:
    """Means per group, structure and hemisphere, column by column; all columns have the same length.

    Rows are in the order of the groups, then of the structures as they were given, then of the hemispheres.

    Attributes
    ----------
    group : ndarray of int64
        Group number from 0.
    structure_id : ndarray of int64
    hemisphere : ndarray of str
        'left', 'right' and 'both'; 'contralateral', 'ipsilateral' and 'both' for a result that was folded.
    voxels : ndarray of int64
        Voxels of the structure, its descendants included, that have a value in this group.
    mean : ndarray of float64
        Mean of the group's mean over these voxels; NaN without any.
    """

    group: NDArray[np.int64]
    structure_id: NDArray[np.int64]
    hemisphere: NDArray[np.str_]
    voxels: NDArray[np.int64]
    mean: NDArray[np.float64]

    def columns(self) -> dict[str, NDArray[Any]]:
        """The columns by name, in order, as a data frame takes them."""
        return {name: getattr(self, name) for name in self.__slots__}

    def __len__(self) -> int:
        return self.group.size


def region_means(
    mean: NDArray[np.floating[Any]],
    annotation: Any,
    structures: Mapping[int, Collection[int]],
    *,
    hemisphere: HemisphereRule = "none",
) -> RegionTable:
    """Mean of each group over each structure and hemisphere.

    Parameters
    ----------
    mean : ndarray, shape (groups, ap, dv, ml)
        Of a result; NaN voxels are left out. Read block by block, so an open HDF5 dataset does as well.
    annotation : ndarray of int, shape (ap, dv, ml)
        Structure id of each voxel, on the grid of the result; 0 is outside the brain. Read block by block as well.
    structures : mapping of int to collection of int
        The structures asked for, each with the ids of itself and all its descendants: the annotation names only the
        finest structures.
    hemisphere : HemisphereRule
        Of the result: only says how the hemispheres are called.

    Returns
    -------
    RegionTable

    Raises
    ------
    FrameError
        If the annotation does not lie on the grid of the result.
    InputError
        If the annotation does not hold whole numbers.
    """
    if annotation.dtype.kind not in "iu":
        raise InputError(f"an annotation holds structure ids, not {annotation.dtype}")
    if tuple(annotation.shape) != tuple(mean.shape[1:]):
        raise FrameError(
            f"the annotation has the shape {tuple(annotation.shape)}, the result {tuple(mean.shape[1:])}",
            hint="Use the annotation of the same spacing.",
        )
    leaves = np.array(sorted({one for ids in structures.values() for one in ids}), np.int64)
    total, voxels = _leaf_sums(mean, annotation, leaves)
    belongs = np.array([np.isin(leaves, list(ids)) for ids in structures.values()], dtype=np.float64)
    belongs = belongs.reshape(len(structures), leaves.size)
    return _table(total @ belongs.T, voxels @ belongs.T, list(structures), hemisphere == "fold_ipsilateral")


def _leaf_sums(
    mean: NDArray[np.floating[Any]], annotation: Any, leaves: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sum and number of known voxels, shape (groups, 2 hemispheres, leaves)."""
    # Column 0 takes in what belongs to none of them.
    total = np.zeros((mean.shape[0], 2, 1 + leaves.size))
    voxels = np.zeros_like(total)
    middle = annotation.shape[2] // 2
    planes = max(1, _BLOCK_VOXELS // (annotation.shape[1] * annotation.shape[2]))
    for start in range(0, annotation.shape[0], planes):
        block = slice(start, start + planes)
        position = 1 + positions(annotation[block], leaves)
        for group in range(mean.shape[0]):
            values = mean[group, block].astype(np.float64)
            for side, half in enumerate((slice(0, middle), slice(middle, None))):
                known = ~np.isnan(values[:, :, half])
                at = position[:, :, half][known]
                voxels[group, side] += np.bincount(at, minlength=1 + leaves.size)
                total[group, side] += np.bincount(at, values[:, :, half][known], minlength=1 + leaves.size)
    return total[..., 1:], voxels[..., 1:]


def _table(
    total: NDArray[np.float64], voxels: NDArray[np.float64], structure_ids: list[int], folded: bool
) -> RegionTable:
    """Rows from sums of the shape (groups, 2 hemispheres, structures)."""
    total = np.concatenate([total, total.sum(axis=1, keepdims=True)], axis=1).transpose(0, 2, 1)
    voxels = np.concatenate([voxels, voxels.sum(axis=1, keepdims=True)], axis=1).transpose(0, 2, 1)
    names = ["contralateral", "ipsilateral", "both"] if folded else ["left", "right", "both"]
    groups, ids, sides = np.meshgrid(
        np.arange(total.shape[0]), np.array(structure_ids, np.int64), np.array(names), indexing="ij"
    )
    with np.errstate(invalid="ignore"):
        mean = total / np.where(voxels > 0, voxels, np.nan)
    return RegionTable(groups.reshape(-1), ids.reshape(-1), sides.reshape(-1), voxels.reshape(-1).astype(np.int64),
                       mean.reshape(-1))  # fmt: skip
