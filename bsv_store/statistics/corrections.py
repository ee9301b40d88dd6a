"""Corrections of p values for many tests."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def benjamini_hochberg(p: ArrayLike) -> NDArray[np.float64]:
    """The p values adjusted by the procedure of Benjamini and Hochberg.

    Rejecting where the adjusted value is at most q keeps the expected share of false discoveries at most at q.

    Parameters
    ----------
    p : array_like of shape (tests,)
        NaN stands for no test: it stays NaN, and the others are adjusted as if it were not there.

    Returns
    -------
    ndarray of shape (tests,), float64

    References
    ----------
    Benjamini Y, Hochberg Y (1995) Controlling the false discovery rate. J R Stat Soc B 57:289-300.
    """
    given = np.asarray(p, np.float64)
    adjusted = np.full(given.shape, np.nan)
    tested = np.flatnonzero(~np.isnan(given))
    ascending = tested[np.argsort(given[tested], kind="stable")]
    scaled = given[ascending] * len(ascending) / np.arange(1, len(ascending) + 1)
    adjusted[ascending] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return adjusted


def p_of_counts(counts: NDArray[np.integer], relabelings: int, *, exact: bool) -> NDArray[np.float64]:
    """The permutation p values of numbers of relabelings that are at least as extreme as the observed labels.

    If the relabelings are all that exist, the observed labels are one of them. Otherwise they are a random sample, and
    the observed labels are added to it, since p would be 0, and the test invalid, without them.

    References
    ----------
    Phipson B, Smyth GK (2010) Permutation p-values should never be zero. Stat Appl Genet Mol Biol 9:39.
    """
    if exact:
        return counts / relabelings
    return (counts + 1) / (relabelings + 1)


def counts_at_least(null: NDArray[np.float64], limits: NDArray[np.float64]) -> NDArray[np.int64]:
    """How many values of the null distribution are at least as large as each limit."""
    ascending = np.sort(null)
    counts: NDArray[np.int64] = len(ascending) - np.searchsorted(ascending, limits, side="left")
    return counts


def critical_value(null: NDArray[np.float64], alpha: float, *, exact: bool) -> float:
    """The value that a statistic must exceed for a corrected p of at most ``alpha``; NaN if no value is enough.

    Parameters
    ----------
    null : ndarray of shape (relabelings,)
        Largest statistic of each relabeling.
    alpha : float
    exact : bool
        Whether these are all relabelings that exist.
    """
    # A tiny excess, so that 0.05 * 20 is 1.
    allowed = int(np.floor(alpha * len(null) + 1e-9)) if exact else int(np.floor(alpha * (len(null) + 1) + 1e-9)) - 1
    least = 1 if exact else 0
    if allowed < least:
        return float("nan")
    value = float(np.sort(null)[::-1][min(allowed, len(null) - 1)])
    return value if np.isfinite(value) else float("nan")
