"""Tables of a page that sort and filter; without JavaScript they are plain tables."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from bsv_store.reports.html_page.markup import Content, Markup, element, joined
from bsv_store.text import number_of

# Shorter tables have no filter.
_FILTERED = 8
# Columns with shorter texts do not wrap.
_SHORT = 28
# Headings with a hyphen that are not longer do not wrap.
_WHOLE = 12
# Tables with fewer rows show all columns.
_COMPARED = 2


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table."""

    heading: str
    is_number: bool = False


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell that shows something else than its value, by which it is sorted."""

    content: Content
    value: float | str | None


@dataclass(frozen=True, slots=True)
class Row:
    """A row; an outlier is marked."""

    cells: Sequence[Cell | str | float | None]
    is_outlier: bool = False


@dataclass(frozen=True, slots=True)
class DataTable:
    """A table with its filter.

    Attributes
    ----------
    name : str
        Of the elements; unique in the page.
    caption : str
        What the table contains, for readers who do not see it.
    columns : sequence of Column
    rows : sequence of Row
    placeholder : str
        An example of a text to filter by.
    moves_shared : bool
        Whether columns with the same value in all rows are replaced by a sentence above the table, so that the others
        fit into the width of the page. The first column, which names the rows, always stays.
    """

    name: str
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Row] = field(default_factory=tuple)
    placeholder: str = ""
    moves_shared: bool = False

    def markup(self) -> Markup:
        """The HTML of filter and table."""
        search = element("input", type="search", id=f"{self.name}-filter", placeholder=self.placeholder or None)
        state = element("span", number_of(len(self.rows), "row"), id=f"{self.name}-state", class_="soft", role="status")
        tools = element("div", element("label", "Filter", search), state, class_="tools")
        is_filtered = len(self.rows) >= _FILTERED
        shared = self._shared() if self.moves_shared else {}
        kept = [at for at in range(len(self.columns)) if at not in shared]
        head = element("tr", (self._heading(self.columns[at]) for at in kept))
        is_short = self._short()
        body = (
            element("tr", self._cells(row, kept, is_short), class_="outlier" if row.is_outlier else None)
            for row in self.rows
        )
        table = element(
            "table",
            element("caption", self.caption),
            element("thead", head),
            element("tbody", body),
            id=self.name,
            # Short names of rows stay in view when the table is scrolled horizontally.
            class_="data pinned" if is_short[0] else "data",
            # The filter searches these values too.
            data_shared=" ".join(shared.values()) or None,
        )
        # Focusable, so that the keyboard can scroll it.
        frame = element("div", table, class_="scroll", tabindex=0, role="region", aria_label=self.caption)
        values = [f"{self.columns[at].heading}: {value or 'none'}" for at, value in shared.items()]
        sentence = element("p", f"The same in all rows: {'; '.join(values)}.", class_="soft") if values else None
        return joined(sentence, tools if is_filtered else None, frame)

    def _shared(self) -> dict[int, str]:
        """The texts of the columns with the same value in all rows, by the index of the column."""
        if len(self.rows) < _COMPARED:
            return {}
        found = {}
        for at in range(1, len(self.columns)):
            first, *others = (_cell(row.cells[at]) for row in self.rows)
            is_text = isinstance(first.content, str) and not isinstance(first.content, Markup)
            # Two values may look the same when they are rounded.
            if is_text and all(_value(each.value) == _value(first.value) for each in others):
                found[at] = str(first.content)
        return found

    def _heading(self, column: Column) -> Markup:
        button = element("button", column.heading, type="button")
        # A browser breaks lines at hyphens too.
        is_whole = "-" in column.heading and len(column.heading) <= _WHOLE
        kinds = [*(["number"] if column.is_number else []), *(["short"] if is_whole else [])]
        return element("th", button, scope="col", class_=" ".join(kinds) or None)

    def _short(self) -> list[bool]:
        """Whether all texts of each column are short."""
        texts = [[_shown(_cell(cell).value) for cell in row.cells] for row in self.rows]
        return [all(len(text[at]) <= _SHORT for text in texts) for at in range(len(self.columns))]

    def _cells(self, row: Row, kept: Sequence[int], is_short: Sequence[bool]) -> Iterable[Markup]:
        for at in kept:
            shown = _cell(row.cells[at])
            kind = "number" if self.columns[at].is_number else "short" if is_short[at] else None
            yield element(
                "td" if at else "th",
                shown.content,
                scope=None if at else "row",
                class_=kind,
                data_value=_value(shown.value),
            )


def number(value: float | None, form: str = ",.4g") -> Cell:
    """A cell with a number in a format."""
    return Cell("" if value is None or math.isnan(value) else format(value, form), value)


def _cell(cell: Cell | str | float | None) -> Cell:
    return cell if isinstance(cell, Cell) else Cell(_shown(cell), cell)


def _shown(value: str | float | None) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return value if isinstance(value, str) else f"{value:,}"


def _value(value: float | str | None) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return value if isinstance(value, str) else repr(value)
