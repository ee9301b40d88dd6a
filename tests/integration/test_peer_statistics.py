"""Tests of two groups give what nilearn and statsmodels give: single tests, and every relabeling of theirs."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bsv_store.progress import NO_PROGRESS
from bsv_store.statistics import benjamini_hochberg, clusters, compare_features, compare_voxels, voxels
from bsv_store.statistics.design import make_design
from bsv_store.statistics.relabelings import Relabelings
from bsv_store.statistics.voxel_kernel import VoxelKernel
from tests.integration.environments import STATISTICS

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("foreign")]

SCRIPT = Path(__file__).with_name("peer_statistics.py")
SHAPE = (7, 8, 9)
THRESHOLD_P = 0.02
IN_A = np.arange(26) < 11
COVARIATES = np.random.default_rng(1).normal(size=(26, 2))


def values() -> Any:
    random = np.random.default_rng(2)
    found = random.gamma(2.0, size=(26, *SHAPE)) + COVARIATES[:, 0, np.newaxis, np.newaxis, np.newaxis]
    found[:11, 1:4, 2:5, 3:6] += 1.5
    found[:11, 5:, 5:, 5:] -= 1.0
    return found.reshape(26, -1)


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    if not STATISTICS.is_there:
        pytest.skip("nilearn has no environment here: `make test-integration` makes it, or says why not")
    folder = tmp_path_factory.mktemp("statistics")
    asked = {"values": values(), "in_a": IN_A, "covariates": COVARIATES, "shape": SHAPE, "threshold_p": THRESHOLD_P}
    np.savez(folder / "asked.npz", **asked)
    done = subprocess.run(
        [STATISTICS.python, SCRIPT, folder], capture_output=True, text=True, check=False, timeout=1800
    )
    assert done.returncode == 0, done.stderr
    with np.load(folder / "returned.npz") as returned:
        return dict(returned)


def test_single_tests_are_those_of_statsmodels(theirs: Mapping[str, Any]) -> None:
    a, b = values()[IN_A], values()[~IN_A]
    welch = compare_features(a, b, seed=1, permutations=9, bootstrap=9)
    np.testing.assert_allclose(welch.t, theirs["welch_t"], rtol=1e-12)
    np.testing.assert_allclose(welch.p, theirs["welch_p"], rtol=1e-12)
    np.testing.assert_allclose(benjamini_hochberg(theirs["welch_p"]), theirs["welch_fdr"], rtol=1e-12)
    adjusted = compare_features(a, b, statistic="student", covariates=COVARIATES, seed=1, permutations=9, bootstrap=9)
    # Relative to the largest: small ones are differences of large numbers.
    for name in ("t", "p", "difference"):
        expected = theirs[f"ols_{name}"]
        np.testing.assert_allclose(getattr(adjusted, name), expected, rtol=1e-12, atol=1e-12 * np.abs(expected).max())


@pytest.mark.parametrize(("name", "covariates"), [("plain", None), ("adjusted", COVARIATES)])
def test_relabelings_of_nilearn_give_its_p_values(
    name: str, covariates: Any, theirs: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    orders = Relabelings(theirs["order"], exact=False)
    monkeypatch.setattr(voxels, "relabelings", lambda *args, **options: orders)
    found = compare_voxels(values(), IN_A, seed=1, covariates=covariates, permutations=len(orders))
    np.testing.assert_allclose(found.t, theirs[f"{name}_t"][0], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(np.sort(found.max_t), np.sort(theirs[f"{name}_h0_max_t"][0]), rtol=1e-10)
    np.testing.assert_allclose(found.p_max_t, 10 ** -theirs[f"{name}_logp_max_t"][0], rtol=1e-6)
    assert 0 < (found.p_max_t <= 0.05).sum() < found.t.size


@pytest.mark.parametrize(("name", "covariates"), [("plain", None), ("adjusted", COVARIATES)])
def test_relabelings_of_nilearn_give_its_clusters(name: str, covariates: Any, theirs: Mapping[str, Any]) -> None:
    design = make_design(IN_A, "student", covariates)
    kernel = VoxelKernel(design, Relabelings(theirs["order"], exact=False), values(), block=100, workers=1)
    kernel.observe()
    around = clusters.neighborhood((SHAPE, np.arange(kernel.t.size)), kernel.t.size)

    def unscaled(t: Any) -> Any:
        # nilearn leaves out the width of the steps.
        return clusters.enhance(t) / (np.abs(t).max() / 100)

    np.testing.assert_allclose(
        unscaled(kernel.t.reshape(SHAPE)).reshape(-1), theirs[f"{name}_tfce"][0], rtol=1e-9, atol=1e-9
    )
    null = clusters.largest_of_relabelings(kernel, unscaled, around, 1, NO_PROGRESS)
    np.testing.assert_allclose(np.sort(null), np.sort(theirs[f"{name}_h0_max_tfce"][0]), rtol=1e-9)

    found = compare_voxels(
        values(),
        IN_A,
        seed=1,
        covariates=covariates,
        permutations=9,
        cluster="extent",
        cluster_threshold_p=THRESHOLD_P,
        shape_and_index=(SHAPE, np.arange(kernel.t.size)),
    )
    assert found.cluster_threshold is not None
    sizes = clusters.extents(kernel.t.reshape(SHAPE), threshold=found.cluster_threshold)
    np.testing.assert_array_equal(sizes.reshape(-1), theirs[f"{name}_size"][0])

    def extents(t: Any) -> Any:
        return clusters.extents(t, threshold=found.cluster_threshold or 0.0)

    null = clusters.largest_of_relabelings(kernel, extents, around, 1, NO_PROGRESS)
    np.testing.assert_array_equal(np.sort(null), np.sort(theirs[f"{name}_h0_max_size"][0]))
