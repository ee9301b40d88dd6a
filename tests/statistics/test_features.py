"""Tests of features: against SciPy, and by their own definition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from bsv_store.statistics import TwoGroupTest, compare_features
from bsv_store.vocabulary import EFFECT_SIZES, TWO_SAMPLE_STATISTICS

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
