"""Statistics from running sums: injected sides are pooled, and voxels that were not listed count as zeros."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from bsv_store.averaging.kernel.cells import Cell, RequiredSums
from bsv_store.check import choice
from bsv_store.errors import RecipeError
from bsv_store.vocabulary import STATISTICS, Statistic

Float64Array = NDArray[np.float64]


def checked_statistics(names: Sequence[str]) -> tuple[Statistic, ...]:
    """The statistics with these names and the mean, in the order of `STATISTICS`.

    Raises
    ------
    RecipeError
        If a name is not valid.
    """
    given = [names] if isinstance(names, str) else names
    chosen = {choice("statistics", name, STATISTICS, error=RecipeError).name for name in given}
    return tuple(row.name for row in STATISTICS.values() if row.name in chosen or row.name == "mean")


def required_sums(statistics: Iterable[Statistic], *, weighted: bool) -> RequiredSums:
    """The running sums that these statistics are computed from."""
    rows = [STATISTICS[name] for name in statistics]
    return RequiredSums(
        spread=any(row.needs_spread for row in rows),
        extremes=any(row.needs_extremes for row in rows),
        weighted=weighted,
    )


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums over the members of a group on a block of AP planes, arrays of shape (planes, dv, ml).

    Attributes
    ----------
    n : ndarray of float64, or float
        Members counted at each voxel; one number where it is the same for all.
    weight : ndarray of float64, or float
        Sum of weights; equal to `n` without weights.
    weighted : bool
        Whether members have weights. Then all voxels are listed.
    listed : ndarray of float64 or None
        Total weight of the members included in `center`, `spread`, `low` and `high`; all others are 0 at this voxel.
    center, spread : ndarray of float64 or None
        Mean of the listed values, and weighted sum of squared deviations from it.
    weight_square, weight_pairs : ndarray of float64 or None
        Sums of the squares of the weights, and of the products of each pair of weights.
    """

    total: Float64Array
    n: Float64Array | float
    weight: Float64Array | float
    weighted: bool
    listed: Float64Array | None
    center: Float64Array | None
    spread: Float64Array | None
    low: Float64Array | None
    high: Float64Array | None
    weight_square: Float64Array | None
    weight_pairs: Float64Array | None


def read_cell(cell: Cell, shape: tuple[int, int, int], planes: slice, *, mirrored: bool) -> Sums:
    """The sums of a cell on some planes of its slab, optionally mirrored at the midline."""
    step = -1 if mirrored else 1

    def block(array: NDArray[Any] | None) -> Float64Array | None:
        if array is None:
            return None
        return np.asarray(array.reshape(shape)[planes, :, ::step], np.float64)

    total = block(cell.total)
    assert total is not None
    counted, missing, weight = block(cell.counted), block(cell.missing), block(cell.weight)
    n: Float64Array | float = float(cell.members) if missing is None else cell.members - missing
    return Sums(
        total,
        n if counted is None else counted,
        n if weight is None else weight,
        weight is not None,
        block(cell.listed) if weight is None else weight,
        block(cell.center),
        block(cell.spread),
        block(cell.low),
        block(cell.high),
        block(cell.weight_square),
        block(cell.weight_pairs),
    )


def pooled(parts: Iterable[Sums]) -> Sums | None:
    """The sums of all parts together; None without parts."""
    result: Sums | None = None
    for part in parts:
        result = part if result is None else _pooled_pair(result, part)
    return result


def _pooled_pair(a: Sums, b: Sums) -> Sums:
    center, spread = _pooled_moments(a, b)
    pairs = _merged(np.add, a.weight_pairs, b.weight_pairs)
    return Sums(
        a.total + b.total,
        a.n + b.n,
        a.weight + b.weight,
        a.weighted,
        _merged(np.add, a.listed, b.listed),
        center,
        spread,
        _merged(np.minimum, a.low, b.low),
        _merged(np.maximum, a.high, b.high),
        _merged(np.add, a.weight_square, b.weight_square),
        None if pairs is None else pairs + np.asarray(a.weight) * b.weight,
    )


def _merged(
    merge: Callable[[Float64Array, Float64Array], Float64Array], a: Float64Array | None, b: Float64Array | None
) -> Float64Array | None:
    if a is None:
        return None
    # Both have the sums that the statistics need.
    assert b is not None
    return merge(a, b)


def _pooled_moments(a: Sums, b: Sums) -> tuple[Float64Array | None, Float64Array | None]:
    """Mean and sum of squared deviations of the listed values of both sums together."""
    if a.center is None:
        return None, None
    assert a.spread is not None
    assert a.listed is not None
    assert b.center is not None
    assert b.spread is not None
    assert b.listed is not None
    share = _share(b.listed, a.listed)
    center = a.center + share * (b.center - a.center)
    return center, a.spread + b.spread + _between(a.center, a.listed, b.center, b.listed)


def _between(
    center_a: Float64Array, weight_a: Float64Array, center_b: Float64Array | float, weight_b: Float64Array
) -> Float64Array:
    """The increase of the sum of squared deviations when two sets of values are joined (Chan, Golub, LeVeque 1979)."""
    difference = center_a - center_b
    return _share(weight_b, weight_a) * weight_a * (difference * difference)


def _share(weight: Float64Array, other: Float64Array) -> Float64Array:
    """``weight / (weight + other)``; 0 if both are 0."""
    both = weight + other
    return np.divide(weight, both, out=np.zeros_like(both), where=both > 0)


def subtracted(right: Sums | None, left: Sums | None) -> Sums | None:
    """The sums of volumes minus their mirrored voxels in the injected hemisphere; 0 in the other one.

    Subtraction is linear, so the sums of all volumes injected on one side are subtracted at once.

    Parameters
    ----------
    right, left : Sums or None
        Plain sums of the members injected on that side, not mirrored; None if there are none.
    """
    both = pooled(part for part in (right, left) if part is not None)
    if both is None:
        return None
    total = np.zeros_like(both.total)
    middle = total.shape[-1] // 2
    for part, half in ((right, slice(middle, None)), (left, slice(middle))):
        if part is not None:
            total[..., half] = part.total[..., half] - part.total[..., ::-1][..., half]
    return replace(both, total=total)


def statistics_of(sums: Sums, names: Iterable[Statistic]) -> dict[Statistic, Float64Array]:
    """Each statistic, float64, shape (planes, dv, ml); NaN where there are too few values.

    With weights, mean and sum are weighted. sd is that of a sample: divided by n - 1, with weights by
    ``sum(w) - sum(w**2) / sum(w)``, which is n - 1 if all weights are 1. To avoid cancellation if one weight is much
    larger than the others, it is computed as twice the sum of the products of all pairs, divided by ``sum(w)``.
    sem is sd / sqrt(n), with weights ``n = sum(w)**2 / sum(w**2)``.
    """
    return {name: _statistic(sums, name) for name in names}


def _statistic(sums: Sums, name: Statistic) -> Float64Array:
    if name == "mean":
        return _quotient(sums.total, sums.weight)
    if name == "sum":
        return np.where(np.asarray(sums.n) > 0, sums.total, np.nan)
    if name == "sd":
        return _spread(sums, of_mean=False)
    if name == "sem":
        return _spread(sums, of_mean=True)
    if name == "min":
        return _extreme(sums, sums.low, np.minimum)
    if name == "max":
        return _extreme(sums, sums.high, np.maximum)
    if name == "n":
        return np.broadcast_to(sums.n, sums.total.shape)
    assert_never(name)


def _quotient(value: Float64Array, by: Float64Array | float) -> Float64Array:
    with np.errstate(invalid="ignore", divide="ignore"):
        if isinstance(by, float):
            return value / by if by > 0 else np.full_like(value, np.nan)
        return np.where(by > 0, value / by, np.nan)


def _spread(sums: Sums, *, of_mean: bool) -> Float64Array:
    assert sums.spread is not None
    assert sums.listed is not None
    n = np.asarray(sums.n)
    if not sums.weighted:
        assert sums.center is not None
        squares = sums.spread + _between(sums.center, sums.listed, 0.0, n - sums.listed)
        effective, freedom = n, n - 1
    else:
        assert sums.weight_square is not None
        assert sums.weight_pairs is not None
        squares = sums.spread
        effective = _quotient(sums.listed * sums.listed, sums.weight_square)
        freedom = _quotient(2 * sums.weight_pairs, sums.listed)
    with np.errstate(invalid="ignore"):
        sd = np.sqrt(_quotient(squares, np.where(n >= 2, freedom, 0.0)))
        return sd / np.sqrt(effective) if of_mean else sd


def _extreme(
    sums: Sums, listed_extreme: Float64Array | None, pick: Callable[[Float64Array, float], Float64Array]
) -> Float64Array:
    assert listed_extreme is not None
    assert sums.listed is not None
    result = listed_extreme
    if not sums.weighted:
        result = np.where(sums.listed < sums.n, pick(result, 0.0), result)
    return np.where(np.asarray(sums.n) > 0, result, np.nan)
