"""``bsv-store sql``."""

from __future__ import annotations

import re

import click

from bsv_store_cli.help import Command
from bsv_store_cli.options.limit import limit_and_format_options
from bsv_store_cli.output.formats import emit, print_rows
from bsv_store_cli.output.messages import note
from bsv_store_cli.output.tables import number_of
from bsv_store_cli.session import opened_store

_INTEGER = re.compile(r"[+-]?\d{1,19}", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


@click.command(cls=Command)
@click.argument("query", required=False)
@click.option(
    "--param",
    "parameters",
    multiple=True,
    metavar="NAME=VALUE",
    help="Value of :NAME in the query; repeatable. Numbers are numbers unless in double quotes: NAME='\"5\"'.",
)
@click.option(
    "--timeout",
    "time_limit_s",
    type=click.FloatRange(0.1),
    metavar="S",
    help="Timeout in seconds.  [default: the setting sql_timeout, which is 60 unless it was set]",
)
@click.option(
    "--max-bytes",
    type=click.IntRange(1, 2**63 - 1),
    metavar="N",
    default=1_000_000_000,
    show_default="1 GB",
    help="Maximum size of the result in memory.",
)
@click.option(
    "--allow-superuser",
    is_flag=True,
    help="Allow the query to run as a Postgres superuser, if the store has no reader role (see `db grant`).",
)
@click.option("--schema", is_flag=True, help="Print the views and tables with their columns (Markdown) instead.")
@limit_and_format_options(10_000, "Maximum number of rows to return.")
def sql(
    query: str | None,
    parameters: tuple[str, ...],
    time_limit_s: float | None,
    max_bytes: int,
    allow_superuser: bool,
    schema: bool,
    limit: int | None,
    output_format: str,
) -> None:
    """Query the catalog with SQL, read-only.

    \b
    Example:
      bsv-store sql "select primary_structure, count(*) from experiments group by 1 order by 2 desc"
    """  # noqa: D301 (click wants the character)
    if schema:
        from bsv_store.catalog.tables.views import schema_markdown

        emit(schema_markdown().removesuffix("\n"))
        return
    if query is None:
        raise click.UsageError("QUERY or --schema is required")
    values = dict(_pair(text) for text in parameters)
    from bsv_store.catalog.tables.sql import sql_table
    from bsv_store.config import sql_timeout

    with opened_store() as store:
        table = sql_table(
            store.database,
            query,
            values,
            row_limit=limit,
            time_limit_s=sql_timeout(store.config, time_limit_s),
            max_bytes=max_bytes,
            allow_superuser=allow_superuser,
        )
    print_rows(table.to_dicts(), output_format, columns=table.columns)
    rows = number_of(len(table), "row")
    note(f"The first {rows}; --limit allows more." if table.truncated else rows)


def _pair(text: str) -> tuple[str, str | int | float]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise click.UsageError(f"--param must be NAME=VALUE, got {text!r}")
    if len(value) > 1 and value.startswith('"') and value.endswith('"'):
        return name, value[1:-1]
    if _INTEGER.fullmatch(value):
        return name, int(value)
    return name, float(value) if _NUMBER.fullmatch(value) else value
