"""Tests of two groups of animals on a table of features, such as the densities in structures."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, lgamma, sqrt
from typing import assert_never

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bsv_store.check import as_float, choice, whole_number
from bsv_store.errors import InputError
from bsv_store.progress import NO_PROGRESS, Progress
from bsv_store.statistics import extra
from bsv_store.statistics.bootstrap import difference_interval
from bsv_store.statistics.cards import card_of_test
from bsv_store.statistics.corrections import benjamini_hochberg, counts_at_least, p_of_counts
from bsv_store.statistics.design import Design, Float64Array, FloatArray, make_design
from bsv_store.statistics.relabelings import relabelings
from bsv_store.text import shown
from bsv_store.vocabulary import EFFECT_SIZES, EffectSize, TwoSampleStatistic

# Of the extremeness: rounding in float64 is below it, so that ties are ties.
_TIE = 1e-10
_RELABELINGS_AT_ONCE = 500


@dataclass(frozen=True)
class TwoGroupTest:
    """A test of each feature for a difference of two groups; arrays of shape (features,), float64.

    Where the values do not vary within the groups, or the covariates explain them fully, there is no test: ``t``,
    ``effect_size`` and all p values are NaN, and the feature does not count in the corrections.

    Attributes
    ----------
    mean_a, mean_b : ndarray
        Means of the groups, not adjusted for covariates.
    difference : ndarray
        ``mean_a - mean_b``; with covariates, the coefficient of the group in the linear model.
    effect_size : ndarray
        The difference in standard deviations within the groups, pooled; with covariates, in standard deviations of the
        residuals. Hedges' g is NaN for one degree of freedom.
    t : ndarray
    p : ndarray
        Two-sided p of t under the assumption of normality.
    p_permutation : ndarray
        Two-sided p of t by permutation, not corrected.
    p_fdr : ndarray
        ``p`` adjusted by the procedure of Benjamini and Hochberg.
    p_max_t : ndarray
        p by permutation, corrected for the number of features: the probability of a family-wise error.
    lower, upper : ndarray
        Bootstrap interval (BCa) of the difference. NaN if all draws lie on one side of the difference, as happens with
        very few draws.
    n_a, n_b : int
        Numbers of animals.
    permutations : int
        Number of relabelings, see ``exact``.
    exact : bool
        Whether all relabelings were enumerated. Otherwise they are a random sample.
    """

    mean_a: Float64Array
    mean_b: Float64Array
    difference: Float64Array
    effect_size: Float64Array
    t: Float64Array
    p: Float64Array
    p_permutation: Float64Array
    p_fdr: Float64Array
    p_max_t: Float64Array
    lower: Float64Array
    upper: Float64Array
    n_a: int
    n_b: int
    permutations: int
    exact: bool

    def _repr_html_(self) -> str:
        return card_of_test(
            "feature",
            n=(self.n_a, self.n_b),
            t=self.t,
            p_max_t=self.p_max_t,
            permutations=self.permutations,
            exact=self.exact,
        )


def compare_features(
    a: ArrayLike,
    b: ArrayLike,
    *,
    statistic: TwoSampleStatistic = "welch",
    effect_size: EffectSize = "hedges_g",
    permutations: int = 10_000,
    bootstrap: int = 10_000,
    confidence: float = 0.95,
    seed: int,
    covariates: ArrayLike | None = None,
    progress: Progress | None = None,
) -> TwoGroupTest:
    """A two-sided test of each feature for a difference of two groups of animals.

    Parameters
    ----------
    a : array_like of shape (animals in a, features)
    b : array_like of shape (animals in b, features)
        Measured in other animals. Every value must be finite: leave out features or animals that were not measured.
    statistic : {'welch', 'student'}, optional
        With covariates, only ``'student'``.
    effect_size : {'hedges_g', 'cohens_d'}, optional
    permutations : int, optional
        Number of relabelings. If no more than that exist, all are enumerated and p is exact. Otherwise a random sample
        is drawn, and p is ``(1 + count) / (1 + permutations)``.
    bootstrap : int, optional
        Number of draws for the intervals.
    confidence : float, optional
        Of the intervals, between 0 and 1.
    seed : int
        The same seed gives the same result to the last bit, whatever else is drawn in the process.
    covariates : array_like of shape (animals, covariates), optional
        For the animals of a, then those of b. The residuals of the model without the groups are permuted (Freedman and
        Lane).
    progress : Progress, optional

    Returns
    -------
    TwoGroupTest

    Raises
    ------
    InputError
        If an argument is not valid, a value is not finite, a group has fewer than two animals, a covariate is constant
        or depends linearly on the others or the groups, or SciPy (extra ``stats``) is not installed.

    Notes
    -----
    Two relabelings whose t differ by rounding only are ties. The corrected p compares ``|t|`` with the largest ``|t|``
    over all features of each relabeling, which controls the family-wise error in the strong sense under subset
    pivotality.

    References
    ----------
    Westfall PH, Young SS (1993) Resampling-based multiple testing. Wiley.
    Phipson B, Smyth GK (2010) Permutation p-values should never be zero. Stat Appl Genet Mol Biol 9:39.
    Freedman D, Lane D (1983) A nonstochastic interpretation of reported significance levels. J Bus Econ Stat 1:292-298.
    Winkler AM, Ridgway GR, Webster MA, Smith SM, Nichols TE (2014) Permutation inference for the general linear model.
    NeuroImage 92:381-397.
    Benjamini Y, Hochberg Y (1995) Controlling the false discovery rate. J R Stat Soc B 57:289-300.
    Hedges LV (1981) Distribution theory for Glass's estimator of effect size. J Educ Stat 6:107-128.
    Efron B (1987) Better bootstrap confidence intervals. J Am Stat Assoc 82:171-185.
    """
    special = extra.special()
    first, second = _table("a", a), _table("b", b)
    if first.shape[1] != second.shape[1]:
        raise InputError(f"a and b must have the same features, got {first.shape[1]} and {second.shape[1]}")
    values = np.concatenate([first, second])
    in_a = np.arange(len(values)) < len(first)
    design = make_design(in_a, statistic, covariates)
    size = choice("effect_size", effect_size, EFFECT_SIZES).name
    limit = whole_number("permutations", permutations, least=1)
    draws = whole_number("bootstrap", bootstrap, least=1)
    level = checked_share("confidence", confidence)
    of_permutations, of_bootstrap = seed_sequences(seed, 2)

    observed = design.observed(values)
    p = 2 * special.stdtr(observed.df, -np.abs(observed.t))
    orders = relabelings(in_a, exchange_all=design.covariates > 0, limit=limit, seed=of_permutations)
    report = progress or NO_PROGRESS
    report.start(len(orders) + draws, "comparing groups")
    try:
        p_permutation, p_max_t = np.full_like(p, np.nan), np.full_like(p, np.nan)
        tested = np.flatnonzero(~np.isnan(observed.t))
        if tested.size:
            limits = design.extremeness_of(observed.t[tested]) - _TIE
            counts = np.zeros(tested.size, np.int64)
            largest = np.empty(len(orders))
            units = design.units(values[:, tested])
            for start in range(0, len(orders), _RELABELINGS_AT_ONCE):
                part = slice(start, start + _RELABELINGS_AT_ONCE)
                found = _extremeness(design, units, orders.order[part])
                counts += (found >= limits).sum(axis=0)
                largest[part] = found.max(axis=1)
                report.advance(len(found))
            p_permutation[tested] = p_of_counts(counts, len(orders), exact=orders.exact)
            p_max_t[tested] = p_of_counts(counts_at_least(largest, limits), len(orders), exact=orders.exact)
        lower, upper = difference_interval(
            design, values, draws=draws, confidence=level, seed=of_bootstrap, advance=report.advance
        )
    finally:
        report.finish()
    return TwoGroupTest(
        mean_a=first.mean(axis=0),
        mean_b=second.mean(axis=0),
        difference=observed.difference,
        effect_size=observed.difference / observed.pooled_sd * _correction(size, design.df),
        t=observed.t,
        p=p,
        p_permutation=p_permutation,
        p_fdr=benjamini_hochberg(p),
        p_max_t=p_max_t,
        lower=lower,
        upper=upper,
        n_a=design.n_a,
        n_b=design.n_b,
        permutations=len(orders),
        exact=orders.exact,
    )


def _table(name: str, values: ArrayLike) -> Float64Array:
    try:
        table = np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} must be an array of numbers") from error
    if table.ndim != 2 or table.shape[1] < 1:
        raise InputError(f"{name} must have shape (animals, features), got {table.shape}")
    missing = int((~np.isfinite(table)).any(axis=0).sum())
    if missing:
        raise InputError(
            f"{missing} of {table.shape[1]} features of {name} have values that are not finite",
            hint="Leave out these features, or the animals in which they were not measured.",
        )
    return table


def _extremeness(design: Design, units: Float64Array, order: NDArray[np.intp]) -> FloatArray:
    """The extremeness of each relabeling of each feature; shape (relabelings, features)."""
    sums = design.rows[0][order] @ units
    match design.statistic:
        case "student":
            others = [row[order] @ units for row in design.rows[1:]]
        case "welch":
            others = [design.rows[0][order] @ units**2]
        case _:
            assert_never(design.statistic)
    return design.extremeness(sums, others)


def _correction(size: EffectSize, df: int) -> float:
    match size:
        case "cohens_d":
            return 1.0
        case "hedges_g":
            # Without bias under normality. Undefined for one degree of freedom, which two groups of two do not have.
            return exp(lgamma(df / 2) - lgamma((df - 1) / 2)) / sqrt(df / 2) if df > 1 else float("nan")
        case _:
            assert_never(size)


def checked_share(name: str, value: object) -> float:
    """The value, which must be a number between 0 and 1, both excluded.

    Raises
    ------
    InputError
        If it is not.
    """
    number = as_float(value)
    if number is None or not 0 < number < 1:
        raise InputError(f"{name} must be a number between 0 and 1, got {shown(value)}", hint="For example: 0.95.")
    return number


def seed_sequences(seed: int, count: int) -> list[np.random.SeedSequence]:
    """Independent sources of random numbers for the parts of a computation.

    Raises
    ------
    InputError
        If the seed is not an integer of at least 0.
    """
    return np.random.SeedSequence(whole_number("seed", seed, least=0)).spawn(count)
