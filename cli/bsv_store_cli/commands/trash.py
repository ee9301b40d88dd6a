"""``bsv-store trash``."""

from __future__ import annotations

import click

from bsv_store_cli.help import Command
from bsv_store_cli.output.formats import format_option, print_rows
from bsv_store_cli.output.messages import note
from bsv_store_cli.output.tables import Column, day_time
from bsv_store_cli.session import opened_store

_COLUMNS = ("item", "what", "path", "size_bytes", "trashed_at", "trashed_by", "reason", "days_left", "file")
_TABLE = (
    Column("item", "item"),
    Column("what", "what"),
    Column("size", "size", right=True),
    Column("trashed_at", "trashed", day_time),
    Column("trashed_by", "by", lambda value: str(value or "unknown")),
    Column("reason", "reason", lambda value: str(value or "unknown")),
    Column("days", "days left", right=True),
)


@click.command(cls=Command)
@click.option(
    "--trash-days",
    type=click.IntRange(min=0),
    metavar="N",
    help="Days that files stay in the trash.  [default: the setting trash_days, or 30]",
)
@format_option
def trash(trash_days: int | None, output_format: str) -> None:
    """List the trash: deleted dataset versions, replaced volumes, files without a row.

    `untrash` restores items, `gc --apply` deletes those without days left.
    """
    from bsv_store.maintenance.trash import trash_summary
    from bsv_store.text import size_text

    with opened_store() as store:
        items = store.admin.trash(trash_days=trash_days)
    rows = [
        {
            **{name: getattr(each, name) for name in _COLUMNS},
            "size": size_text(each.size_bytes),
            "days": f"{max(0.0, each.days_left):.0f}",
        }
        for each in items
    ]
    print_rows(rows, output_format, columns=_COLUMNS, table=_TABLE)
    note(trash_summary(items))
