"""Contradictions inside a unionize table: columns and rows that do not follow from the others, as in Allen's tables.

In 40 real tables, all these rules hold within 3e-7. They need not hold in tables that were made by hand or rounded. So
a rule counts as broken only if it holds in nearly all other rows, or if all rows differ from it by the same factor
while other rules hold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bsv_store.catalog.records import ROOT_STRUCTURE_ID
from bsv_store.vocabulary import MEASURED_HEMISPHERES

_Columns = Mapping[str, NDArray[Any]]

PIXEL_MM3: Final = 1.225e-9
"""The volume of a pixel in the unionize tables, in mm3."""

_HEMISPHERES = {row.unionize_id: row.name for row in MEASURED_HEMISPHERES.values() if not row.is_relative}
_HALVES = 2 * (len(_HEMISPHERES) + 1)
_BOTH = MEASURED_HEMISPHERES["both"].unionize_id
_TOLERANCE = 1e-4
_FILLED = 1e-6
MOST_DIGITS: Final = 9
"""More digits are those of numbers that were not rounded."""
# A rule holds for a table if it holds in at least this fraction of its rows. It applies to tables with at least this
# many rows, and this many different values.
_NEARLY_ALL = 0.9
_FEWEST_ROWS, _FEWEST_VALUES = 20, 5
# Minimum number of other rules that must hold before a column is reported as scaled.
_FEWEST_RULES = 3


_INJECTION_VOLUME = "injection volume"


@dataclass(frozen=True, slots=True)
class _Rule:
    """A column that follows from others: one of them times a constant, or divided by another one.

    Attributes
    ----------
    column, above : str
    below : str
        '' if it is not divided.
    factor : float
    """

    column: str
    above: str
    below: str = ""
    factor: float = 1.0

    @property
    def words(self) -> str:
        """What the column is equal to."""
        return f"{self.above} / {self.below}" if self.below else f"{self.above} x {self.factor:g} mm3"

    def expected(self, columns: _Columns) -> NDArray[np.float64]:
        """The values that it should have; NaN where the rule does not apply."""
        values = columns[self.above] * self.factor
        return np.asarray(values / columns[self.below] if self.below else values)


_PER_PIXEL = (
    _Rule("volume", "sum_pixels", factor=PIXEL_MM3),
    _Rule("projection_volume", "sum_projection_pixels", factor=PIXEL_MM3),
)
_RULES = (
    *_PER_PIXEL,
    _Rule("projection_density", "sum_projection_pixels", "sum_pixels"),
    _Rule("projection_intensity", "sum_projection_pixel_intensity", "sum_projection_pixels"),
    _Rule("projection_energy", "sum_projection_pixel_intensity", "sum_pixels"),
    _Rule("normalized_projection_volume", "projection_volume", _INJECTION_VOLUME),
)
_ADDED_UP = ("sum_projection_pixels", "sum_pixel_intensity", "sum_projection_pixel_intensity")

_READ = (
    *("structure_id", "hemisphere_id", "is_injection", "sum_pixels"),
    *(rule.column for rule in _RULES),
    *_ADDED_UP,
)


def contradictions(columns: _Columns, *, parents: Mapping[int, int | None]) -> dict[int, tuple[str, ...]]:
    """The contradictions in unionize tables, by experiment; experiments without one are absent.

    Parameters
    ----------
    columns : mapping of str to ndarray, shape (n_rows,)
        Rows of one or more experiments, sorted by experiment.
    parents : mapping of int to int or None
        The parent of each structure.

    Returns
    -------
    dict of int to tuple of str
        One text for each rule that is broken.
    """
    ids, starts = np.unique(columns["experiment_id"], return_index=True)
    bounds = [*starts.tolist(), len(columns["experiment_id"])]
    volumes = root_injection_volumes(columns)
    found = {}
    for experiment_id, (start, stop) in zip(ids.tolist(), pairwise(bounds), strict=True):
        own = {name: columns[name][start:stop] for name in _READ}
        own[_INJECTION_VOLUME] = np.full(stop - start, volumes.get(experiment_id) or np.nan)
        problems = _problems(own, parents, {})
        if problems:
            # Rounded columns may be the reason. Few tables have problems, so that only these are looked at.
            problems = _problems(own, parents, _rounding_of(own))
        if problems:
            found[experiment_id] = problems
    return found


def root_injection_volumes(columns: _Columns) -> dict[int, float]:
    """The injection volume of each experiment in mm3, from the rows of the root.

    Parameters
    ----------
    columns : mapping of str to ndarray, shape (n_rows,)
    """
    rows = (
        (columns["structure_id"] == ROOT_STRUCTURE_ID) & (columns["hemisphere_id"] == _BOTH) & columns["is_injection"]
    )
    return dict(zip(columns["experiment_id"][rows].tolist(), columns["projection_volume"][rows].tolist(), strict=True))


def notes_on_contradictions(columns: _Columns, *, parents: Mapping[int, int | None]) -> tuple[str, ...]:
    """The `contradictions` in unionize tables, one sentence each."""
    return tuple(
        f"The table of experiment {key} contradicts itself, unlike Allen's tables: {words}."
        for key, problems in contradictions(columns, parents=parents).items()
        for words in problems
    )


def decimals_of(values: NDArray[np.float64]) -> int | None:
    """The number of decimals to which values were rounded; None if there are more than nine."""
    # Numbers that are too large or too small to be scaled are not rounded ones; NumPy need not warn about them.
    with np.errstate(over="ignore", under="ignore", invalid="ignore", divide="ignore"):
        for decimals in range(MOST_DIGITS + 1):
            if (np.abs(np.round(values, decimals) - values) <= 1e-12 * values).all():
                return decimals
    return None


def _rounding_of(columns: _Columns) -> dict[str, float]:
    """The largest error by rounding to some decimals, by column; columns that were not rounded are absent."""
    names = ({name for rule in _RULES for name in (rule.above, rule.below)} | set(_ADDED_UP)) & set(_READ)
    found = {name: decimals_of(columns[name]) for name in names}
    return {name: 0.5 * 10.0**-decimals for name, decimals in found.items() if decimals is not None}


def _problems(columns: _Columns, parents: Mapping[int, int | None], rounding: Mapping[str, float]) -> tuple[str, ...]:
    return (*_broken_rules(columns, rounding), *_broken_sums(columns, parents, rounding))


@dataclass(frozen=True, slots=True)
class _Comparison:
    """A column compared with what it should be.

    Attributes
    ----------
    values, expected : ndarray of float64, shape (n_rows,)
    compared, differs : ndarray of bool, shape (n_rows,)
    ratio : float or None
        The common ratio of all values to the expected ones; None if they have none.
    """

    values: NDArray[np.float64]
    expected: NDArray[np.float64]
    compared: NDArray[np.bool_]
    differs: NDArray[np.bool_]
    ratio: float | None

    @property
    def is_kept(self) -> bool:
        """Whether the rule holds in nearly all rows."""
        rows = np.count_nonzero(self.compared)
        return bool(rows and np.count_nonzero(self.differs) <= (1 - _NEARLY_ALL) * rows)

    def exceptions(self, words: str, place: Callable[[int], str]) -> str:
        """The description of the rows that differ."""
        at = int(np.argmax(self.differs))
        return (
            f"{words} in {np.count_nonzero(self.differs):,} of {np.count_nonzero(self.compared):,} rows, as in "
            f"{place(at)}: {self.values[at]:.6g} instead of {self.expected[at]:.6g}"
        )


def _compared(
    values: NDArray[np.float64], expected: NDArray[np.float64], uncertainty: NDArray[np.float64] | float = 0.0
) -> _Comparison:
    """Compare a column with what it should be, which may have errors because other columns were rounded."""
    compared = np.isfinite(expected) & (expected > 0)
    if np.count_nonzero(compared) < _FEWEST_ROWS or np.unique(expected[compared]).size < _FEWEST_VALUES:
        nothing = np.zeros(len(values), bool)
        return _Comparison(values, expected, nothing, nothing, None)
    # Values that were rounded to a number of decimals differ from the expected ones by up to half the smallest value.
    positive = values[values > 0]
    rounding = 0.6 * positive.min() if positive.size else 0.0
    tolerance = np.maximum(_TOLERANCE * np.abs(expected), rounding) + uncertainty
    differs = compared & (np.abs(values - expected) > tolerance)
    ratios = values[compared] / expected[compared]
    is_common = ratios.min() > 0 and np.ptp(ratios) <= _TOLERANCE * ratios.min()
    return _Comparison(values, expected, compared, differs, float(np.median(ratios)) if is_common else None)


def _uncertainty(
    rule: _Rule, columns: _Columns, expected: NDArray[np.float64], rounding: Mapping[str, float]
) -> NDArray[np.float64]:
    """The largest error of the expected values, because the columns that they follow from were rounded."""
    above = rounding.get(rule.above, 0.0) / columns[rule.above]
    if not rule.below:
        return np.asarray(expected * above)
    error, values = rounding.get(rule.below, 0.0), columns[rule.below]
    below = np.where(values > error, error / (values - error), np.inf)
    return np.asarray(expected * (above + (1 + above) * below))


def _broken_rules(columns: _Columns, rounding: Mapping[str, float]) -> list[str]:
    with np.errstate(all="ignore"):
        results = {}
        for rule in _RULES:
            expected = rule.expected(columns)
            uncertainty = _uncertainty(rule, columns, expected, rounding)
            results[rule] = _compared(columns[rule.column], expected, uncertainty)
    kept = [rule for rule, result in results.items() if result.is_kept]
    is_allens = len(kept) >= _FEWEST_RULES and any(rule in kept for rule in _PER_PIXEL)
    problems = []
    for rule, result in results.items():
        if rule in kept and result.differs.any():
            problems.append(result.exceptions(f"{rule.column} is not {rule.words}", lambda at: _place(columns, at)))
        elif is_allens and rule not in kept and result.ratio is not None:
            problems.append(f"{rule.column} is {result.ratio:.6g} times {rule.words} in all rows")
    return problems


def _broken_sums(columns: _Columns, parents: Mapping[int, int | None], rounding: Mapping[str, float]) -> list[str]:
    """Compare structures with the sums of their children, where the children have all of their pixels."""
    structures, which = np.unique(columns["structure_id"], return_inverse=True)
    places = {structure: place for place, structure in enumerate(structures.tolist())}
    above = np.array([places.get(parents.get(each) or -1, -1) for each in structures.tolist()])
    # One cell for each structure, hemisphere and half.
    half = columns["hemisphere_id"] * 2 + columns["is_injection"]
    cells = which * _HALVES + half
    has_parent = above[which] >= 0
    parent_cells = (above[which] * _HALVES + half)[has_parent]

    def sums(name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        values, added = np.zeros((2, structures.size * _HALVES))
        values[cells] = columns[name]
        np.add.at(added, parent_cells, columns[name][has_parent])
        return values, added

    def place(cell: int) -> str:
        return _place(columns, int(np.argmax(cells == cell)))

    pixels, of_children = sums("sum_pixels")
    terms = 1 + np.bincount(parent_cells, minlength=len(pixels))
    is_filled = (of_children > 0) & (np.abs(pixels - of_children) <= _FILLED * pixels)
    problems = []
    for name in _ADDED_UP:
        values, added = sums(name)
        with np.errstate(all="ignore"):
            result = _compared(values, np.where(is_filled, added, np.nan), np.float64(rounding.get(name, 0.0)) * terms)
        if result.is_kept and result.differs.any():
            problems.append(result.exceptions(f"{name} is not the sum over its substructures", place))
    return problems


def _place(columns: _Columns, at: int) -> str:
    half = "inside" if columns["is_injection"][at] else "outside"
    hemisphere = _HEMISPHERES[int(columns["hemisphere_id"][at])]
    return f"structure {columns['structure_id'][at]}, {hemisphere}, {half} the injection site"
