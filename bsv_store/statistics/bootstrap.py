"""Bootstrap intervals of the difference of two groups."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from bsv_store.statistics import extra
from bsv_store.statistics.design import Design, Float64Array

_DRAWS_AT_ONCE = 1_000
_FEATURES_AT_ONCE = 1_000
_ROUNDING = 1e-12


def difference_interval(
    design: Design,
    values: Float64Array,
    *,
    draws: int,
    confidence: float,
    seed: np.random.SeedSequence,
    advance: Callable[[int], None],
) -> tuple[Float64Array, Float64Array]:
    """The limits of the BCa interval of the difference of each feature; NaN if all draws lie on one side of it.

    Animals are drawn with replacement within each group. With covariates, the residuals of the model are drawn, since a
    draw of animals may not determine its coefficients; they are scaled to their unbiased variance.

    Parameters
    ----------
    design : Design
    values : ndarray of shape (animals, features), float64
    draws : int
    confidence : float
    seed : SeedSequence
    advance : callable
        Called with the number of draws that are done.

    References
    ----------
    Efron B (1987) Better bootstrap confidence intervals. J Am Stat Assoc 82:171-185.
    """
    observed = design.observed(values)
    # Without what rounding leaves of constant features.
    residuals = np.where(np.isnan(observed.t), 0.0, _within_groups(design, values))
    weights = _drawn_weights(design, draws, np.random.Generator(np.random.PCG64(seed)), advance)
    lower, upper = np.empty(values.shape[1]), np.empty(values.shape[1])
    for first in range(0, values.shape[1], _FEATURES_AT_ONCE):
        part = slice(first, first + _FEATURES_AT_ONCE)
        lower[part], upper[part] = _bca(
            design.weights[:, np.newaxis] * residuals[:, part], weights, residuals[:, part], confidence
        )
    return observed.difference + lower, observed.difference + upper


def _within_groups(design: Design, values: Float64Array) -> Float64Array:
    if not design.covariates:
        residuals = np.empty(values.shape)
        for group in (design.in_a, ~design.in_a):
            residuals[group] = values[group] - values[group].mean(axis=0)
        return residuals
    left = design.residuals(values)
    residuals = left - design.group[:, np.newaxis] * (design.weights @ left)
    # The model fits the data more closely than the truth does.
    scaled: Float64Array = residuals * np.sqrt(len(residuals) / design.df)
    return scaled


def _drawn_weights(
    design: Design, draws: int, random: np.random.Generator, advance: Callable[[int], None]
) -> NDArray[np.float64]:
    """The weight of each animal's residual in each draw; shape (draws, animals)."""
    animals = len(design.in_a)
    groups = [np.flatnonzero(design.in_a), np.flatnonzero(~design.in_a)]
    weights = np.empty((draws, animals))
    for first in range(0, draws, _DRAWS_AT_ONCE):
        count = min(_DRAWS_AT_ONCE, draws - first)
        places, values = [], []
        for group in groups:
            drawn = group[(random.random((count, len(group))) * len(group)).astype(np.intp)]
            places.append(drawn + animals * np.arange(count)[:, np.newaxis])
            values.append(np.broadcast_to(design.weights[group], drawn.shape))
        summed = np.bincount(
            np.concatenate(places, axis=1).reshape(-1),
            np.concatenate(values, axis=1).reshape(-1),
            minlength=count * animals,
        )
        weights[first : first + count] = summed.reshape(count, animals)
        advance(count)
    return weights


def _bca(
    influences: Float64Array, weights: Float64Array, residuals: Float64Array, confidence: float
) -> tuple[Float64Array, Float64Array]:
    """The limits relative to the estimate; see `difference_interval`."""
    special = extra.special()
    # Not a BLAS product, whose last bits depend on the number of its threads.
    drawn = np.einsum("dn,nf->df", weights, residuals)
    draws = len(drawn)
    spread = np.sqrt((influences**2).sum(axis=0))
    # A draw of every animal once is the estimate, except for rounding.
    drawn[np.abs(drawn) <= _ROUNDING * spread] = 0.0
    drawn.sort(axis=0)
    below = (drawn < 0).sum(axis=0)
    not_above = (drawn <= 0).sum(axis=0)
    varies = spread > 0
    with np.errstate(invalid="ignore", divide="ignore"):
        bias = special.ndtri((below + not_above) / (2 * draws))
        skewness = (influences**3).sum(axis=0) / spread**3 / 6
        limits = []
        for tail in ((1 - confidence) / 2, (1 + confidence) / 2):
            shifted = bias + special.ndtri(tail)
            share = special.ndtr(bias + shifted / (1 - skewness * shifted))
            found = np.where(np.isnan(share), np.nan, _quantiles(drawn, np.nan_to_num(share)))
            limits.append(np.where(varies, found, 0.0))
    return limits[0], limits[1]


def _quantiles(ascending: Float64Array, shares: Float64Array) -> Float64Array:
    """A quantile of each column, interpolated linearly."""
    place = shares * (len(ascending) - 1)
    low = np.clip(np.floor(place).astype(np.intp), 0, len(ascending) - 1)
    high = np.minimum(low + 1, len(ascending) - 1)
    columns = np.arange(ascending.shape[1])
    below, above = ascending[low, columns], ascending[high, columns]
    found: Float64Array = below + (above - below) * (place - low)
    return found
