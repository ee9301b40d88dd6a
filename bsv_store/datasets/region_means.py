"""Means of a result over the voxels of structures, according to an annotation."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bsv_store.atlas.labels import BLOCK_VOXELS, StructureLabels
from bsv_store.averaging.hemisphere import half_names
from bsv_store.errors import FrameError, InputError
from bsv_store.vocabulary import HemisphereRule


@dataclass(frozen=True, slots=True, eq=False)
class RegionTable:
    """Means per group, structure and hemisphere as columns of the same length.

    Rows are ordered by group, then by structure as given, then by hemisphere.

    Attributes
    ----------
    group : ndarray of int64
        Group number from 0.
    structure_id : ndarray of int64
    hemisphere : ndarray of str
        'left', 'right' and 'both'; 'contralateral', 'ipsilateral' and 'both' for a folded result.
    voxels : ndarray of int64
        Number of voxels of the structure, including its descendants, that have a value in this group.
    mean : ndarray of float64
        Mean of the group's mean over these voxels; NaN if there are none.
    """

    group: NDArray[np.int64]
    structure_id: NDArray[np.int64]
    hemisphere: NDArray[np.str_]
    voxels: NDArray[np.int64]
    mean: NDArray[np.float64]

    def columns(self) -> dict[str, NDArray[Any]]:
        """The columns by name, in order."""
        return {name: getattr(self, name) for name in self.__slots__}

    def __len__(self) -> int:
        return self.group.size


def region_means(
    mean: NDArray[np.floating[Any]],
    annotation: Any,
    structures: Mapping[int, Collection[int]],
    *,
    hemisphere_rule: HemisphereRule = "none",
) -> RegionTable:
    """Mean of each group over each structure and hemisphere.

    Parameters
    ----------
    mean : ndarray, shape (groups, ap, dv, ml)
        An array or an open HDF5 dataset, which is read in blocks; NaN voxels are left out.
    annotation : ndarray of int, shape (ap, dv, ml)
        Structure id of each voxel on the grid of the result; 0 = outside the brain. Also read in blocks.
    structures : mapping of int to collection of int
        The requested structures, each with the ids of itself and all descendants: the annotation contains only the
        finest structures.
    hemisphere_rule : HemisphereRule
        Of the result; determines the names of the hemispheres.

    Returns
    -------
    RegionTable

    Raises
    ------
    FrameError
        If the annotation is not on the grid of the result.
    InputError
        If the annotation does not have an integer dtype.
    """
    if annotation.dtype.kind not in "iu":
        raise InputError(f"an annotation must have an integer dtype, got {annotation.dtype}")
    if tuple(annotation.shape) != tuple(mean.shape[1:]):
        raise FrameError(
            f"the annotation has the shape {tuple(annotation.shape)}, the result has {tuple(mean.shape[1:])}",
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
    return _table(added, counted, list(structures), [*half_names(hemisphere_rule), "both"])


def _table(
    total: NDArray[np.float64], voxels: NDArray[np.float64], structure_ids: list[int], names: list[str]
) -> RegionTable:
    """Rows from sums of the shape (groups, structures, 2 hemispheres)."""
    total = np.concatenate([total, total.sum(axis=2, keepdims=True)], axis=2)
    voxels = np.concatenate([voxels, voxels.sum(axis=2, keepdims=True)], axis=2)
    groups, ids, sides = np.meshgrid(
        np.arange(total.shape[0]), np.array(structure_ids, np.int64), np.array(names), indexing="ij"
    )
    with np.errstate(invalid="ignore"):
        mean = total / np.where(voxels > 0, voxels, np.nan)
    return RegionTable(groups.reshape(-1), ids.reshape(-1), sides.reshape(-1), voxels.reshape(-1).astype(np.int64),
                       mean.reshape(-1))  # fmt: skip
