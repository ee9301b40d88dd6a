"""Labels of voxels by structure and side, and sums of values by label."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bsv_store.volumes.annotation import runs

BLOCK_VOXELS = 1 << 20
"""Suitable number of voxels to process at once: temporary arrays take about 30 MB."""


def positions(ids: NDArray[np.integer[Any]], wanted: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """Index of each id among the wanted ids, in the shape of the ids; -1 = not among them.

    Parameters
    ----------
    ids : ndarray of int
    wanted : ndarray of int
        Ascending, unique.
    """
    if not wanted.size:
        return np.full(ids.shape, -1, np.int64)
    starts, lengths = runs(ids)
    first = ids.reshape(-1)[starts].astype(np.int64)
    place = np.minimum(np.searchsorted(wanted, first), wanted.size - 1)
    return np.repeat(np.where(wanted[place] == first, place, -1), lengths).reshape(ids.shape)


class StructureLabels:
    """A label for each structure of an annotation and side, and sums over the voxels of each label.

    The requested structures may contain each other; each consists of some labels. Label 0 = everything else.

    Parameters
    ----------
    structures : mapping of int to collection of int
        The requested structures, each with the ids of itself and all descendants: the annotation contains only the
        finest structures.

    Attributes
    ----------
    count : int
        Number of labels.
    dtype : numpy.dtype
        The smallest for all labels.
    """

    def __init__(self, structures: Mapping[int, Collection[int]]) -> None:
        self._wanted = np.array(sorted({one for ids in structures.values() for one in ids}), np.int64)
        belongs = [np.isin(self._wanted, list(ids)) for ids in structures.values()]
        self._belongs = np.array(belongs, np.float64).reshape(len(structures), self._wanted.size)
        # 0, then left and right of the first id, of the second, ...
        self.count = 1 + 2 * self._wanted.size
        self.dtype = np.min_scalar_type(self.count)

    def labels(self, ids: NDArray[np.integer[Any]]) -> NDArray[Any]:
        """The label of each voxel.

        Parameters
        ----------
        ids : ndarray of int, shape (planes, dv, ml)
            Structure ids; complete along ML.

        Returns
        -------
        ndarray of `dtype`, shape of the ids
        """
        found = (1 + 2 * positions(ids, self._wanted)).clip(0)
        middle = ids.shape[2] // 2
        found[..., middle:] += found[..., middle:] > 0
        return found.astype(self.dtype)

    def counts(self, labels: NDArray[Any]) -> NDArray[np.int64]:
        """Number of voxels of each label, shape (count,)."""
        return np.bincount(labels.reshape(-1), minlength=self.count)

    def sums(
        self, labels: NDArray[Any], values: NDArray[np.floating[Any]]
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Sum of the values of each label, and number of values without data, both of shape (count,).

        Parameters
        ----------
        labels, values : ndarray of the same size
            NaN = no data. A block of voxels: temporary arrays take several times their memory.
        """
        at, numbers = labels.reshape(-1), values.reshape(-1).astype(np.float64)
        unknown = np.isnan(numbers)
        numbers[unknown] = 0.0
        total = np.bincount(at, weights=numbers, minlength=self.count)
        return np.asarray(total, np.float64), self.counts(at[unknown])

    def by_structure(self, of_label: NDArray[Any]) -> NDArray[np.float64]:
        """Values by label, summed for each requested structure: shape (structures, 2), left and right."""
        result: NDArray[np.float64] = self._belongs @ of_label[1:].reshape(-1, 2)
        return result
