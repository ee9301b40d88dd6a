"""The option ``--limit``: by default, tables are limited, and CSV and JSON output is complete."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from bsv_store_cli.output.formats import format_option

_Command = TypeVar("_Command", bound=Callable[..., Any])


def default_limit(table_limit: int, output_format: str) -> int | None:
    """The limit if the option is not given."""
    return table_limit if output_format == "table" else None


def limit_and_format_options(table_limit: int, words: str) -> Callable[[_Command], _Command]:
    """Add ``--limit`` and ``--format``. By default only tables are limited.

    Parameters
    ----------
    table_limit : int
        Default limit of a table.
    words : str
        Help text of ``--limit``.
    """

    def fill_in(context: click.Context, _parameter: click.Parameter, value: int | None) -> int | None:
        # The format is an eager option, so its value is known here.
        return default_limit(table_limit, context.params["output_format"]) if value is None else value

    option = click.option(
        "--limit",
        type=click.IntRange(1),
        metavar="N",
        callback=fill_in,
        help=f"{words}  [default: {table_limit:,} for tables, no limit for CSV and JSON]",
    )

    def decorate(command: _Command) -> _Command:
        return option(format_option(command, is_eager=True))

    return decorate
