"""What a result says of each brain structure: means over the voxels that the annotation gives to it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bsv_store.atlas.labels import BLOCK_VOXELS, StructureLabels
from bsv_store.averaging.hemisphere import HemisphereRule
from bsv_store.errors import FrameError, InputError

RegionHemisphere = Literal["left", "right", "contralateral", "ipsilateral", "both"]


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
    labels = StructureLabels(structures)
    groups = range(mean.shape[0])
    total, voxels = np.zeros((len(groups), labels.count)), np.zeros((len(groups), labels.count), np.int64)
    planes = max(1, BLOCK_VOXELS // (annotation.shape[1] * annotation.shape[2]))
    for start in range(0, annotation.shape[0], planes):
        block = slice(start, start + planes)
        of_block = labels.labels(annotation[block])
        count = labels.counts(of_block)
        for group in groups:
            sums, unknown = labels.sums(of_block, mean[group, block])
            total[group] += sums
            voxels[group] += count - unknown
    shape = len(groups), len(structures), 2
    added, counted = (np.array([labels.by_structure(row) for row in rows]).reshape(shape) for rows in (total, voxels))
    return _table(added, counted, list(structures), hemisphere == "fold_ipsilateral")


def _table(
    total: NDArray[np.float64], voxels: NDArray[np.float64], structure_ids: list[int], folded: bool
) -> RegionTable:
    """Rows from sums of the shape (groups, structures, 2 hemispheres)."""
    total = np.concatenate([total, total.sum(axis=2, keepdims=True)], axis=2)
    voxels = np.concatenate([voxels, voxels.sum(axis=2, keepdims=True)], axis=2)
    names = ["contralateral", "ipsilateral", "both"] if folded else ["left", "right", "both"]
    groups, ids, sides = np.meshgrid(
        np.arange(total.shape[0]), np.array(structure_ids, np.int64), np.array(names), indexing="ij"
    )
    with np.errstate(invalid="ignore"):
        mean = total / np.where(voxels > 0, voxels, np.nan)
    return RegionTable(groups.reshape(-1), ids.reshape(-1), sides.reshape(-1), voxels.reshape(-1).astype(np.int64),
                       mean.reshape(-1))  # fmt: skip
