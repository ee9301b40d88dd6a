"""What users hand in, checked where it comes in: a wrong type is an error of ours that names the argument."""

from __future__ import annotations

import difflib
import operator
import os
import reprlib
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from bsv_store.errors import InputError

if TYPE_CHECKING:
    from bsv_store.vocabulary import Row

# The box of the CCF is 13.2 x 8 x 11.4 mm.
_MOST_MM = 20


def text(name: str, value: object, *, such_as: str, error: type[InputError] = InputError) -> str:
    """The value, if it is a text.

    Raises
    ------
    InputError
        Or of the kind that is named, if it is none; the hint is an example.
    """
    if isinstance(value, str):
        return value
    raise error(f"{name} is {reprlib.repr(value)}, and no text", hint=f"Give a text, such as {such_as!r}.")


_RowT = TypeVar("_RowT", bound="Row")


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
        Or ``error``: if the value is not a string, or names no row. The hint suggests a similar name and lists all.
    """
    if isinstance(value, str):
        wanted = _folded(value)
        for row in rows.values():
            if wanted in (_folded(each) for each in (row.name, *row.synonyms)):
                return row
        near = difflib.get_close_matches(wanted, [_folded(each) for each in rows], n=1)
        meant = next((f"Did you mean {each!r}? " for each in rows if [_folded(each)] == near), "")
        problem = f"{name} cannot be {reprlib.repr(value)}"
    else:
        meant = ""
        problem = f"{name} must be a string, got {reprlib.repr(value)}"
    raise error(problem, hint=f"{meant}Valid values are {', '.join(map(repr, rows))}.")


def _folded(name: str) -> str:
    return name.casefold().translate({ord(each): None for each in "-_ "})


def whole_number(name: str, value: Any, *, least: int | None = None) -> int:
    """The value, if it is a whole number and not below the least.

    Raises
    ------
    InputError
        If it is none, or below.
    """
    hint = "Give a whole number." if least is None else f"Give a whole number, {least} or more."
    try:
        number = operator.index(value)
    except TypeError as error:
        raise InputError(f"{name} is {reprlib.repr(value)}", hint=hint) from error
    if isinstance(value, bool) or (least is not None and number < least):
        raise InputError(f"{name} is {reprlib.repr(value)}", hint=hint)
    return number


def path(name: str, value: Any) -> Path:
    """The value as a path.

    Raises
    ------
    InputError
        If it is none.
    """
    if isinstance(value, str | os.PathLike) and isinstance(os.fspath(value), str):
        return Path(value)
    raise InputError(f"{name} is {reprlib.repr(value)}, and no path", hint="Give a path, as a text or a pathlib.Path.")


def past_day(name: str, value: Any) -> date:
    """The value, if it is a day that has begun somewhere.

    Raises
    ------
    InputError
        If it is none, or still to come.
    """
    if not isinstance(value, date) or isinstance(value, datetime):
        raise InputError(f"{name} is {reprlib.repr(value)}, and no day", hint="Give a datetime.date.")
    if value > datetime.now(UTC).date() + timedelta(days=1):
        raise InputError(f"{name}: {value} is still to come", hint="Give a day that has been.")
    return value


def several(name: str, value: Any, *, such_as: str, error: type[InputError] = InputError) -> list[Any]:
    """One text or number, or each of several.

    Raises
    ------
    InputError
        Or of the kind that is named, if it is neither.
    """
    if isinstance(value, str | int):
        return [value]
    if isinstance(value, Iterable) and not isinstance(value, bytes | Mapping):
        return list(value)
    raise error(f"{name} is {reprlib.repr(value)}", hint=f"Give one or a list of them, such as {such_as}.")


def point_um(name: str, value: Any) -> tuple[float, float, float]:
    """The value as a point, AP, DV, ML in um.

    Raises
    ------
    InputError
        If it is no point, or plainly one in mm.
    """
    try:
        ap, dv, ml = (float(each) for each in value)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{name} is {reprlib.repr(value)}, and no point", hint="Give AP, DV, ML in um, such as (8000, 1500, 8500)."
        ) from error
    if looks_like_mm(ap, dv, ml):
        in_um = ",".join(f"{1000 * each:g}" for each in (ap, dv, ml))
        raise InputError(f"{name} is {ap:g},{dv:g},{ml:g}: these seem to be mm", hint=f"Give um: {in_um}.")
    return ap, dv, ml


def looks_like_mm(*coordinates: float) -> bool:
    """Whether coordinates that should be um are plainly mm: no brain is in the outermost 20 um of the CCF's box."""
    return 1 <= max(coordinates) < _MOST_MM


def refuse_unknown(what: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Accept names of options that are known.

    Raises
    ------
    InputError
        If one is not; the hint names those that are, and the nearest.
    """
    names = sorted(known)
    unknown = [name for name in given if name not in names]
    if unknown:
        near = difflib.get_close_matches(unknown[0], names, n=1)
        meant = f"Did you mean {near[0]}? " if near else ""
        raise InputError(f"{what} has no option {unknown[0]!r}", hint=f"{meant}Options are {', '.join(names)}.")
