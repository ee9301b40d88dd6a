"""Checks of the values of criteria, which return them in their canonical form."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from numbers import Integral
from typing import TYPE_CHECKING, Any, assert_never

from bsv_store.check import boolean, choice, finite_number, scalar
from bsv_store.errors import InputError, SelectionError
from bsv_store.text import MAX_ID, MAX_NAME_LENGTH, as_reference, can_be_name, folded, shown
from bsv_store.vocabulary import AXES, SPACINGS_UM
from bsv_store.volumes.grid import Grid

if TYPE_CHECKING:
    from bsv_store.catalog.selection.criterion import Criterion
    from bsv_store.catalog.structures import StructureRef

Interval = tuple[float, float]
Box = tuple[Interval | None, Interval | None, Interval | None]
Point = tuple[float, float, float]


def canonical(criterion: Criterion, name: str, value: Any) -> Any:
    """The checked value in its canonical form."""
    form = criterion.form
    if form == "structures":
        found = {_structure(name, each) for each in _several(name, value, criterion)}
        return tuple(sorted(found, key=lambda ref: (isinstance(ref, str), ref)))
    if form == "ids":
        return tuple(sorted({_id(name, each) for each in _several(name, value, criterion)})) or None
    if form == "names":
        given = _several(name, value, criterion)
        if criterion.rows is not None:
            return tuple(sorted({choice(name, each, criterion.rows, error=SelectionError).name for each in given}))
        names = [_name(name, each) for each in given]
        return tuple(sorted({criterion.spellings.get(folded(each), each) for each in names}))
    if form == "choice":
        assert criterion.rows is not None
        return choice(name, value, criterion.rows, error=SelectionError).name
    if form == "flag":
        return _flag(name, value)
    if form == "number":
        return _amount(name, value, criterion.range)
    if form == "spacing":
        return _spacing(name, value)
    if form == "point":
        return _point(name, value)
    if form == "box":
        return _box(name, value)
    assert_never(form)


def _several(name: str, value: Any, criterion: Criterion) -> list[Any]:
    value = scalar(value)
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        return [value]
    if hasattr(value, "columns"):
        # The items of a DataFrame are the names of its columns.
        column = "structure" if criterion.form == "structures" else "experiment_id"
        such_as = f", for example table[{column!r}]" if criterion.form in ("structures", "ids") else ""
        raise SelectionError(f"{name} must be a list, got a table", hint=f"Use one column{such_as}.")
    values = list(value)
    if not values and not criterion.may_be_empty:
        raise SelectionError(f"{name} must not be empty", hint="Omit it for no restriction.")
    return values


def _structure(name: str, value: Any) -> StructureRef:
    reference = as_reference(_name(name, value)) if isinstance(value, str) else value
    return reference if isinstance(reference, str) else _id(name, reference)


def _id(name: str, value: Any) -> int:
    given = scalar(value)
    number = 0 if isinstance(given, bool) or not isinstance(given, Integral) else int(given)
    if not 0 < number <= MAX_ID:
        raise SelectionError(f"{name}: {shown(value)} is not a valid id", hint="Ids are positive integers.")
    return number


def _name(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise SelectionError(f"{name} must be a string, got {shown(value)}")
    if not can_be_name(value):
        raise SelectionError(
            f"{name}: {shown(value)} is not a valid name",
            hint=f"Names have 1 to {MAX_NAME_LENGTH} printable characters.",
        )
    return str(value)


def _flag(name: str, value: Any) -> bool:
    return boolean(name, value, error=SelectionError)


def _number(name: str, value: Any) -> float:
    return finite_number(name, value, error=SelectionError) + 0.0  # -0.0 becomes 0.0


def _amount(name: str, value: Any, limits: tuple[float, float]) -> float:
    number = _number(name, value)
    low, high = limits
    if high == math.inf and number < low:
        raise SelectionError(f"{name} must not be negative, got {number}")
    if not low <= number <= high:
        raise SelectionError(f"{name} must be a number from {low:g} to {high:g}, got {number}")
    return number


def _spacing(name: str, value: Any) -> int:
    number = _number(name, value)
    if number not in SPACINGS_UM:
        raise SelectionError(f"{name} must be one of {', '.join(map(str, SPACINGS_UM))}, got {number:g}")
    return int(number)


_ORDER_HINT = "In the order AP, DV, ML, in um."


def _triple(name: str, value: Any, what: str) -> list[Any]:
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise SelectionError(f"{name} must be {what}, got {shown(value)}", hint=_ORDER_HINT)
    values = list(value)
    if len(values) != 3:
        raise SelectionError(f"{name} must have 3 parts, got {len(values)}", hint=_ORDER_HINT)
    return values


def _point(name: str, value: Any) -> Point:
    ap, dv, ml = (_number(name, item) for item in _triple(name, value, "a point"))
    try:
        Grid(10).voxel(ap, dv, ml)
    except InputError as error:
        raise SelectionError(f"{name}: {error.message}", hint=error.hint) from error
    return ap, dv, ml


def _box(name: str, value: Any) -> Box | None:
    parts = _triple(name, value, "a box")
    ap, dv, ml = (_interval(f"{name} along {axis}", part) for axis, part in zip(AXES, parts, strict=True))
    return None if ap is dv is ml is None else (ap, dv, ml)


def _interval(name: str, value: Any) -> Interval | None:
    if value is None:
        return None
    ends = [] if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable) else list(value)
    if len(ends) != 2:
        raise SelectionError(
            f"{name} must be a pair of numbers or None, got {shown(value)}", hint="Use (lowest, highest) in um."
        )
    low, high = (_number(name, end) for end in ends)
    if low > high:
        raise SelectionError(f"{name}: {low:g} is above {high:g}", hint="Use (lowest, highest) in um.")
    return low, high
