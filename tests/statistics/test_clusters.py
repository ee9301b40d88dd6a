"""Clusters of voxels: by definition, on small grids."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from bsv_store.errors import InputError
from bsv_store.statistics import VoxelTest, compare_voxels
from bsv_store.statistics.clusters import enhance, extents
from bsv_store.statistics.voxel_kernel import VoxelKernel
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
        values(), IN_A, **{"seed": 2, "permutations": 49, "cluster": cluster, "shape_and_index": place, **options}
    )


def test_a_blob_is_a_cluster_with_both_statistics() -> None:
    inside, outside = BLOB.reshape(-1), ~BLOB.reshape(-1)
    by_extent = compared("extent", cluster_threshold_p=0.01)
    assert by_extent.p_cluster is not None
    assert np.median(by_extent.p_cluster[inside]) == np.float32(0.02)
    assert np.median(by_extent.p_cluster[outside]) == 1
    by_tfce = compared("tfce")
    assert by_tfce.p_tfce is not None
    assert np.median(by_tfce.p_tfce[inside]) <= 0.05
    assert np.median(by_tfce.p_tfce[outside]) > 0.1
    assert compared("none").p_cluster is None
    assert set(CLUSTER_STATISTICS) == {"none", "extent", "tfce"}


def test_voxels_that_share_a_face_and_a_sign_form_clusters() -> None:
    t = np.zeros((3, 3, 3))
    t[0, 0, :] = 3.0  # three in a row
    t[1, 1, 0] = 3.0  # shares an edge with the row
    t[0, 1, 0] = -4.0  # shares a face with both
    t[2, 2, 2] = 2.0  # not above the threshold
    expected = np.zeros(t.shape)
    expected[0, 0, :], expected[1, 1, 0], expected[0, 1, 0] = 3, 1, 1
    np.testing.assert_array_equal(extents(t, threshold=2.0), expected)


def test_enhancement_is_the_integral_of_extent_and_height() -> None:
    t = np.zeros((4, 4, 4))
    t[0, 0, :] = 2.0
    t[2, 2, 2] = -1.0
    found = enhance(t)
    # The integral of 4**0.5 * h**2 from 0 to 2, in 100 steps whose heights are their upper ends.
    steps = np.arange(1, 101) * 0.02
    np.testing.assert_allclose(found[0, 0], 0.02 * (2 * steps**2).sum(), rtol=1e-12)
    np.testing.assert_allclose(found[0, 0], 16 / 3, rtol=0.02)
    np.testing.assert_allclose(found[2, 2, 2], -0.02 * (steps[:50] ** 2).sum(), rtol=1e-12)
    assert np.count_nonzero(found) == 5
    assert not enhance(np.zeros((2, 2))).any()


@pytest.mark.parametrize("shape", [(40,), (9, 14), (8, 9, 10)])
def test_enhancement_is_that_of_the_clusters_labeled_at_each_height(shape: tuple[int, ...]) -> None:
    t = np.random.default_rng(5).normal(size=shape)
    # Ties, also at a height, and a large plateau.
    t[:2] = np.round(t[:2])
    t[3] = 0.5
    expected = np.zeros(shape)
    heights = np.linspace(0, np.abs(t).max(), 101)[1:]
    for sign in (1, -1):
        for height in heights:
            labels, _ = ndimage.label(sign * t >= height)
            sizes = np.bincount(labels.ravel())
            sizes[0] = 0
            expected += sign * heights[0] * height**2 * np.sqrt(sizes)[labels]
    np.testing.assert_allclose(enhance(t), expected, rtol=1e-13)


@pytest.mark.parametrize("cluster", ["extent", "tfce"])
def test_clusters_do_not_depend_on_the_order_of_voxels_or_the_workers(cluster: Any) -> None:
    shuffled = np.random.default_rng(1).permutation(values().shape[1])
    # A part of a larger grid: the same neighbors, other indices.
    ap, dv, ml = np.unravel_index(shuffled, SHAPE)
    larger = np.ravel_multi_index((ap + 2, dv, ml + 3), (9, 7, 11))
    one = compared(cluster, cluster_threshold_p=0.01)
    other = compare_voxels(
        values()[:, shuffled],
        IN_A,
        seed=2,
        permutations=49,
        cluster=cluster,
        cluster_threshold_p=0.01,
        shape_and_index=((9, 7, 11), larger),
        workers=3,
        block=50,
    )
    name = {"extent": "p_cluster", "tfce": "p_tfce"}[cluster]
    np.testing.assert_array_equal(getattr(one, name)[shuffled], getattr(other, name))


@pytest.mark.parametrize("cluster", ["extent", "tfce"])
@pytest.mark.parametrize("options", [{"statistic": "welch"}, {"covariates": np.arange(14.0) % 5}])
def test_clusters_of_other_tests_are_found(cluster: Any, options: Any) -> None:
    found = compared(cluster, cluster_threshold_p=0.01, **options)
    p = found.p_cluster if cluster == "extent" else found.p_tfce
    assert p is not None
    assert np.median(p[BLOB.reshape(-1)]) <= 0.05
    assert np.median(p[~BLOB.reshape(-1)]) > 0.05


def test_a_relabeling_that_separates_the_groups_has_finite_clusters() -> None:
    few = np.zeros((6, 8), np.float32)
    few[:3] = np.arange(8)
    few[0] += 0.5
    found = compare_voxels(
        few, np.arange(6) % 2 == 0, seed=1, cluster="tfce", shape_and_index=((2, 2, 2), np.arange(8)), permutations=20
    )
    assert found.exact
    assert found.p_tfce is not None
    assert np.isfinite(found.p_tfce[np.isfinite(found.t)]).all()


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (None, "clusters require shape_and_index"),
        ((SHAPE, np.arange(5)), "one integer index for each of the 336 voxels"),
        ((SHAPE, np.arange(336.0)), "one integer index for each of the 336 voxels"),
        ((SHAPE, np.arange(336) + 1), "distinct and between 0 and 335"),
        ((SHAPE, np.zeros(336, int)), "distinct and between 0 and 335"),
        (("many", np.arange(336)), "shape_and_index must be a shape and an array"),
        (5, "shape_and_index must be a shape and an array"),
    ],
)
def test_clusters_need_to_know_how_voxels_lie(place: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        compared("extent", shape_and_index=place)


def test_the_extra_is_named_where_scipy_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy", None)
    monkeypatch.setattr(VoxelKernel, "run", lambda *args: pytest.fail("computed before it was noticed"))
    for cluster in ("extent", "tfce"):
        with pytest.raises(InputError, match=r"bsv-store\[stats\]"):
            compared(cluster)
