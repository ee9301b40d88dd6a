"""Clusters of voxels: by definition, on small grids."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bsv_store.errors import InputError
from bsv_store.statistics import VoxelTest, compare_voxels
from bsv_store.vocabulary import CLUSTER_STATISTICS

SHAPE = (6, 7, 8)
IN_A = np.arange(14) < 7
BLOB = np.zeros(SHAPE, np.bool_)
BLOB[1:4, 1:4, 1:4] = True


def values() -> Any:
    found = np.random.default_rng(5).normal(size=(14, *SHAPE)).astype(np.float32)
    found[:7, BLOB] += 2.5
    return found.reshape(14, -1)


def compared(cluster: Any, **options: Any) -> VoxelTest:
    place = (SHAPE, np.arange(values().shape[1]))
    return compare_voxels(
        values(), IN_A, **{"seed": 2, "permutations": 99, "cluster": cluster, "shape_and_index": place, **options}
    )


def test_a_blob_is_a_cluster_with_both_statistics() -> None:
    inside, outside = BLOB.reshape(-1), ~BLOB.reshape(-1)
    by_extent = compared("extent", cluster_threshold_p=0.01)
    assert by_extent.p_cluster is not None
    assert np.median(by_extent.p_cluster[inside]) == np.float32(0.01)
    assert np.median(by_extent.p_cluster[outside]) == 1
    by_tfce = compared("tfce")
    assert by_tfce.p_tfce is not None
    assert np.median(by_tfce.p_tfce[inside]) <= 0.02
    assert np.median(by_tfce.p_tfce[outside]) > 0.1
    assert compared("none").p_cluster is None
    assert set(CLUSTER_STATISTICS) == {"none", "extent", "tfce"}


def test_clusters_need_to_know_how_voxels_lie() -> None:
    with pytest.raises(InputError, match="shape_and_index"):
        compared("extent", shape_and_index=None)
