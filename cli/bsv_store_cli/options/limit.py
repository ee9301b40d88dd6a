"""The options ``--limit`` and ``--all``. By default, tables are limited, and CSV and JSON output are complete."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from bsv_store_cli.output.formats import format_option

_Command = TypeVar("_Command", bound=Callable[..., Any])

_ALL = f"{__name__}.all"


def default_limit(table_limit: int, output_format: str) -> int | None:
    """The limit if the option is not given."""
    return table_limit if output_format == "table" else None


def limit_and_format_options(
    table_limit: int, words: str, *, everything: str | None = None
) -> Callable[[_Command], _Command]:
    """Add ``--limit`` and ``--format``. By default only tables are limited.

    Parameters
    ----------
    table_limit : int
        Default limit of a table.
    words : str
        Help text of ``--limit``.
    everything : str, optional
        Help text of ``--all``; without it, the command has no such option. ``--all`` sets the limit to None.
    """

    def fill_in(context: click.Context, _parameter: click.Parameter, value: int | None) -> int | None:
        if _has_all(context):
            return None
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
        command = format_option(command, is_eager=True)
        return option(command if everything is None else _all_option(everything)(command))

    return decorate


def figure_limit_options(default: int | None, words: str, *, everything: str) -> Callable[[_Command], _Command]:
    """Add ``--limit`` and ``--all`` to a command that draws. ``--all`` sets the limit to None.

    Parameters
    ----------
    default : int, optional
        Default limit; None for no limit.
    words : str
        Help text of ``--limit``.
    everything : str
        Help text of ``--all``.
    """

    def unless_all(context: click.Context, _parameter: click.Parameter, value: int | None) -> int | None:
        return None if _has_all(context) else value

    option = click.option(
        "--limit",
        type=click.IntRange(1),
        metavar="N",
        default=default,
        show_default=default is not None,
        callback=unless_all,
        help=words if default is not None else f"{words}  [default: all]",
    )
    return lambda command: option(_all_option(everything)(command))


def _all_option(words: str) -> Callable[[_Command], _Command]:
    def noted(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
        context.meta[_ALL] = value

    # Eager, so that its value is known when the limit is processed.
    return click.option("--all", is_flag=True, is_eager=True, expose_value=False, callback=noted, help=words)


def _has_all(context: click.Context) -> bool:
    """Whether the option ``--all`` is given, which cannot be combined with a limit."""
    is_all = bool(context.meta.get(_ALL))
    if is_all and context.get_parameter_source("limit") is ParameterSource.COMMANDLINE:
        raise click.UsageError("--all and --limit cannot be combined", context)
    return is_all
