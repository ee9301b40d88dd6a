"""The design of a comparison of two groups, and its statistic for the observed and for other labels.

Notation: ``x`` is the indicator of the first group, ``Z`` the constant and the covariates, ``y`` a feature. The data
that are relabeled are the residuals ``e`` of ``y`` given ``Z``, as in the procedure of Freedman and Lane; without
covariates this is the ordinary permutation of labels, since the statistics do not depend on the mean.

*Extremeness* is ``|t| / sqrt(t**2 + df)``, where ``df`` is the same number for all features. It increases with ``|t|``
and lies between 0 and 1. For Student's t it is the absolute (partial) correlation of ``y`` and ``x``, for which one
matrix product gives all relabelings of all features.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import assert_never

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bsv_store.check import choice
from bsv_store.errors import InputError
from bsv_store.vocabulary import TWO_SAMPLE_STATISTICS, TwoSampleStatistic

Float64Array = NDArray[np.float64]
FloatArray = NDArray[np.floating]

# A sum of squares below this share of n times the square of the largest value is that of a constant.
_CONSTANT = 1e-24
# A variable of which the covariates leave less than this share unexplained depends on them linearly.
_COLLINEAR = 1e-8


@dataclass(frozen=True)
class Observed:
    """The statistics of the observed labels; arrays of shape (features,), float64.

    Attributes
    ----------
    difference : ndarray
        Mean of the first group minus mean of the second; with covariates, adjusted for them.
    t : ndarray
        NaN where it is not defined, because the values do not vary within the groups.
    df : ndarray
        Degrees of freedom of t.
    pooled_sd : ndarray
        Standard deviation within the groups; with covariates, of the residuals of the model.
    """

    difference: Float64Array
    t: Float64Array
    df: Float64Array
    pooled_sd: Float64Array


@dataclass(frozen=True)
class Design:
    """Two groups, and covariates if there are any.

    Attributes
    ----------
    in_a : ndarray of shape (animals,), bool
    statistic : TwoSampleStatistic
    basis : ndarray of shape (animals, covariates), float64
        Orthonormal basis of the centered covariates.
    """

    in_a: NDArray[np.bool_]
    statistic: TwoSampleStatistic
    basis: Float64Array = field(repr=False)

    @property
    def n_a(self) -> int:
        """The number of animals in the first group."""
        return int(self.in_a.sum())

    @property
    def n_b(self) -> int:
        """The number of animals in the second group."""
        return len(self.in_a) - self.n_a

    @property
    def covariates(self) -> int:
        """The number of covariates."""
        return int(self.basis.shape[1])

    @property
    def df(self) -> int:
        """Degrees of freedom of Student's t; a mere constant of the definition of extremeness for Welch's t."""
        return len(self.in_a) - 2 - self.covariates

    @cached_property
    def group(self) -> Float64Array:
        """The part of the group indicator that the covariates do not explain; shape (animals,)."""
        centered = self.in_a - self.in_a.mean()
        return self._residuals(centered[:, np.newaxis])[:, 0]

    @cached_property
    def weights(self) -> Float64Array:
        """The weight of each animal in the difference; shape (animals,)."""
        return self.group / (self.group @ self.group)

    @cached_property
    def rows(self) -> Float64Array:
        """What is multiplied with the residuals for the observed labels; shape (1 + covariates, animals)."""
        match self.statistic:
            case "student":
                unit = self.group / np.sqrt(self.group @ self.group)
                return np.vstack([unit, self.basis.T])
            case "welch":
                return self.in_a[np.newaxis].astype(np.float64)
            case _:
                assert_never(self.statistic)

    def observed(self, values: Float64Array) -> Observed:
        """The statistics of the observed labels.

        Parameters
        ----------
        values : ndarray of shape (animals, features), float64
        """
        size = len(self.in_a) * np.abs(values).max(axis=0, initial=0.0) ** 2
        n_a, n_b = self.n_a, self.n_b
        a, b = values[self.in_a], values[~self.in_a]
        mean_a, mean_b = a.mean(axis=0), b.mean(axis=0)
        squares_a, squares_b = ((a - mean_a) ** 2).sum(axis=0), ((b - mean_b) ** 2).sum(axis=0)
        difference, within = mean_a - mean_b, squares_a + squares_b
        if self.covariates:
            residuals = self.residuals(values)
            difference = _weighted_sums(self.weights, residuals)
            within = ((residuals - self.group[:, np.newaxis] * difference) ** 2).sum(axis=0)
        defined = within > _CONSTANT * size
        with np.errstate(divide="ignore", invalid="ignore"):
            match self.statistic:
                case "student":
                    variance = within / self.df * (self.weights @ self.weights)
                    df = np.full(difference.shape, float(self.df))
                case "welch":
                    of_a, of_b = squares_a / (n_a - 1) / n_a, squares_b / (n_b - 1) / n_b
                    variance = of_a + of_b
                    df = variance**2 / (of_a**2 / (n_a - 1) + of_b**2 / (n_b - 1))
                case _:
                    assert_never(self.statistic)
            t = difference / np.sqrt(variance)
        pooled = np.sqrt(within / self.df)
        return Observed(*(difference, *(np.where(defined, each, np.nan) for each in (t, df, pooled))))

    def residuals(self, values: Float64Array) -> Float64Array:
        """What is left of the values after the constant and the covariates; the same shape."""
        return self._residuals(values - values.mean(axis=0))

    def units(self, values: Float64Array) -> Float64Array:
        """The residuals of each feature, divided by their norm; 0 where the covariates leave nothing to explain."""
        left = self.residuals(values)
        norm = np.sqrt((left**2).sum(axis=0))
        nothing = norm**2 <= _CONSTANT * len(values) * np.abs(values).max(axis=0, initial=0.0) ** 2
        return left / np.where(nothing, np.inf, norm)

    def extremeness_of(self, t: Float64Array) -> Float64Array:
        """The extremeness of values of t."""
        return np.abs(t) / np.sqrt(t**2 + self.df)

    def t_of(self, extremeness: FloatArray) -> FloatArray:
        """The absolute t of an extremeness; infinite for 1."""
        with np.errstate(divide="ignore"):
            t: FloatArray = extremeness * np.sqrt(self.df / np.maximum(1.0 - extremeness**2, 0.0))
        return t

    def extremeness(self, sums: FloatArray, others: list[FloatArray]) -> FloatArray:
        """The extremeness of other labels, computed in place of ``sums``.

        Parameters
        ----------
        sums : ndarray
            Sums over the first group of the relabeled unit residuals, or their products with the first of `rows`.
        others : list of ndarray
            For Welch's t, the sum of their squares over the first group. With covariates, the products with the other
            `rows`. Overwritten.
        """
        match self.statistic:
            case "student":
                if others:
                    left = np.square(others[0], out=others[0])
                    for other in others[1:]:
                        left += np.square(other, out=other)
                    np.subtract(1.0, left, out=left)
                    # Never less than the part that the groups explain, except by rounding.
                    np.maximum(left, np.finfo(left.dtype).tiny, out=left)
                    sums /= np.sqrt(left, out=left)
                np.abs(sums, out=sums)
                return np.minimum(sums, 1.0, out=sums)
            case "welch":
                (squares,) = others
                n_a, n_b = self.n_a, self.n_b
                of_a, of_b = 1.0 / (n_a * (n_a - 1)), 1.0 / (n_b * (n_b - 1))
                # variance = of_a * (squares - sums**2 / n_a) + of_b * (1 - squares - sums**2 / n_b)
                squares *= self.df * (of_a - of_b)
                squares += self.df * of_b
                np.square(sums, out=sums)
                sums *= (1.0 / n_a + 1.0 / n_b) ** 2
                share = self.df * (of_a / n_a + of_b / n_b) / (1.0 / n_a + 1.0 / n_b) ** 2
                # squares + (1 - share) * sums, the denominator t**2 + df in the same units
                squares += (1.0 - share) * sums
                np.maximum(squares, np.finfo(squares.dtype).tiny, out=squares)
                sums /= squares
                np.maximum(sums, 0.0, out=sums)
                return np.sqrt(np.minimum(sums, 1.0, out=sums), out=sums)
            case _:
                assert_never(self.statistic)

    def _residuals(self, centered: Float64Array) -> Float64Array:
        # Sums in the order of the animals, so that the last bits do not depend on how features are split into blocks.
        left = centered
        for column in self.basis.T:
            left = left - column[:, np.newaxis] * _weighted_sums(column, left)
        return left


def _weighted_sums(weights: Float64Array, values: Float64Array) -> Float64Array:
    sums: Float64Array = (weights[:, np.newaxis] * values).sum(axis=0)
    return sums


def make_design(in_a: NDArray[np.bool_], statistic: str, covariates: ArrayLike | None) -> Design:
    """The design, checked.

    Raises
    ------
    InputError
        If a group has fewer than two animals, the statistic is not known or does not allow covariates, or the
        covariates do not have one finite row per animal, are constant, depend on each other or determine the group, or
        leave no degrees of freedom.
    """
    row = choice("statistic", statistic, TWO_SAMPLE_STATISTICS)
    for name, count in (("a", int(in_a.sum())), ("b", int((~in_a).sum()))):
        if count < 2:
            raise InputError(f"group {name} must have at least 2 animals, got {count}")
    if covariates is None:
        return Design(in_a, row.name, np.empty((len(in_a), 0)))
    if not row.allows_covariates:
        raise InputError(
            f"statistic {row.name!r} does not allow covariates", hint="Use statistic='student' with covariates."
        )
    design = Design(in_a, row.name, _basis(covariates, len(in_a)))
    if design.df < 1:
        raise InputError(
            f"{len(in_a)} animals are too few for two groups and {design.covariates} covariates",
            hint="Leave out covariates.",
        )
    if float(design.group @ design.group) <= _COLLINEAR * len(in_a) / 4:
        raise InputError("the covariates determine the group of every animal", hint="Leave out covariates.")
    return design


def _basis(covariates: ArrayLike, animals: int) -> Float64Array:
    try:
        given = np.asarray(covariates, np.float64)
    except (TypeError, ValueError) as error:
        raise InputError("covariates must be an array of numbers") from error
    if given.ndim == 1:
        given = given[:, np.newaxis]
    if given.ndim != 2 or given.shape[0] != animals or given.shape[1] < 1:
        raise InputError(
            f"covariates must have shape (animals, covariates) with {animals} animals, got {np.shape(covariates)}"
        )
    if not np.isfinite(given).all():
        raise InputError("covariates must be finite", hint="Leave out the animals whose covariates are not known.")
    columns: list[Float64Array] = []
    for number, column in enumerate(given.T):
        scale = np.abs(column).max()
        # Scaled first, because squares of very large or small numbers are not finite or 0.
        centered = column / scale if scale > 0 else column
        centered = centered - centered.mean()
        size = np.sqrt(centered @ centered)
        if size <= np.sqrt(_CONSTANT * animals):
            raise InputError(f"covariate {number} is constant", hint="Leave it out.")
        left = centered / size
        for _ in range(2):  # the second pass removes what rounding left of the first
            for other in columns:
                left = left - other * (other @ left)
        if left @ left <= _COLLINEAR:
            raise InputError(f"covariate {number} is a linear combination of those before it", hint="Leave it out.")
        columns.append(left / np.sqrt(left @ left))
    return np.stack(columns, axis=1)
