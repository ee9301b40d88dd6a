"""Tables and lists of facts as plain text for terminals."""

from __future__ import annotations

import os
import shutil
import sys
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bsv_store.text import number_of as number_of
from bsv_store.text import printable

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
    whole : bool
        Wrapped into as many lines as needed, never shortened.
    spare : bool
        Omitted, the last one first, if the table is wider than the terminal.
    widest : int
        The width to which longer texts are wrapped, in files and pipes too. For sentences.
    """

    key: str
    heading: str
    show: Callable[[Any], str] = cell
    optional: bool = False
    right: bool = False
    whole: bool = False
    spare: bool = False
    widest: int = sys.maxsize


def table_text(rows: Sequence[Mapping[str, Any]], columns: Sequence[Column], *, width: int | None = None) -> str:
    """A table with headings, a rule and one line per row, fitted to a width.

    If a table is too wide, spare columns are omitted, then long texts are wrapped. If that is not enough, a table of
    few rows is transposed, with one line per column. Others are split into several tables, each with the first and some
    of the other columns.

    Parameters
    ----------
    rows : sequence of mappings
    columns : sequence of Column
    width : int, optional
        By default that of the terminal. In a file or a pipe each row takes one line, however wide, unless the variable
        COLUMNS is set or a column has a limit (`Column.widest`).
    """
    limit = _output_width() if width is None else width
    shown = [column for column in columns if not column.optional or any(row.get(column.key) for row in rows)]
    table = _table(rows, shown)
    while any(column.spare for column in shown) and _total(table._widths()) > limit:
        shown.remove([column for column in shown if column.spare][-1])
        table = _table(rows, shown)
    return "\n".join(table.fitted(limit))


def _output_width() -> int:
    if not (sys.stdout.isatty() or os.environ.get("COLUMNS")):
        return sys.maxsize
    return shutil.get_terminal_size((80, 24)).columns


def _table(rows: Sequence[Mapping[str, Any]], columns: Sequence[Column]) -> _Table:
    return _Table(
        [printable(column.heading) for column in columns],
        [[column.show(row.get(column.key)) for row in rows] for column in columns],
        [column.right or _is_numeric(rows, column.key) for column in columns],
        [column.whole for column in columns],
        [column.widest for column in columns],
    )


# Limits of wrapping; the rest of a text is replaced by an ellipsis, except in columns that are printed whole.
_NARROWEST = 12
_MOST_LINES = 8


@dataclass(frozen=True, slots=True)
class _Table:
    """The cells of a table, by column."""

    headings: Sequence[str]
    cells: Sequence[Sequence[str]]
    right: Sequence[bool]
    whole: Sequence[bool]
    widest: Sequence[int]

    def fitted(self, limit: int) -> list[str]:
        """The lines of the table, if possible of at most ``limit`` characters."""
        natural = self._widths()
        if _total(natural) <= limit:
            return self._lines(natural)
        narrow = self._narrowed(natural, limit)
        if _total(narrow) <= limit or len(self.headings) < 3:
            return self._lines(narrow)
        rows = len(self.cells[0])
        if rows < len(self.headings):
            transposed = self._transposed()
            if _total(transposed._widths()) <= limit:
                return transposed._lines(transposed._widths())
        lines: list[str] = []
        for part in self._parts(limit):
            lines += ["", *part.fitted(limit)] if lines else part.fitted(limit)
        return lines

    def _widths(self) -> list[int]:
        parts = zip(self.headings, self.cells, self.widest, strict=True)
        return [min(max(map(_width, (head, *texts))), widest) for head, texts, widest in parts]

    def _narrowed(self, natural: Sequence[int], limit: int) -> list[int]:
        """Widths with which the table fits if texts are wrapped; the widest columns are narrowed first."""
        widths = list(natural)
        foldable = [number for number, right in enumerate(self.right) if not right]
        excess = _total(widths) - limit
        while excess > 0:
            widest = max(foldable, key=lambda number: widths[number], default=None)
            if widest is None or widths[widest] <= _NARROWEST:
                break
            widths[widest] -= 1
            excess -= 1
        return widths

    def _lines(self, widths: Sequence[int]) -> list[str]:
        lines = _row_lines(self.headings, widths, self.right, self.whole)
        lines.append(_rule() * _total(widths))
        for texts in zip(*self.cells, strict=True):
            lines += _row_lines(texts, widths, self.right, self.whole)
        return lines

    def _transposed(self) -> _Table:
        rows = len(self.cells[0])
        return _Table(
            [self.headings[0], *self.cells[0]],
            [list(self.headings[1:]), *([texts[number] for texts in self.cells[1:]] for number in range(rows))],
            [False, *[all(self.right[1:])] * rows],
            [False, *[any(self.whole)] * rows],
            [sys.maxsize] * (rows + 1),
        )

    def _parts(self, limit: int) -> Iterator[_Table]:
        """Tables of the first column and as many other columns as fit, at least one."""
        widths = self._widths()
        others = list(range(1, len(widths)))
        while others:
            taken = [0, others.pop(0)]
            while others and _total([widths[number] for number in (*taken, others[0])]) <= limit:
                taken.append(others.pop(0))
            yield _Table(
                [self.headings[number] for number in taken],
                [self.cells[number] for number in taken],
                [self.right[number] for number in taken],
                [self.whole[number] for number in taken],
                [self.widest[number] for number in taken],
            )


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + len(_GAP) * (len(widths) - 1)


def _row_lines(texts: Sequence[str], widths: Sequence[int], right: Sequence[bool], whole: Sequence[bool]) -> list[str]:
    """The lines of a row, with wrapped texts."""
    folded = [
        _folded(text, width, None if is_whole else _MOST_LINES)
        for text, width, is_whole in zip(texts, widths, whole, strict=True)
    ]
    height = max(map(len, folded))
    return [
        _line([lines[number] if number < len(lines) else "" for lines in folded], widths, right)
        for number in range(height)
    ]


def _folded(text: str, width: int, most_lines: int | None) -> list[str]:
    """The text wrapped to a width, at blanks if possible; shortened to a number of lines if one is given."""
    if _width(text) <= width:
        return [text]
    lines: list[str] = []
    rest = text
    while rest and (most_lines is None or len(lines) < most_lines):
        end = _longest_start(rest, width)
        if end < len(rest):
            at_blank = rest.rfind(" ", 1, end + 1)
            end = at_blank if at_blank > 0 else end
        lines.append(rest[:end].rstrip())
        rest = rest[end:].lstrip(" ")
    if rest:
        last = lines[-1]
        lines[-1] = f"{last[: _longest_start(last, width - 1)]}…"
    return lines


def _longest_start(text: str, width: int) -> int:
    """The number of characters that fit in a width, at least one."""
    used = 0
    for number, character in enumerate(text):
        used += _width(character)
        if used > width and number > 0:
            return number
    return len(text)


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
