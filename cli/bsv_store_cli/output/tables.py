"""Tables and lists of facts as plain text for terminals."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bsv_store.text import number_of as number_of
from bsv_store_cli.output.messages import printable

_GAP = "  "


def cell(value: Any) -> str:
    """The text of a value in a cell."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    return printable(str(value))


def count(value: Any) -> str:
    """The text of a count, with thousands separators; not for ids and coordinates."""
    return cell(value) if value is None else f"{value:,}"


def fixed(digits: int) -> Callable[[Any], str]:
    """A formatter of floats with a fixed number of decimals, which does not round small values to 0."""

    def show(value: Any) -> str:
        if value is None:
            return ""
        return f"{value:.{digits}f}" if value == 0 or abs(value) >= 0.5 * 10**-digits else f"{value:.1g}"

    return show


def day_time(value: Any) -> str:
    """The text of a time given as ISO 8601 in UTC."""
    return "" if value is None else f"{printable(value[:16]).replace('T', ' ')}Z"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Attributes
    ----------
    key : str
        Key of the rows.
    heading : str
    show : callable
        Returns the text of a value.
    optional : bool
        Omitted if no row has a value in it.
    right : bool
        Aligned to the right; numbers always are.
    """

    key: str
    heading: str
    show: Callable[[Any], str] = cell
    optional: bool = False
    right: bool = False


def table_text(rows: Sequence[Mapping[str, Any]], columns: Sequence[Column]) -> str:
    """Headings, a rule and one line per row."""
    shown = [column for column in columns if not column.optional or any(row.get(column.key) for row in rows)]
    cells = [[column.show(row.get(column.key)) for row in rows] for column in shown]
    widths = [max(map(_width, (printable(column.heading), *texts))) for column, texts in zip(shown, cells, strict=True)]
    right = [column.right or _is_numeric(rows, column.key) for column in shown]
    head = _line([printable(column.heading) for column in shown], widths, right)
    rule = _rule() * (sum(widths) + len(_GAP) * (len(widths) - 1))
    lines = [_line(texts, widths, right) for texts in zip(*cells, strict=True)]
    return "\n".join([head, rule, *lines])


def facts_text(facts: Sequence[tuple[str, Any]]) -> str:
    """One line per pair of name and value."""
    width = max(len(name) for name, _ in facts)
    return "\n".join(f"{name:<{width}}{_GAP}{cell(value)}".rstrip() for name, value in facts)


def _is_numeric(rows: Sequence[Mapping[str, Any]], key: str) -> bool:
    values = [row.get(key) for row in rows if row.get(key) is not None]
    return bool(values) and all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def _line(texts: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    padded = (
        " " * (width - _width(text)) + text if is_right else text + " " * (width - _width(text))
        for text, width, is_right in zip(texts, widths, right, strict=True)
    )
    return _GAP.join(padded).rstrip()


def _width(text: str) -> int:
    """The width of a text in columns of a terminal."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(each) else 2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in text
    )


def _rule() -> str:
    try:
        "─".encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return "-"
    return "─"
