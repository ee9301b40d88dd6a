"""Checks of arguments: a value of the wrong type or range raises an `InputError` that names the argument."""

from __future__ import annotations

import difflib
import math
import operator
import os
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from bsv_store.errors import InputError
from bsv_store.text import MAX_ID, folded, shown

if TYPE_CHECKING:
    from bsv_store.vocabulary import Row

# The CCF measures 13.2 x 8 x 11.4 mm.
_MAX_MM = 20


def text(name: str, value: object, *, such_as: str, error: type[InputError] = InputError) -> str:
    """The value, which must be a string.

    Parameters
    ----------
    name : str
        The argument, for the error.
    value : object
    such_as : str
        An example for the hint.
    error : type of InputError

    Raises
    ------
    InputError
        Or ``error``: if the value is not a string.
    """
    if isinstance(value, str):
        return value
    raise error(f"{name} must be a string, got {shown(value)}", hint=f"For example: {such_as!r}.")


_RowT = TypeVar("_RowT", bound="Row")
_InstanceT = TypeVar("_InstanceT")


def choice(name: str, value: object, rows: Mapping[str, _RowT], *, error: type[InputError] = InputError) -> _RowT:
    """The row of a closed list that a value names.

    Case does not matter, and neither do hyphens, underscores and spaces; synonyms are understood.

    Parameters
    ----------
    name : str
        The argument, for the error.
    value : object
    rows : mapping of str to row
        One of the lists of :mod:`bsv_store.vocabulary`.
    error : type of InputError

    Raises
    ------
    InputError
        Or ``error``: if the value is not one of the names or their synonyms. The hint suggests a similar name.
    """
    if isinstance(value, str):
        found = row_named(value, rows)
        if found is not None:
            return found
        near = difflib.get_close_matches(folded(value), [folded(each) for each in rows], n=1)
        meant = next((each for each in rows if [folded(each)] == near), None)
    else:
        meant = None
    raise error(
        f"{name} must be one of {', '.join(rows)}, got {shown(value)}",
        hint=None if meant is None else f"Did you mean {meant!r}?",
    )


def row_named(value: str, rows: Mapping[str, _RowT]) -> _RowT | None:
    """The row of a closed list with this name or synonym, found as in `choice`; None if there is none."""
    wanted = folded(value)
    for row in rows.values():
        if wanted in (folded(each) for each in (row.name, *row.synonyms)):
            return row
    return None


def boolean(name: str, value: Any, *, error: type[InputError] = InputError) -> bool:
    """The value, which must be True or False.

    Raises
    ------
    InputError
        Or ``error``: if it is not.
    """
    if not isinstance(value, bool):
        raise error(f"{name} must be True or False, got {shown(value)}")
    return value


def without(name: str, other: str, is_set: bool) -> None:
    """Check that an argument that cannot be combined with another one is not set.

    Raises
    ------
    InputError
        If it is set.
    """
    if is_set:
        raise InputError(f"{name} cannot be combined with {other}")


def whole_number(name: str, value: Any, *, least: int | None = None) -> int:
    """The value, which must be an integer.

    Parameters
    ----------
    name : str
        The argument, for the error.
    value : Any
        An int, or a NumPy integer; not a bool.
    least : int, optional
        Smallest valid value.

    Raises
    ------
    InputError
        If the value is not an integer, or too small.
    """
    if least is None:
        kind = "an integer"
    elif least == 1:
        kind = "a positive integer"
    else:
        kind = f"an integer >= {least}"
    wrong = InputError(f"{name} must be {kind}, got {shown(value)}")
    try:
        number = operator.index(value)
    except TypeError as error:
        raise wrong from error
    if isinstance(value, bool) or (least is not None and number < least):
        raise wrong
    return number


def finite_number(name: str, value: Any, *, error: type[InputError] = InputError) -> float:
    """The value as a float.

    Parameters
    ----------
    name : str
        The argument, for the error.
    value : Any
        A number of Python or NumPy; not a bool.
    error : type of InputError

    Raises
    ------
    InputError
        Or ``error``: if the value is not a number, or not finite.
    """
    number = as_float(value)
    if number is None or not math.isfinite(number):
        raise error(f"{name} must be a finite number, got {shown(value)}")
    return number


def as_float(value: object) -> float | None:
    """A number of Python or NumPy as a float, NaN if it is too large for one; None if it is not a number, or a bool."""
    number = scalar(value)
    if isinstance(number, bool) or not isinstance(number, Real):
        return None
    try:
        return float(number)
    except OverflowError:
        return math.nan


def finite_numbers(name: str, value: Any, *, such_as: str) -> list[float]:
    """The value, a number or an iterable of numbers, as a list of floats.

    Parameters
    ----------
    name : str
        The argument, for the error.
    value : Any
        A number of Python or NumPy, or an iterable of them.
    such_as : str
        An example for the hint.

    Raises
    ------
    InputError
        If the value is neither, or one is not finite.
    """
    given = [value] if as_float(value) is not None else several(name, value, such_as=such_as)
    return [finite_number(name, each) for each in given]


def scalar(value: Any) -> Any:
    """The Python object in a NumPy scalar or an array without dimensions, None if masked; anything else as it is."""
    if getattr(value, "ndim", None) != 0 or not hasattr(value, "item"):
        return value
    # The item of a masked value is a number that means nothing, such as 0.
    return None if getattr(value, "mask", False) else value.item()


def identifier(name: str, value: Any) -> int:
    """The value, which must be an id: a positive integer of at most 63 bits, as in the databases.

    Raises
    ------
    InputError
        If it is not.
    """
    number = whole_number(name, value, least=1)
    if number > MAX_ID:
        raise InputError(f"{name} must be at most {MAX_ID}, got {shown(number)}")
    return number


def path(name: str, value: Any) -> Path:
    """The value, a string or ``os.PathLike``, as a path.

    Raises
    ------
    InputError
        If the value is neither, or contains a NUL character.
    """
    if isinstance(value, str | os.PathLike) and isinstance(os.fspath(value), str):
        if "\0" in os.fspath(value):
            raise InputError(f"{name} is not a valid path: {os.fspath(value)!r} contains a NUL character")
        return Path(value)
    raise InputError(f"{name} must be a path, got {shown(value)}", hint="Use a string or a pathlib.Path.")


def duration(name: str, value: Any) -> timedelta:
    """The value, which must be a ``datetime.timedelta`` of at least 0.

    Raises
    ------
    InputError
        If it is not.
    """
    if not isinstance(value, timedelta) or value < timedelta(0):
        raise InputError(
            f"{name} must be a duration of at least 0, got {shown(value)}", hint="For example: timedelta(days=1)."
        )
    return value


def past_day(name: str, value: Any) -> date:
    """The value, which must be a date that has begun in at least one time zone.

    Raises
    ------
    InputError
        If the value is not a ``datetime.date``, or in the future.
    """
    if not isinstance(value, date) or isinstance(value, datetime):
        raise InputError(f"{name} must be a datetime.date, got {shown(value)}")
    if is_future(value):
        raise InputError(f"{name} must not be in the future, got {value}")
    return value


def is_future(day: date) -> bool:
    """Whether a day has not begun in any time zone."""
    return day > datetime.now(UTC).date() + timedelta(days=1)


def instance(name: str, value: object, kind: type[_InstanceT], *, words: str, hint: str) -> _InstanceT:
    """The value, if it is an instance of a class of this package.

    Parameters
    ----------
    name : str
        The argument, for the error.
    value : object
    kind : type
    words : str
        What it must be, such as "the record of a volume".
    hint : str
        Where to get one.

    Raises
    ------
    InputError
        If it is not.
    """
    if not isinstance(value, kind):
        raise InputError(f"{name} must be {words}, got {shown(value)}", hint=hint)
    return value


def several(name: str, value: Any, *, such_as: str, error: type[InputError] = InputError) -> list[Any]:
    """The items of the value; a single string or number is a list of one.

    Parameters
    ----------
    name : str
        The argument, for the error.
    value : Any
    such_as : str
        An example for the hint.
    error : type of InputError

    Raises
    ------
    InputError
        Or ``error``: if the value is neither a string nor a number nor iterable.
    """
    # An array without dimensions is an Iterable, but raises when it is iterated over.
    value = scalar(value)
    if isinstance(value, str | Integral):
        return [value]
    if isinstance(value, Iterable) and not isinstance(value, bytes | Mapping):
        return list(value)
    raise error(f"{name} must be a single value or a list, got {shown(value)}", hint=f"For example: {such_as}.")


def is_group(number: Any, count: int) -> bool:
    """Whether a value is the number of one of ``count`` groups: a Python or NumPy integer from 0 to ``count - 1``."""
    return not isinstance(number, bool) and isinstance(number, Integral) and int(number) in range(count)


def checked_group(number: Any, count: int, *, what: str) -> int:
    """The number of one of ``count`` groups.

    Parameters
    ----------
    number : Any
    count : int
    what : str
        What has the groups, for the error, such as 'visual@1'.

    Raises
    ------
    InputError
        If there is no such group.
    """
    if not is_group(number, count):
        raise InputError(f"{what} has no group {shown(number)}", hint=f"Its groups are 0 to {count - 1}.")
    return int(number)


def point_um(name: str, value: Any) -> tuple[float, float, float]:
    """The value as a point: AP, DV, ML in um.

    Raises
    ------
    InputError
        If the value is not three numbers, or they are obviously in mm.
    """
    numbers = [as_float(each) for each in value] if isinstance(value, Iterable) and not isinstance(value, str) else []
    coordinates = [each for each in numbers if each is not None]
    if not len(numbers) == len(coordinates) == 3:
        raise InputError(
            f"{name} must be three numbers, got {shown(value)}",
            hint="Use AP, DV, ML in um, for example (8000, 1500, 8500).",
        )
    ap, dv, ml = coordinates
    if looks_like_mm(ap, dv, ml):
        raise InputError(
            f"{name} must be in um, got {ap:g},{dv:g},{ml:g}", hint=f"{mm_hint(coordinates)} {VOXELS_HINT}"
        )
    return ap, dv, ml


def looks_like_mm(*coordinates: float) -> bool:
    """Whether coordinates are obviously in mm, not um: no point of the brain is within 20 um of the CCF's origin."""
    return 1 <= max(coordinates) < _MAX_MM


def mm_hint(coordinates: Iterable[float]) -> str:
    """The hint for coordinates that seem to be in mm."""
    return f"If these are mm, use {','.join(f'{1000 * each:g}' for each in coordinates)}."


VOXELS_HINT = "If these are indices of voxels, use (index + 0.5) times the edge of a voxel in um."
