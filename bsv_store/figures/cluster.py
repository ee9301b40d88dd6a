"""Hierarchical clustering with average linkage, for the order of rows and columns."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def correlation_distances(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 - Pearson's r between the rows, shape (rows, rows); 1 where a row is constant."""
    centered = values - values.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(centered, axis=1)
    scaled = np.divide(centered, norms[:, None], out=np.zeros_like(centered), where=norms[:, None] > 0)
    distances = 1 - np.clip(scaled @ scaled.T, -1, 1)
    np.fill_diagonal(distances, 0)
    return np.asarray(distances)


def average_linkage(distances: NDArray[np.float64]) -> tuple[list[int], NDArray[np.float64]]:
    """Merge the two nearest clusters until one is left; the distance of clusters is the mean over their pairs.

    Parameters
    ----------
    distances : ndarray of float64, shape (items, items)
        Symmetric.

    Returns
    -------
    order : list of int
        The items such that each cluster is contiguous; in a merge, the cluster with the smallest item comes first.
    heights : ndarray of float64, shape (items - 1,)
        Distances of the merged clusters, ascending.
    """
    count = len(distances)
    work = distances.astype(np.float64)
    np.fill_diagonal(work, np.inf)
    members: list[list[int]] = [[number] for number in range(count)]
    heights = []
    for _ in range(count - 1):
        first, second = sorted(divmod(int(work.argmin()), count))
        heights.append(work[first, second])
        sizes = len(members[first]), len(members[second])
        merged = (sizes[0] * work[first] + sizes[1] * work[second]) / sum(sizes)
        work[first], work[:, first] = merged, merged
        work[first, first] = np.inf
        work[second], work[:, second] = np.inf, np.inf
        pair = sorted((members[first], members[second]), key=min)
        members[first], members[second] = pair[0] + pair[1], []
    return next((each for each in members if len(each) == count), []), np.array(heights)


def similar_together(values: NDArray[np.float64]) -> list[int]:
    """An order of the rows in which similar ones are neighbors."""
    return average_linkage(correlation_distances(values))[0]
