"""``bsv-store backup prune``."""

from __future__ import annotations

import click

from bsv_store_cli.commands.backup.listing import COLUMNS, TABLE, snapshot_row
from bsv_store_cli.help import Command
from bsv_store_cli.output.formats import format_option, print_rows
from bsv_store_cli.output.messages import note
from bsv_store_cli.output.tables import Column, number_of

_NUMBER = click.IntRange(min=0)


@click.command(cls=Command)
@click.argument("target")
@click.option("--keep-last", type=_NUMBER, default=0, metavar="N", help="Keep the latest N snapshots.")
@click.option("--keep-daily", type=_NUMBER, default=0, metavar="N", help="Keep the latest of each day, for N days.")
@click.option("--keep-weekly", type=_NUMBER, default=0, metavar="N", help="The same for N weeks.")
@click.option("--keep-monthly", type=_NUMBER, default=0, metavar="N", help="The same for N months.")
@click.option("--keep-yearly", type=_NUMBER, default=0, metavar="N", help="The same for N years.")
@click.option("--apply", is_flag=True, help="Remove them.  [default: only show what would be removed]")
@format_option
def prune(
    target: str,
    keep_last: int,
    keep_daily: int,
    keep_weekly: int,
    keep_monthly: int,
    keep_yearly: int,
    apply: bool,
    output_format: str,
) -> None:
    """Remove old snapshots, and the objects that no other snapshot needs.

    A snapshot is kept if any rule keeps it; at least one rule is needed. Days, weeks, months and years in UTC that have
    no snapshot do not count. The rules apply to each store by itself.
    """
    from bsv_store.store.restoring import prune_backup
    from bsv_store.text import size_text

    report = prune_backup(
        target,
        keep_last=keep_last,
        keep_daily=keep_daily,
        keep_weekly=keep_weekly,
        keep_monthly=keep_monthly,
        keep_yearly=keep_yearly,
        apply=apply,
    )
    removed = "removed" if apply else "remove"
    rows = [
        {
            **snapshot_row(each.snapshot),
            "action": "keep" if each.is_kept else removed,
            "reasons": ", ".join(each.reasons),
        }
        for each in report.snapshots
    ]
    table = (*TABLE[:4], Column("action", "action"), Column("reasons", "rules"))
    print_rows(rows, output_format, columns=(*COLUMNS, "action", "reasons"), table=table)
    count = sum(not each.is_kept for each in report.snapshots)
    what = (
        f"{number_of(count, 'snapshot')} and {number_of(report.objects, 'object')} with {size_text(report.size_bytes)}"
    )
    note(f"Removed {what}." if apply else f"Would remove {what}. Remove them: add --apply.")
