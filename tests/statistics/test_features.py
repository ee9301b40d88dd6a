"""Tests of features: against SciPy, and by their own definition."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bsv_store.errors import InputError
from bsv_store.statistics import TwoGroupTest, benjamini_hochberg, compare_features, compare_voxels
from bsv_store.vocabulary import EFFECT_SIZES, TWO_SAMPLE_STATISTICS
from tests.statistics import reference

A = np.random.default_rng(1).gamma(2.0, size=(9, 30))
B = np.random.default_rng(2).gamma(2.0, size=(12, 30)) + np.linspace(0, 1.5, 30)
COVARIATES = np.random.default_rng(3).normal(size=(21, 2))


def compared(a: Any = A, b: Any = B, **options: Any) -> TwoGroupTest:
    return compare_features(a, b, **{"seed": 1, "permutations": 99, "bootstrap": 99, **options})


@pytest.mark.parametrize("statistic", TWO_SAMPLE_STATISTICS)
def test_t_and_p_are_those_of_scipy(statistic: Any) -> None:
    found = compared(statistic=statistic)
    expected = stats.ttest_ind(A, B, equal_var={"student": True, "welch": False}[statistic])
    np.testing.assert_allclose(found.t, expected.statistic, rtol=1e-12)
    np.testing.assert_allclose(found.p, expected.pvalue, rtol=1e-12)
    np.testing.assert_allclose(found.p_fdr, stats.false_discovery_control(found.p), rtol=1e-12)
    np.testing.assert_allclose(found.difference, A.mean(axis=0) - B.mean(axis=0), rtol=1e-12)
    assert (found.n_a, found.n_b) == (9, 12)


@pytest.mark.parametrize("statistic", TWO_SAMPLE_STATISTICS)
def test_small_groups_are_enumerated_as_scipy_does(statistic: Any) -> None:
    a, b = A[:4], B[:5]

    def t(x: Any, y: Any, axis: int) -> Any:
        return abs(stats.ttest_ind(x, y, axis=axis, equal_var=statistic == "student").statistic)

    expected = stats.permutation_test((a, b), t, alternative="greater", n_resamples=1_000, axis=0)
    found = compared(a, b, statistic=statistic, permutations=126)
    assert found.exact
    assert found.permutations == 126
    np.testing.assert_array_equal(found.p_permutation, expected.pvalue)
    largest = expected.null_distribution.max(axis=1)
    by_feature = [(largest >= abs(each) - 1e-9).mean() for each in found.t]
    np.testing.assert_array_equal(found.p_max_t, by_feature)


def test_effect_sizes_are_differences_in_pooled_standard_deviations() -> None:
    pooled = np.sqrt((8 * A.var(axis=0, ddof=1) + 11 * B.var(axis=0, ddof=1)) / 19)
    d = (A.mean(axis=0) - B.mean(axis=0)) / pooled
    # Hedges 1981, table 1: c(19) = 0.9599.
    for name, factor in {"cohens_d": 1.0, "hedges_g": 0.9599}.items():
        np.testing.assert_allclose(compared(effect_size=name).effect_size, factor * d, rtol=5e-5)
    assert set(EFFECT_SIZES) == {"cohens_d", "hedges_g"}


def test_without_ties_p_by_permutation_is_near_p_of_t() -> None:
    normal = np.random.default_rng(4).normal(size=(30, 40))
    found = compared(normal[:14], normal[14:] + 0.4, permutations=4_999)
    error = np.sqrt(found.p * (1 - found.p) / 5_000)
    assert (np.abs(found.p_permutation - found.p) < 5 * error + 0.01).all()
    assert (found.p_max_t >= found.p_permutation).all()
    assert not found.exact
    assert found.permutations == 4_999


def test_covariates_adjust_difference_t_and_p() -> None:
    found = compared(statistic="student", covariates=COVARIATES, effect_size="cohens_d")
    values = np.concatenate([A, B])
    x = np.arange(21) < 9
    z = np.column_stack([np.ones(21), COVARIATES])
    expected = np.array([reference.student(y, x.astype(float), z) for y in values.T])
    np.testing.assert_allclose(found.t, expected, rtol=1e-11)
    np.testing.assert_allclose(found.p, 2 * stats.t.sf(np.abs(expected), 21 - 4), rtol=1e-10)
    coefficients, residuals, *_ = np.linalg.lstsq(np.column_stack([x, z]), values)
    np.testing.assert_allclose(found.difference, coefficients[0], rtol=1e-11)
    np.testing.assert_allclose(found.effect_size, coefficients[0] / np.sqrt(residuals / 17), rtol=1e-11)
    np.testing.assert_array_equal(found.mean_a, A.mean(axis=0))


def test_intervals_of_few_animals_with_covariates_are_not_too_narrow() -> None:
    random = np.random.default_rng(0)
    values, covariates = random.normal(size=(9, 1000)), random.normal(size=(9, 2))
    found = compared(values[:5], values[5:], statistic="student", covariates=covariates, permutations=1, bootstrap=500)
    share = np.mean((found.lower <= 0) & (found.upper >= 0))
    # As without covariates, bootstrap intervals of nine animals are narrow: the residuals themselves give 0.78.
    assert 0.84 < share < 0.97


def test_an_effect_that_a_covariate_explains_disappears() -> None:
    random = np.random.default_rng(6)
    volume = np.concatenate([random.normal(2, 1, 15), random.normal(0, 1, 15)])
    values = volume[:, np.newaxis] + 0.1 * random.normal(size=(30, 5))
    plain = compared(values[:15], values[15:], statistic="student", permutations=999)
    adjusted = compared(values[:15], values[15:], statistic="student", covariates=volume, permutations=999)
    assert (plain.p_max_t < 0.01).all()
    assert (adjusted.p_max_t > 0.05).all()
    assert (adjusted.p_permutation > 0.01).all()


def test_intervals_are_those_of_scipy_for_the_same_draws() -> None:
    def difference(x: Any, y: Any, axis: int = -1) -> Any:
        return x.mean(axis=axis) - y.mean(axis=axis)

    found = compared(bootstrap=2_000, confidence=0.9, seed=5)
    for feature in (0, 7, 29):
        drawn = stats.bootstrap(
            (A[:, feature], B[:, feature]), difference, n_resamples=20_000, confidence_level=0.9, rng=0
        )
        tolerance = 0.1 * (drawn.confidence_interval.high - drawn.confidence_interval.low)
        np.testing.assert_allclose(found.lower[feature], drawn.confidence_interval.low, atol=tolerance)
        np.testing.assert_allclose(found.upper[feature], drawn.confidence_interval.high, atol=tolerance)
    wider = compared(bootstrap=2_000, confidence=0.99, seed=5)
    assert (wider.lower < found.lower).all()
    assert (wider.upper > found.upper).all()


def test_the_formula_of_intervals_is_that_of_scipy() -> None:
    from bsv_store.statistics.bootstrap import difference_interval
    from bsv_store.statistics.design import make_design

    class Stub:
        """The draws of `difference_interval`, as the distribution that SciPy continues from."""

        bootstrap_distribution: Any

    values = np.concatenate([A, B])
    design = make_design(np.arange(21) < 9, "welch", None)
    seed = np.random.SeedSequence(3)
    lower, upper = difference_interval(
        design, values, draws=500, confidence=0.95, seed=seed, advance=lambda count: None
    )
    random = np.random.Generator(np.random.PCG64(seed))
    drawn_a = A[(random.random((500, 9)) * 9).astype(int)].mean(axis=1)
    drawn_b = B[(random.random((500, 12)) * 12).astype(int)].mean(axis=1)
    Stub.bootstrap_distribution = (drawn_a - drawn_b).T
    expected = stats.bootstrap(
        (A.T, B.T),
        lambda x, y, axis: x.mean(axis=axis) - y.mean(axis=axis),
        axis=-1,
        n_resamples=0,
        bootstrap_result=Stub,
    ).confidence_interval
    np.testing.assert_allclose(lower, expected.low, rtol=1e-10)
    np.testing.assert_allclose(upper, expected.high, rtol=1e-10)


def test_an_interval_of_draws_on_one_side_is_not_known() -> None:
    found = compared(bootstrap=1)
    assert np.isnan(found.lower).all()
    assert np.isnan(found.upper).all()
    assert np.isfinite(found.p_max_t).all()


def test_intervals_contain_the_true_difference() -> None:
    random = np.random.default_rng(9)
    found = compared(random.normal(1, 1, (20, 400)), random.normal(0, 2, (25, 400)), bootstrap=999)
    covered = ((found.lower < 1) & (found.upper > 1)).mean()
    assert 0.90 < covered < 0.98
    covariate = random.normal(size=45)
    adjusted = compared(
        random.normal(1, 1, (20, 400)) + covariate[:20, np.newaxis],
        random.normal(0, 1, (25, 400)) + covariate[20:, np.newaxis],
        statistic="student",
        covariates=covariate,
        bootstrap=999,
    )
    assert 0.89 < ((adjusted.lower < 1) & (adjusted.upper > 1)).mean() < 0.98


def test_features_without_variation_are_not_tested() -> None:
    constant_a, constant_b = np.full((9, 2), 0.1), np.full((12, 2), [0.1, 0.7])
    found = compared(np.hstack([constant_a, A]), np.hstack([constant_b, B]))
    for each in (found.t, found.p, found.p_permutation, found.p_fdr, found.p_max_t, found.effect_size):
        assert np.isnan(each[:2]).all()
        assert np.isfinite(each[2:]).all()
    np.testing.assert_allclose([found.difference[:2], found.lower[:2], found.upper[:2]], [[0, -0.6]] * 3, atol=1e-15)
    alone = compared()
    np.testing.assert_array_equal(found.p_fdr[2:], alone.p_fdr)
    np.testing.assert_array_equal(found.p_max_t[2:], alone.p_max_t)


def test_a_group_without_variation_is_compared_with_one_that_varies() -> None:
    a = np.zeros((9, 1))
    found = compared(a, B[:, :1])
    expected = stats.ttest_ind(a, B[:, :1], equal_var=False)
    np.testing.assert_allclose([found.t, found.p], [expected.statistic, expected.pvalue], rtol=1e-12)


def test_a_relabeling_that_separates_the_groups_is_the_most_extreme() -> None:
    # Of 20 relabelings, two give groups without variation; both are more extreme than any finite t.
    a, b = np.array([[1.0], [1.0], [0.0]]), np.array([[1.0], [0.0], [0.0]])
    found = compared(a, b, permutations=20)
    assert found.exact
    assert found.p_permutation == found.p_max_t == 1.0
    observed = compared(np.array([[1.0], [1.0], [0.9]]), np.array([[0.0], [0.0], [0.1]]), permutations=20)
    assert observed.p_permutation == 0.1


def test_a_seed_gives_the_same_bytes() -> None:
    for options in ({}, {"statistic": "student", "covariates": COVARIATES}):
        one, two, other = (compared(seed=seed, **options) for seed in (1, 1, 2))
        for name in ("t", "p_permutation", "p_max_t", "lower", "upper"):
            assert getattr(one, name).tobytes() == getattr(two, name).tobytes()
        assert one.lower.tobytes() != other.lower.tobytes()
        assert one.p_permutation.tobytes() != other.p_permutation.tobytes()


def test_adjusted_p_values_are_those_of_scipy_and_leave_out_missing_ones() -> None:
    p = np.random.default_rng(0).random(50) ** 3
    p[10:14] = p[3]
    np.testing.assert_allclose(benjamini_hochberg(p), stats.false_discovery_control(p), rtol=1e-14)
    with_missing = np.insert(p, 5, np.nan)
    found = benjamini_hochberg(with_missing)
    assert np.isnan(found[5])
    np.testing.assert_array_equal(np.delete(found, 5), benjamini_hochberg(p))


@pytest.mark.parametrize(
    ("a", "b", "options", "words"),
    [
        (A[:1], B, {}, "group a must have at least 2 animals, got 1"),
        (A, B[:0], {}, "group b must have at least 2 animals, got 0"),
        (A, B[:, :5], {}, "same features, got 30 and 5"),
        (A[:, 0], B, {}, r"a must have shape \(animals, features\)"),
        (np.where(A > 3, np.nan, A), B, {}, "features of a have values that are not finite"),
        (A, np.where(B > 3, np.inf, B), {}, "features of b have values that are not finite"),
        ([["much"]], B, {}, "a must be an array of numbers"),
        (A, B, {"confidence": 95}, "confidence must be a number between 0 and 1, got 95"),
        (A, B, {"confidence": True}, "confidence must be a number between 0 and 1"),
        (A, B, {"bootstrap": 0}, "bootstrap must be a positive integer"),
        (A, B, {"effect_size": "odds"}, "effect_size must be one of hedges_g, cohens_d"),
        (A, B, {"seed": 1.5}, "seed must be an integer"),
        (A, B, {"covariates": COVARIATES}, "does not allow covariates"),
    ],
)
def test_wrong_arguments_are_refused(a: Any, b: Any, options: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        compared(a, b, **options)


def test_the_extra_is_named_where_scipy_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(InputError, match=r"bsv-store\[stats\]"):
        compared()


def test_progress_counts_relabelings_and_draws() -> None:
    class Counted:
        total, done, ended = 0, 0, 0

        def start(self, total: int, what: str) -> None:
            self.total = total

        def advance(self, count: int = 1, *, size_bytes: int = 0) -> None:
            self.done += count

        def finish(self) -> None:
            self.ended += 1

    progress = Counted()
    compared(progress=progress)
    assert (progress.total, progress.done, progress.ended) == (198, 198, 1)


def test_real_tables_give_the_tests_of_scipy(data: Path) -> None:
    files = sorted(data.glob("allensdk_cache/experiment_*/structure_unionizes.csv"))
    tables = []
    for file in files:
        rows = pd.read_csv(file, usecols=["hemisphere_id", "is_injection", "structure_id", "projection_density"])
        rows = rows[(rows.hemisphere_id == 3) & ~rows.is_injection]
        tables.append(rows.set_index("structure_id").projection_density)
    # Structures that an experiment does not name have no signal in it.
    densities = pd.concat(tables, axis=1).fillna(0.0).to_numpy().T
    assert densities.shape[0] == len(files) > 30
    assert densities.shape[1] > 500
    a, b = densities[::2], densities[1::2]
    with np.errstate(invalid="ignore"), warnings.catch_warnings(action="ignore"):
        expected = stats.ttest_ind(a, b, equal_var=False)
    found = compared(a, b)
    tested = np.isfinite(found.t)
    assert tested.mean() > 0.9
    np.testing.assert_allclose(found.t[tested], expected.statistic[tested], rtol=1e-12)
    np.testing.assert_allclose(found.p[tested], expected.pvalue[tested], rtol=1e-12)
    for each in (found.p_permutation, found.p_max_t, found.p_fdr, found.lower, found.upper):
        assert np.isfinite(each[tested]).all()
    assert ((densities[:, ~tested] == densities[0, ~tested]).all(axis=0)).all()
    by_voxel = compare_voxels(densities, np.arange(len(densities)) % 2 == 0, seed=1, permutations=99)
    np.testing.assert_array_equal(np.isfinite(by_voxel.t), tested)
