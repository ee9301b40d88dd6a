"""Data on standard output: a table for reading, JSON or CSV for programs."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from bsv_store.text import printable, spreadsheet_cell
from bsv_store_cli.help import WordChoice
from bsv_store_cli.output.tables import Column, facts_text, table_text

if TYPE_CHECKING:
    import pandas as pd

Rows = Sequence[Mapping[str, Any]]
_Command = TypeVar("_Command", bound=Callable[..., Any])


def format_option(command: _Command, *, is_eager: bool = False) -> _Command:
    """Add ``--format table|json|csv|spreadsheet`` to a command, which gets it as ``output_format``.

    'spreadsheet' arrives as 'csv', whose texts are then changed as they are printed.
    """
    option = click.option(
        "--format",
        "output_format",
        type=WordChoice(["table", "json", "csv", "spreadsheet"]),
        default="table",
        show_default=True,
        is_eager=is_eager,
        callback=_known_format,
        help="A table for reading; JSON or CSV for programs; CSV without formulas for spreadsheets.",
    )
    return option(command)


_FOR_SPREADSHEET = "bsv_store_cli.for_spreadsheet"


def _known_format(context: click.Context, _parameter: click.Parameter, value: str) -> str:
    context.meta[_FOR_SPREADSHEET] = value == "spreadsheet"
    return "csv" if value == "spreadsheet" else value


def _is_for_spreadsheet() -> bool:
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get(_FOR_SPREADSHEET))


def frame_rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a DataFrame, missing values as None."""
    objects = frame.astype(object).where(frame.notna(), None)
    return [{str(key): value for key, value in row.items()} for row in objects.to_dict("records")]


def print_rows(
    rows: Rows,
    output_format: str,
    *,
    columns: Sequence[str],
    table: Sequence[Column] | None = None,
    title: str | None = None,
) -> None:
    """Print rows in one of the formats.

    Parameters
    ----------
    rows : sequence of mappings
    output_format : {'table', 'json', 'csv'}
    columns : sequence of str
        Names and order of the columns of JSON and CSV.
    table : sequence of Column, optional
        Columns of the table; by default all. Without rows no table is printed.
    title : str, optional
        Heading of the table, after an empty line.
    """
    if output_format == "json":
        print_json([{name: row.get(name) for name in columns} for row in rows])
    elif output_format == "csv":
        _print_csv(rows, columns)
    elif rows:
        text = table_text(
            [{key: plain(value) for key, value in row.items()} for row in rows],
            table if table is not None else [Column(name, name) for name in columns],
        )
        say(text if title is None else f"\n{title}\n{text}")


def print_facts(facts: Sequence[tuple[str, Any]]) -> None:
    """Print names and values, one pair per line. Pairs without a value are omitted."""
    say(facts_text([(name, plain(value)) for name, value in facts if value is not None]))


def print_json(value: Any) -> None:
    """Print a value as ASCII JSON: dataclasses as objects, times as ISO 8601 in UTC, NaN as null."""
    emit(json.dumps(plain(value), indent=2, allow_nan=False))


def plain(value: Any) -> Any:
    """The value in types that JSON has."""
    if value is None or isinstance(value, str | int | bool):
        return value
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, datetime):
        # Databases return times in the time zone of their session.
        return (value.astimezone(UTC) if value.tzinfo is not None else value).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    if isinstance(value, Iterable):
        return [plain(item) for item in value]
    # A NumPy scalar of a DataFrame, or a type of the database driver.
    return plain(value.item()) if hasattr(value, "item") else str(value)


def _print_csv(rows: Rows, names: Sequence[str]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    cell = spreadsheet_cell if _is_for_spreadsheet() else _unchanged
    quoting = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    for values in (names, *([_field(row.get(name)) for name in names] for row in rows)):
        cells = [cell(value) for value in values]
        # Readers end a row at a carriage return, which Python quotes only where it ends the lines itself.
        needs_quotes = any(isinstance(each, str) and "\r" in each for each in cells)
        (quoting if needs_quotes else writer).writerow(cells)
    # Unprintable characters could control a terminal; programs get every character.
    shown = printable(text.getvalue(), keep="\n") if sys.stdout.isatty() else text.getvalue()
    emit(shown.removesuffix("\n"))


def _unchanged(value: Any) -> Any:
    return value


def _field(value: Any) -> Any:
    """A value as a field of CSV; objects and lists as JSON."""
    known = "" if value is None else plain(value)
    return json.dumps(known) if isinstance(known, dict | list) else known


def say(text: str) -> None:
    """Write lines for the user to standard output, escaping characters that could control the terminal."""
    emit(printable(text, keep="\n"))


def emit(text: str) -> None:
    """Write lines to standard output; ignore a reader that has closed it."""
    try:
        # Not click.echo, which removes ANSI escape sequences from the data.
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader (head, less) has finished; the exit code still reports the result.
        discard_output()


_discarded = False


def is_discarded() -> bool:
    """Whether the reader of standard output has closed it."""
    return _discarded


def discard_output() -> None:
    """Discard everything written to standard output from now on, including at exit."""
    global _discarded
    _discarded = True
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
