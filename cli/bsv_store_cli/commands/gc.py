"""``bsv-store gc``."""

from __future__ import annotations

from datetime import timedelta

import click

from bsv_store_cli.help import Command
from bsv_store_cli.options.quantities import Duration
from bsv_store_cli.output.formats import format_option, print_rows, say
from bsv_store_cli.output.messages import note
from bsv_store_cli.output.tables import Column, count, day_time
from bsv_store_cli.session import opened_store

_COLUMNS = ("kind", "path", "count", "size_bytes", "modified_at")
_TABLE = (
    Column("kind", "kind"),
    Column("path", "file", optional=True),
    Column("count", "count", count),
    Column("size", "size", right=True),
    Column("modified_at", "modified", day_time),
)


@click.command(cls=Command)
@click.option("--apply", is_flag=True, help="Collect; otherwise only print the plan.")
@click.option("--grace", type=Duration(), default="1d", show_default=True, help="Leave files younger than this.")
@click.option(
    "--trash-days",
    type=click.IntRange(min=0),
    metavar="N",
    help="Delete trashed files after N days.  [default: the setting trash_days, or 30]",
)
@click.option("--allow-many", is_flag=True, help="Collect even if very many files are not in the catalog.")
@click.option("--files", "show_files", is_flag=True, help="List every file; JSON and CSV always do.")
@format_option
def gc(
    apply: bool, grace: timedelta, trash_days: int | None, allow_many: bool, show_files: bool, output_format: str
) -> None:
    """Collect what the store does not need.

    Files of bsv-store that the catalog does not list move to the trash, and are deleted from there after --trash-days.
    Temporary files of processes that have ended, expired claims and counted changes of the catalog are deleted. Objects
    of the catalog and files that bsv-store did not create are never touched. Other processes may use the store at the
    same time.

    \b
    Examples:
      bsv-store gc
      bsv-store gc --apply --trash-days 14
    """  # noqa: D301 (click wants the character)
    from bsv_store.text import size_text

    with opened_store() as store:
        report = store.admin.collect_garbage(apply=apply, grace=grace, trash_days=trash_days, allow_many=allow_many)
    rows = [
        {**{name: getattr(each, name) for name in _COLUMNS}, "size": size_text(each.size_bytes)}
        for each in report.garbage
    ]
    if output_format != "table":
        print_rows(rows, output_format, columns=_COLUMNS)
        return
    if show_files:
        print_rows(rows, output_format, columns=_COLUMNS, table=_TABLE)
    say(str(report))
    if rows and not report.is_applied:
        note("Nothing was changed. To collect it: bsv-store gc --apply")
