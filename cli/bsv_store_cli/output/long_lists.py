"""Tables and lists that may be long: only their first rows are printed for reading."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from bsv_store_cli.output.formats import print_rows
from bsv_store_cli.output.messages import note
from bsv_store_cli.output.tables import Column

# A store that was copied without its permissions has a finding for every file.
_SHOWN = 40


def print_some(
    rows: list[dict[str, Any]], output_format: str, *, columns: Sequence[str], table: Sequence[Column]
) -> None:
    """Print rows; of a long table only the first, with a note."""
    shown = rows[:_SHOWN] if output_format == "table" else rows
    print_rows(shown, output_format, columns=columns, table=table)
    if len(shown) < len(rows):
        note(f"{len(rows) - len(shown):,} more rows: --format csv prints all.")


def print_list(title: str, lines: Iterable[str]) -> None:
    """Print a list of things to do, each once, at most the first ones."""
    unique = list(dict.fromkeys(lines))
    more = [f"  ... and {len(unique) - _SHOWN:,} more"] if len(unique) > _SHOWN else []
    note("\n".join([title, *(f"  {line}" for line in unique[:_SHOWN]), *more]))
