"""``bsv-store activity``."""

from __future__ import annotations

import click

from bsv_store_cli.help import Command
from bsv_store_cli.options.limit import limit_and_format_options
from bsv_store_cli.output.formats import print_rows
from bsv_store_cli.output.tables import Column, day_time
from bsv_store_cli.session import opened_store

_TABLE = (
    Column("at", "time", day_time),
    Column("user_name", "user"),
    Column("action", "action"),
    Column("subject", "subject"),
    Column("details", "details", lambda details: ", ".join(f"{name} {value}" for name, value in details.items())),
    Column("host", "host"),
    Column("release", "release"),
)


@click.command(cls=Command)
@limit_and_format_options(40, "Maximum number of actions to show, the most recent first.")
def activity(limit: int | None, output_format: str) -> None:
    """Show who changed the store, and when."""
    with opened_store() as store:
        frame = store.admin.activity(limit=limit)
    print_rows(frame.to_dict("records"), output_format, columns=tuple(frame.columns), table=_TABLE)
