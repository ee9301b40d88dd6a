"""The directive ``closed-lists``: every list of `bsv_store.vocabulary` as a table of its rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any, get_args

from annotations import literal_names
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from bsv_store import vocabulary


class ClosedLists(SphinxDirective):
    """Sections, one for each list, in the order of the module."""

    def run(self) -> list[nodes.Node]:
        """Parse the generated text in place of the directive."""
        self.env.note_dependency(vocabulary.__file__)
        lines = [line for name in literal_names() for line in _section(name)]
        return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=True)


def _section(name: str) -> Iterator[str]:
    yield from (name, "-" * len(name), "", f".. py:type:: bsv_store.vocabulary.{name}", "   :no-index-entry:", "")
    found = [(key, rows) for key, rows in _all_rows() if tuple(rows) == get_args(getattr(vocabulary, name))]
    if not found:
        # Values of a column of another list.
        yield from (f"   Values: {', '.join(f'``{value}``' for value in get_args(getattr(vocabulary, name)))}.", "")
        return
    key, rows = found[0]
    first = next(iter(rows.values()))
    summary = (type(first).__doc__ or "").partition("\n")[0]
    yield from (f"   {summary} Rows: ``bsv_store.vocabulary.{key}``.", "")
    columns = [field.name for field in fields(first) if any(not _is_empty(row, field.name) for row in rows.values())]
    yield from (".. list-table::", "   :header-rows: 1", "   :class: closed-list", "")
    yield from _row([column.replace("_", " ") for column in columns])
    for row in rows.values():
        yield from _row([_text(getattr(row, column), is_code=column == "name") for column in columns])
    yield ""


def _all_rows() -> Iterator[tuple[str, Mapping[str, Any]]]:
    for key, value in vars(vocabulary).items():
        if key.isupper() and not key.startswith("_") and isinstance(value, Mapping):
            yield key, value


def _is_empty(row: Any, column: str) -> bool:
    return getattr(row, column) in (None, "", (), False)


def _row(cells: list[str]) -> Iterator[str]:
    for number, cell in enumerate(cells):
        yield f"   {'* -' if number == 0 else '  -'} {cell}".rstrip()


def _text(value: Any, *, is_code: bool) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value in (None, "", ()):
        return ""
    if isinstance(value, tuple):
        return ", ".join(f"``{each}``" for each in value)
    if isinstance(value, int):
        return f"{value:,}"
    if is_code:
        return f"``{value}``"
    # The texts of the rows are Markdown; this page is reStructuredText.
    return str(value).strip().replace("\\", "\\\\").replace("*", "\\*").replace("`", "``")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("closed-lists", ClosedLists)
    return {"parallel_read_safe": True}
