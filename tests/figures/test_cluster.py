"""Average linkage, against SciPy."""

from __future__ import annotations

import numpy as np
import pytest

from bsv_store.figures.cluster import average_linkage, correlation_distances, similar_together


@pytest.mark.parametrize("seed", range(5))
def test_clusters_have_the_heights_of_scipy_and_are_contiguous(seed: int) -> None:
    hierarchy = pytest.importorskip("scipy.cluster.hierarchy", reason="SciPy is not installed")
    distance = pytest.importorskip("scipy.spatial.distance")
    values = np.random.default_rng(seed).normal(size=(24, 7))
    distances = correlation_distances(values)
    np.testing.assert_allclose(distances, distance.squareform(distance.pdist(values, "correlation")), atol=1e-12)
    order, heights = average_linkage(distances)
    tree = hierarchy.linkage(distance.squareform(distances, checks=False), "average")
    np.testing.assert_allclose(heights, tree[:, 2], rtol=1e-9)
    assert sorted(order) == list(range(24))
    for height in tree[:, 2]:
        clusters = hierarchy.fcluster(tree, height, "distance")[order]
        assert np.count_nonzero(np.diff(clusters)) == len(set(clusters)) - 1


def test_similar_rows_are_neighbors_and_constant_ones_are_allowed() -> None:
    rows = np.array([[1, 0, 0, 5], [0, 3, 3, 0], [2, 0, 0, 9], [0, 0, 0, 0], [0, 2, 3, 0]], float)
    order = similar_together(rows)
    assert abs(order.index(0) - order.index(2)) == 1
    assert abs(order.index(1) - order.index(4)) == 1
    assert similar_together(rows[:1]) == [0]
