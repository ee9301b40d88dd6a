"""Statistics from running sums: injected sides are pooled, and voxels that were not listed count as zeros."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
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
        Weight of the members behind `spread`, `low` and `high`; the other members are 0 at this voxel.
    """

    total: Float64Array
    n: Float64Array | float
    weight: Float64Array | float
    weighted: bool
    listed: Float64Array | None
    spread: Float64Array | None
    low: Float64Array | None
    high: Float64Array | None
    weight_square: Float64Array | None


def read_cell(cell: Cell, shape: tuple[int, int, int], planes: slice, *, mirrored: bool) -> Sums:
    """The sums of a cell on some planes of its slab, optionally mirrored at the midline."""
    step = -1 if mirrored else 1

    def block(array: NDArray[Any] | None) -> Float64Array | None:
        if array is None:
            return None
        return array.reshape(shape)[planes, :, ::step].astype(np.float64, copy=False)

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
        block(cell.spread),
        block(cell.low),
        block(cell.high),
        block(cell.weight_square),
    )


def pooled(parts: Iterable[Sums]) -> Sums | None:
    """The sums of all parts together; None without parts."""
    result: Sums | None = None
    for part in parts:
        result = part if result is None else _pooled_pair(result, part)
    return result


def _pooled_pair(a: Sums, b: Sums) -> Sums:
    return Sums(
        a.total + b.total,
        a.n + b.n,
        a.weight + b.weight,
        a.weighted,
        _merged(np.add, a.listed, b.listed),
        _pooled_spread(a, b),
        _merged(np.minimum, a.low, b.low),
        _merged(np.maximum, a.high, b.high),
        _merged(np.add, a.weight_square, b.weight_square),
    )


def _merged(
    merge: Callable[[Float64Array, Float64Array], Float64Array], a: Float64Array | None, b: Float64Array | None
) -> Float64Array | None:
    return None if a is None or b is None else merge(a, b)


def _pooled_spread(a: Sums, b: Sums) -> Float64Array | None:
    if a.spread is None or b.spread is None or a.listed is None or b.listed is None:
        return None
    return a.spread + b.spread + _between(a.total, a.listed, b.total, b.listed)


def _between(
    total_a: Float64Array, weight_a: Float64Array, total_b: Float64Array | float, weight_b: Float64Array
) -> Float64Array:
    """The increase of the sum of squared deviations when two sets of values are joined (Chan, Golub, LeVeque 1979)."""
    scale = weight_a * weight_b * (weight_a + weight_b)
    difference = weight_b * total_a - weight_a * total_b
    return np.divide(difference * difference, scale, out=np.zeros_like(total_a), where=scale > 0)


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
    for part, half in ((right, slice(middle, None)), (left, slice(0, middle))):
        if part is not None:
            total[..., half] = part.total[..., half] - part.total[..., ::-1][..., half]
    return Sums(total, both.n, both.weight, both.weighted, None, None, None, None, None)


def statistics_of(sums: Sums, names: Iterable[Statistic]) -> dict[Statistic, Float64Array]:
    """Each statistic, float64, shape (planes, dv, ml); NaN where there are too few values.

    With weights, mean and sum are weighted. sd is that of a sample: divided by n - 1, with weights by
    ``sum(w) - sum(w**2) / sum(w)``, which is n - 1 if all weights are 1. sem is sd / sqrt(n), with weights
    ``n = sum(w)**2 / sum(w**2)``.
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
        return np.broadcast_to(np.asarray(sums.n, np.float64), sums.total.shape)
    assert_never(name)


def _quotient(value: Float64Array, by: Float64Array | float) -> Float64Array:
    with np.errstate(invalid="ignore", divide="ignore"):
        if isinstance(by, float):
            return value / by if by > 0 else np.full_like(value, np.nan)
        return np.where(by > 0, value / by, np.nan)


def _spread(sums: Sums, *, of_mean: bool) -> Float64Array:
    assert sums.spread is not None
    assert sums.listed is not None
    n = np.asarray(sums.n, np.float64)
    if sums.weight_square is None:
        zeros = n - sums.listed
        squares = sums.spread + _between(sums.total, sums.listed, 0.0, zeros)
        effective, freedom = n, n - 1
    else:
        squares = sums.spread
        effective = _quotient(sums.listed * sums.listed, sums.weight_square)
        freedom = sums.listed - _quotient(sums.weight_square, sums.listed)
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
