"""Permutations of many voxels: blocks of matrix products in float32, and float64 where rounding could matter.

See `bsv_store.statistics.design` for the notation.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from math import sqrt
from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from bsv_store.errors import InputError
from bsv_store.statistics import extra
from bsv_store.statistics.design import Design, Float64Array, FloatArray
from bsv_store.statistics.relabelings import Relabelings

# At most 255, because a block counts in uint8.
_RELABELINGS_AT_ONCE = 240
# Blocks in which voxels are prepared: fixed, so that rounding is the same for all sizes of the others.
_PREPARED_AT_ONCE = 4096
_PAIRS_AT_ONCE = 8192
# Tolerance for ties, in units of the largest error of rounding.
_TIE = 2.5
_DOUBLE_ERROR = 1e-12
# Digits in which two voxels with the same statistics for all labels are equal.
_KEY_DIGITS = 9


class VoxelKernel:
    """The observed statistics, and their comparison with other labels.

    Voxels whose values differ in scale, offset and sign only have the same ``|t|`` for all labels. They are compared
    once: where signal is sparse, these are many, such as those in which one animal has signal.

    Parameters
    ----------
    design : Design
    relabelings : Relabelings
    values : ndarray of shape (animals, voxels)
    block : int
    workers : int

    Attributes
    ----------
    difference, t : ndarray of shape (voxels,), float64
    limits : ndarray of shape (voxels,), float64
        The extremeness from which a relabeling is at least as extreme as the observed labels.
    counts : ndarray of shape (voxels,), int64
        Number of these relabelings.
    largest : ndarray of shape (relabelings,), float64
        Largest extremeness over all voxels.
    """

    def __init__(
        self, design: Design, relabelings: Relabelings, values: NDArray[np.floating], *, block: int, workers: int
    ) -> None:
        voxels = values.shape[1]
        self.design, self.relabelings, self.values = design, relabelings, values
        self._block, self._workers = block, workers
        self.difference, self.t = np.empty(voxels), np.empty(voxels)
        self.limits = np.full(voxels, np.inf)
        self.counts = np.zeros(voxels, np.int64)
        self.largest = np.full(len(relabelings), -1.0)
        self._keys = np.empty(voxels, np.complex128)
        self._lock = threading.Lock()
        error = _single_error(design)
        self.dtype: type[np.floating] = np.float64 if error is None else np.float32
        self._error = _DOUBLE_ERROR if error is None else error
        self.tie = _TIE * self._error

    @cached_property
    def _representatives(self) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
        """The tested voxels, one of each kind, and for each tested voxel the place of its kind among these."""
        tested = np.flatnonzero(~np.isnan(self.t))
        _, first, kind = np.unique(self._keys[tested], return_index=True, return_inverse=True)
        ascending = np.argsort(first, kind="stable")
        place = np.empty(len(first), np.intp)
        place[ascending] = np.arange(len(first))
        return tested, tested[first[ascending]], place[kind]

    @property
    def distinct(self) -> int:
        """The number of voxels that are compared."""
        return len(self._representatives[1])

    def observe(self) -> None:
        """Compute the statistics of the observed labels.

        Raises
        ------
        InputError
            If a value is not finite.
        """
        random = np.random.Generator(np.random.PCG64(0)).standard_normal((2, len(self.design.in_a)))

        def prepare(part: slice) -> None:
            values = self.values[:, part].astype(np.float64)
            if not np.isfinite(values).all():
                raise InputError("values must be finite", hint="Leave out the voxels with missing values.")
            observed = self.design.observed(values)
            units = self.design.units(values)
            self.difference[part], self.t[part] = observed.difference, observed.t
            # Without features that the covariates explain.
            self.t[part][~units.any(axis=0)] = np.nan
            self.limits[part] = self.design.extremeness_of(self.t[part]) - self.tie
            real, imaginary = ((each[:, np.newaxis] * units).sum(axis=0) for each in random)
            sign = np.where(real < 0, -1.0, 1.0)
            self._keys[part] = np.round(sign * real, _KEY_DIGITS) + 1j * np.round(sign * imaginary, _KEY_DIGITS)

        self._for_each(prepare, _slices(self.values.shape[1], _PREPARED_AT_ONCE))

    def run(self, advance: Callable[[int], None]) -> None:
        """Compare all relabelings with the observed labels.

        Parameters
        ----------
        advance : callable
            Called with the number of voxels that are done; from several threads.
        """
        tested, distinct, kind = self._representatives

        def compare(part: slice) -> None:
            columns = distinct[part]
            self.counts[columns] = self._counts(columns)
            advance(len(columns))

        self._for_each(compare, _wide_slices(len(distinct), self._block))
        self.counts[tested] = self.counts[distinct][kind]
        self.limits[tested] = self.limits[distinct][kind]

    def maps(self, part: slice, planes: list[FloatArray]) -> Float64Array:
        """The t of some relabelings at some voxels, with its sign; shape (relabelings, voxels), float64.

        Finite where t is infinite, because the relabeled values do not vary within the groups.

        Parameters
        ----------
        part : slice
            Which relabelings.
        planes : list of ndarray
            `unit_planes` of the voxels.
        """
        order = self.relabelings.order[part]
        sums, others = self._products([row[order] for row in self.design.rows], planes)
        negative = sums < 0
        found = self.design.extremeness(sums, others).astype(np.float64)
        t = self.design.t_of(np.minimum(found, 1 - np.finfo(np.float32).eps))
        return np.where(negative, -t, t)

    def unit_planes(self, columns: NDArray[np.intp]) -> list[FloatArray]:
        """What `maps` multiplies with the rows of the design: unit residuals, for Welch's t also their squares."""
        return self._planes(self.design.units(self.values[:, columns].astype(np.float64)), np.float64)

    def _planes(self, units: Float64Array, dtype: type[np.floating]) -> list[FloatArray]:
        rounded = units.astype(dtype)
        match self.design.statistic:
            case "student":
                return [rounded]
            case "welch":
                return [rounded, np.square(rounded)]
            case _:
                assert_never(self.design.statistic)

    @cached_property
    def _rows(self) -> list[FloatArray]:
        return [row.astype(self.dtype)[self.relabelings.order] for row in self.design.rows]

    def _products(self, rows: list[FloatArray], planes: list[FloatArray]) -> tuple[FloatArray, list[FloatArray]]:
        """The arguments of `Design.extremeness`, each of shape (relabelings, voxels)."""
        sums = rows[0] @ planes[0]
        match self.design.statistic:
            case "student":
                return sums, [row @ planes[0] for row in rows[1:]]
            case "welch":
                return sums, [rows[0] @ planes[1]]
            case _:
                assert_never(self.design.statistic)

    def _counts(self, columns: NDArray[np.intp]) -> NDArray[np.int64]:
        """For each voxel, how many relabelings are at least as extreme; the largest are recorded."""
        units = self.design.units(self.values[:, columns].astype(np.float64))
        planes = self._planes(units, self.dtype)
        limits, error = self.limits[columns], self._error
        surely, perhaps = (limits + error).astype(self.dtype), (limits - error).astype(self.dtype)
        by_voxel = np.ascontiguousarray(units.T)
        counts = np.zeros(len(columns), np.int64)
        mask = np.empty((_RELABELINGS_AT_ONCE, len(columns)), np.bool_)
        for part in _slices(len(self.relabelings), _RELABELINGS_AT_ONCE):
            found = self.design.extremeness(*self._products([row[part] for row in self._rows], planes))
            self._record_largest(part, found, by_voxel)
            at_least = _count(found, surely, mask)
            doubtful = np.flatnonzero(_count(found, perhaps, mask) != at_least)
            counts += at_least
            if doubtful.size:
                near = found[:, doubtful]
                rows, places = np.nonzero((near >= perhaps[doubtful]) & (near < surely[doubtful]))
                voxels = doubtful[places]
                is_extreme = self._precise(part.start + rows, voxels, by_voxel) >= limits[voxels]
                counts += np.bincount(voxels[is_extreme], minlength=len(columns))
        return counts

    def _record_largest(self, part: slice, found: FloatArray, by_voxel: Float64Array) -> None:
        largest = found.max(axis=1)
        known = self.largest[part].copy()
        rows = np.flatnonzero(largest >= known - 2 * self._error)
        if rows.size:
            floors = (np.maximum(largest[rows], known[rows]) - 2 * self._error).astype(self.dtype)
            places, voxels = np.nonzero(found[rows] >= floors[:, np.newaxis])
            relabeled = part.start + rows[places]
            precise = self._precise(relabeled, voxels, by_voxel)
            with self._lock:
                np.maximum.at(self.largest, relabeled, precise)

    def _precise(self, relabeled: NDArray[np.intp], voxels: NDArray[np.intp], by_voxel: Float64Array) -> Float64Array:
        """The extremeness of pairs of a relabeling and a voxel in float64."""
        found = np.empty(len(voxels))
        for part in _slices(len(voxels), _PAIRS_AT_ONCE):
            order, units = self.relabelings.order[relabeled[part]], by_voxel[voxels[part]]
            rows = [row[order] for row in self.design.rows]
            match self.design.statistic:
                case "student":
                    sums, *others = [(row * units).sum(axis=1) for row in rows]
                case "welch":
                    sums, others = (rows[0] * units).sum(axis=1), [(rows[0] * units**2).sum(axis=1)]
                case _:
                    assert_never(self.design.statistic)
            found[part] = self.design.extremeness(sums, list(others))
        return found

    def _for_each(self, task: Callable[[slice], None], parts: Iterator[slice]) -> None:
        with extra.one_blas_thread(), ThreadPoolExecutor(self._workers) as executor:
            running = [executor.submit(task, part) for part in parts]
            try:
                for each in running:
                    each.result()
            except BaseException:
                executor.shutdown(cancel_futures=True)
                raise


def _count(found: FloatArray, limits: FloatArray, mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """For each column, how many of at most 255 rows are at least as large as its limit."""
    used = np.greater_equal(found, limits, out=mask[: len(found)])
    counts: NDArray[np.uint8] = np.add.reduce(used.view(np.uint8), axis=0, dtype=np.uint8)
    return counts


def _single_error(design: Design) -> float | None:
    """A bound for the error of the extremeness in float32; None if float32 is not precise enough.

    Rounding errors of a sum of products of two unit vectors grow with the square root of their length. Measured on
    dense and sparse data of 20 to 2,000 animals, the largest was a third of this bound.
    """
    error = float(np.finfo(np.float32).eps) * 4 * (1 + sqrt(len(design.in_a)))
    match design.statistic:
        case "student":
            # A quotient, by the square root of what the relabeled covariates leave unexplained.
            leverage = float((design.basis**2).sum(axis=1).max())
            return error if not design.covariates or (design.df >= 18 and leverage < 0.75) else None
        case "welch":
            # A quotient, whose denominator has the variances within and between the groups with these weights.
            n_a, n_b = design.n_a, design.n_b
            weights = [*(design.df / (n * (n - 1)) for n in (n_a, n_b)), 1 / n_a + 1 / n_b]
            return error if max(weights) <= 16 * min(weights) else None
        case _:
            assert_never(design.statistic)


def _slices(total: int, size: int) -> Iterator[slice]:
    for first in range(0, total, size):
        yield slice(first, min(first + size, total))


def _wide_slices(total: int, size: int) -> Iterator[slice]:
    """Slices of at least two columns, since NumPy sums a single column in another order, with other last bits."""
    first = 0
    while first < total:
        stop = first + max(size, 2)
        if stop >= total - 1:
            stop = total
        yield slice(first, stop)
        first = stop
