"""Tests of voxels: against a plain float64 reference, and the same bytes for every way to split the work."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from bsv_store.errors import InputError
from bsv_store.statistics import VoxelTest, compare_features, compare_voxels
from bsv_store.statistics.relabelings import relabelings
from bsv_store.statistics.voxel_kernel import VoxelKernel
from tests.statistics import reference

ANIMALS = 24
IN_A = np.arange(ANIMALS) % 3 == 0
COVARIATES = np.random.default_rng(7).normal(size=(ANIMALS, 2))
PERMUTATIONS = 150
SEED = 11


def sparse() -> Any:
    """Values as in the atlas: most animals have no signal in most voxels, and some voxels have it in one animal."""
    random = np.random.default_rng(3)
    values = random.gamma(1.0, size=(ANIMALS, 60)) * (random.random((ANIMALS, 60)) < np.linspace(0.2, 1, 60))
    values[IN_A, :8] += 1.5
    values[:, 20:30] = 0
    values[random.integers(0, ANIMALS, 10), np.arange(20, 30)] = random.random(10)
    values[:, 30] = 4 * values[:, 31]  # the same |t|
    return values.astype(np.float32)


def compared(values: Any = None, **options: Any) -> VoxelTest:
    given = {"seed": SEED, "permutations": PERMUTATIONS, "workers": 1, **options}
    return compare_voxels(sparse() if values is None else values, given.pop("in_a", IN_A), **given)


def expected(values: Any, in_a: Any, covariates: Any, statistic: str) -> tuple[Any, Any, Any]:
    (seed,) = np.random.SeedSequence(SEED).spawn(1)
    orders = relabelings(in_a, exchange_all=covariates is not None, limit=PERMUTATIONS, seed=seed)
    observed, null = reference.permuted(values, in_a, orders, covariates=covariates, statistic=statistic)
    return observed, *reference.p_values(observed, null, exact=orders.exact)


@pytest.mark.parametrize("statistic", ["student", "welch"])
def test_t_and_p_are_those_of_the_reference(statistic: Any) -> None:
    found = compared(statistic=statistic)
    t, p, p_max = expected(sparse(), IN_A, None, statistic)
    np.testing.assert_allclose(found.t, t, rtol=1e-11)
    np.testing.assert_array_equal(found.p_permutation, p.astype(np.float32))
    np.testing.assert_array_equal(found.p_max_t, p_max.astype(np.float32))


def test_t_and_p_with_covariates_are_those_of_freedman_and_lane() -> None:
    found = compared(covariates=COVARIATES)
    t, p, p_max = expected(sparse(), IN_A, COVARIATES, "student")
    np.testing.assert_allclose(found.t, t, rtol=1e-10)
    np.testing.assert_array_equal(found.p_permutation, p.astype(np.float32))
    np.testing.assert_array_equal(found.p_max_t, p_max.astype(np.float32))


@pytest.mark.parametrize("covariates", [None, COVARIATES[:6, :1]])
def test_few_animals_are_enumerated(covariates: Any) -> None:
    values, in_a = sparse()[:6, 50:], np.arange(6) < 3
    limit = 20 if covariates is None else 720
    found = compared(values, in_a=in_a, covariates=covariates, permutations=limit)
    (seed,) = np.random.SeedSequence(SEED).spawn(1)
    orders = relabelings(in_a, exchange_all=covariates is not None, limit=limit, seed=seed)
    assert found.exact
    assert found.permutations == limit == len(np.unique(orders.order, axis=0))
    assert [0, 1, 2, 3, 4, 5] in orders.order.tolist()
    t, null = reference.permuted(values, in_a, orders, covariates=covariates)
    p, p_max = reference.p_values(t, null, exact=True)
    np.testing.assert_array_equal(found.p_permutation, p.astype(np.float32))
    np.testing.assert_array_equal(found.p_max_t, p_max.astype(np.float32))
    assert not compared(values, in_a=in_a, covariates=covariates, permutations=limit - 1).exact


def test_features_and_voxels_agree() -> None:
    values = sparse().astype(np.float64)
    by_feature = compare_features(
        values[IN_A],
        values[~IN_A],
        statistic="student",
        seed=SEED,
        permutations=PERMUTATIONS,
        bootstrap=9,
        covariates=np.concatenate([COVARIATES[IN_A], COVARIATES[~IN_A]]),
    )
    found = compared(
        np.concatenate([values[IN_A], values[~IN_A]]),
        in_a=np.arange(ANIMALS) < IN_A.sum(),
        covariates=np.concatenate([COVARIATES[IN_A], COVARIATES[~IN_A]]),
    )
    np.testing.assert_array_equal(found.t, by_feature.t)
    np.testing.assert_array_equal(found.difference, by_feature.difference)
    np.testing.assert_array_equal(found.p_permutation, by_feature.p_permutation.astype(np.float32))
    np.testing.assert_array_equal(found.p_max_t, by_feature.p_max_t.astype(np.float32))


@pytest.mark.parametrize("options", [{}, {"statistic": "welch"}, {"covariates": COVARIATES}])
def test_a_seed_gives_the_same_bytes_for_all_blocks_and_workers(options: Any) -> None:
    random = np.random.default_rng(4)
    values = np.hstack([sparse(), random.random((ANIMALS, 900), np.float32)])
    results = [
        compared(values, permutations=500, block=block, workers=workers, **options)
        for block, workers in ((None, 1), (None, 2), (7, 3), (1, 1), (2, 1))
    ]
    for name in ("t", "difference", "p_permutation", "p_max_t", "max_t"):
        assert len({getattr(each, name).tobytes() for each in results}) == 1, name
    assert len({str(each.thresholds) for each in results}) == 1
    other = compared(values, permutations=500, seed=SEED + 1, **options)
    assert other.p_max_t.tobytes() != results[0].p_max_t.tobytes()


def test_another_rounding_gives_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.hstack([sparse(), np.random.default_rng(4).random((ANIMALS, 2_000), np.float32)])
    exact = compared(values, permutations=500)
    products = VoxelKernel._products
    noise = np.random.default_rng(5)

    def rounded(self: VoxelKernel, rows: Any, planes: Any) -> Any:
        sums, others = products(self, rows, planes)
        assert sums.dtype == np.float32
        sums += noise.uniform(-0.5, 0.5, sums.shape).astype(np.float32) * self.tie / 2.5
        return sums, others

    monkeypatch.setattr(VoxelKernel, "_products", rounded)
    other = compared(values, permutations=500)
    for name in ("p_permutation", "p_max_t", "max_t"):
        assert getattr(other, name).tobytes() == getattr(exact, name).tobytes(), name


def test_voxels_without_clusters_need_no_scipy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy", None)
    assert np.isfinite(compared().p_max_t).all()


def test_thresholds_divide_corrected_p_values() -> None:
    found = compared(permutations=999)
    assert found.thresholds.keys() == {0.05, 0.01, 0.001}
    for alpha, threshold in found.thresholds.items():
        np.testing.assert_array_equal(np.abs(found.t) > threshold, found.p_max_t <= np.float32(alpha))
    assert 0 < (found.p_max_t <= 0.05).sum() < 60
    few = compared(permutations=30)
    assert np.isnan(few.thresholds[0.01]), "31 relabelings cannot give p of 0.01"
    np.testing.assert_allclose(few.thresholds[0.05], few.max_t.max())


def test_a_shift_or_scale_of_a_voxel_does_not_change_its_test() -> None:
    random = np.random.default_rng(8)
    values = random.normal(size=(ANIMALS, 40))
    moved = compared(-1e6 * values + 5e8)
    same = compared(values)
    np.testing.assert_array_equal(same.p_max_t, moved.p_max_t)
    np.testing.assert_array_equal(same.p_permutation, moved.p_permutation)
    np.testing.assert_allclose(same.t, -moved.t, rtol=1e-6)


def test_voxels_without_variation_are_not_tested() -> None:
    values = sparse()
    constant = np.full((ANIMALS, 1), 0.1, np.float32)
    separated = np.where(IN_A, np.float32(0.7), np.float32(0.1))[:, np.newaxis]
    found = compared(np.hstack([constant, separated, 0 * constant, values]))
    for each in (found.t, found.p_permutation, found.p_max_t):
        assert np.isnan(each[:3]).all()
        assert np.isfinite(each[3:]).all()
    np.testing.assert_allclose(found.difference[:3], [0, 0.6, 0], atol=1e-7)
    alone = compared(values)
    np.testing.assert_array_equal(found.p_max_t[3:], alone.p_max_t)
    assert str(found.thresholds) == str(alone.thresholds)
    nothing = compared(np.hstack([constant, constant]))
    assert np.isnan(nothing.p_max_t).all()
    assert not np.isinf(list(nothing.thresholds.values())).any()


def test_a_voxel_that_the_covariates_explain_is_not_tested() -> None:
    found = compared(np.hstack([COVARIATES @ [[2.0], [3.0]] + 1, sparse()]), covariates=COVARIATES)
    assert np.isnan(found.t[0])
    assert np.isnan(found.p_max_t[0])
    assert np.isfinite(found.p_max_t[1:]).all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"covariates": np.ones(ANIMALS)}, "covariate 0 is constant"),
        ({"covariates": np.full(ANIMALS, 0.1)}, "covariate 0 is constant"),
        ({"covariates": np.column_stack([COVARIATES, COVARIATES.sum(axis=1)])}, "covariate 2 is a linear combination"),
        ({"covariates": IN_A.astype(float) * 3 + 1}, "determine the group"),
        ({"covariates": np.where(IN_A, np.nan, 1)}, "covariates must be finite"),
        ({"covariates": COVARIATES[1:]}, "24 animals, got"),
        ({"covariates": ["many"] * ANIMALS}, "array of numbers"),
        ({"covariates": np.random.default_rng(0).normal(size=(ANIMALS, 22))}, "too few"),
        ({"covariates": COVARIATES, "statistic": "welch"}, "does not allow covariates"),
        ({"statistic": "mann_whitney"}, "statistic must be one of welch, student"),
        ({"in_a": np.arange(ANIMALS) < 1}, "group a must have at least 2 animals, got 1"),
        ({"in_a": np.arange(ANIMALS) > 0}, "group b must have at least 2 animals, got 1"),
        ({"in_a": np.arange(ANIMALS)}, "in_a must be a boolean array"),
        ({"in_a": IN_A[1:]}, "with 23 animals"),
        ({"values": sparse().astype(np.int64)}, "float32 or float64"),
        ({"values": np.where(np.arange(60) == 5, np.float32(np.nan), sparse())}, "must be finite"),
        ({"values": np.where(np.arange(60) == 5, np.float32(np.inf), sparse())}, "must be finite"),
        ({"permutations": 0}, "permutations must be a positive integer"),
        ({"seed": -1}, "seed must be an integer >= 0"),
        ({"seed": None}, "seed must be an integer"),
        ({"block": 0}, "block must be a positive integer"),
        ({"workers": 0}, "workers must be a positive integer"),
        ({"cluster": "mass"}, "cluster must be one of none, extent, tfce"),
    ],
)
def test_wrong_arguments_are_refused(options: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        compared(**options)


NULL_IN_A = np.arange(14) < 6
# Correlated with the groups, as injection volumes of two lines are.
NULL_COVARIATE = np.random.default_rng(6).normal(size=14) + NULL_IN_A


def _nulls(data_sets: int, permutations: int, **options: Any) -> float:
    """The share of data sets without any effect in which a voxel is significant at 5 %."""
    random = np.random.default_rng(123)
    hits = 0
    for number in range(data_sets):
        # Skewed, and correlated between neighbors, as signal is.
        values = random.exponential(size=(14, 62))
        values = values[:, 2:] + values[:, 1:-1] + values[:, :-2] + 2 * NULL_COVARIATE[:, np.newaxis]
        if "covariates" not in options:
            values -= 2 * NULL_COVARIATE[:, np.newaxis]
        found = compared(values, in_a=NULL_IN_A, permutations=permutations, seed=number, **options)
        hits += bool((found.p_max_t <= 0.05).any())
    return hits / data_sets


def test_families_without_effects_have_an_error_of_five_percent() -> None:
    # 4 standard errors of a share of 5 % in 100.
    assert _nulls(100, 99) <= 0.05 + 4 * 0.022


@pytest.mark.long
@pytest.mark.parametrize("options", [{}, {"statistic": "welch"}, {"covariates": NULL_COVARIATE}])
def test_a_thousand_families_without_effects_have_an_error_of_five_percent(options: Any) -> None:
    # 1.96 standard errors of a share of 5 % in 1,000 are 1.35 %.
    assert abs(_nulls(1_000, 999, **options) - 0.05) <= 0.014
