"""The canonical form of rows, which is the same on both databases. Seals are hashes of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import BigInteger, Boolean, Date, Float, Integer, LargeBinary, String, Table

from bsv_store.catalog.database.models.base import UtcDateTime


def canonical_rows(table: Table, columns: Sequence[str], rows: Collection[Sequence[Any]]) -> list[tuple[Any, ...]]:
    """Convert rows with the values of these columns to their canonical form.

    Raises
    ------
    TypeError, ValueError
        If a value does not fit the type of its column.
    """
    if not rows:
        return []
    # Column by column, because most columns need no conversion.
    keys = [row[0] for row in rows]
    converted = [
        _converted(table.c[name], values, keys) for name, values in zip(columns, zip(*rows, strict=True), strict=True)
    ]
    return list(zip(*converted, strict=True))


def _converted(column: Any, values: Sequence[Any], keys: Sequence[Any]) -> Sequence[Any]:
    canonical, convert = next(
        (canonical, convert) for kind, canonical, convert in _KINDS if isinstance(column.type, kind)
    )
    if canonical is not None and set(map(type, values)) <= {canonical, type(None)}:
        return values
    found: list[Any] = []
    try:
        for value in values:
            found.append(None if value is None else convert(value))
    except (TypeError, ValueError, OverflowError) as error:
        raise type(error)(f"{column.name} of {keys[len(found)]}: {error}") from error
    return found


def _float(value: Any) -> float:
    if isinstance(value, str | bytes):
        raise TypeError(f"{value!r} is not a number")
    # SQLite stores -0.0 as 0.
    return float(value) + 0.0


def _integer(value: Any) -> int:
    if int(value) != value:
        raise ValueError(f"{value!r} is not an integer")
    return int(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not text")
    return value


def _time(value: Any) -> str:
    if not isinstance(value, datetime):
        raise TypeError(f"{value!r} is not a time")
    return value.astimezone(UTC).isoformat()


def _date(value: Any) -> str:
    if not isinstance(value, date):
        raise TypeError(f"{value!r} is not a date")
    return value.isoformat()


# Type of a column, type of values that need no conversion, conversion of other values.
_KINDS: tuple[tuple[type[Any], type[Any] | None, Callable[[Any], Any]], ...] = (
    (BigInteger, int, _integer),
    (Boolean, bool, bool),
    (Integer, int, _integer),
    (Float, None, _float),
    (LargeBinary, bytes, bytes),
    (String, str, _text),
    (UtcDateTime, None, _time),
    (Date, None, _date),
)
