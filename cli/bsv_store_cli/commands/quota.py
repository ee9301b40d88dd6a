"""``bsv-store quota``."""

from __future__ import annotations

from datetime import timedelta

import click

from bsv_store_cli.help import Command
from bsv_store_cli.options.quantities import Duration, Size
from bsv_store_cli.output.formats import format_option, print_rows, say
from bsv_store_cli.output.messages import note
from bsv_store_cli.session import opened_store

_COLUMNS = ("key", "path", "size_bytes", "last_used")


@click.command(cls=Command)
@click.option("--max-bytes", type=Size(), required=True, metavar="SIZE", help="Such as 500GB or 1.5TB.")
@click.option("--apply", is_flag=True, help="Delete; otherwise only print the plan.")
@click.option(
    "--unused-for",
    type=Duration(),
    default="1d",
    show_default=True,
    help="Keep volumes that were read or stored within this time.",
)
@format_option
@click.pass_context
def quota(context: click.Context, max_bytes: int, apply: bool, unused_for: timedelta, output_format: str) -> None:
    """Delete volumes that can be downloaded again, until the store is within SIZE.

    Volumes unused for the longest time are deleted first, without the trash. Results, annotations, adopted volumes, and
    the volumes of tagged, exported or cited dataset versions are never deleted. SIZE includes the trash, but not the
    catalog. The exit code is 1 if SIZE cannot be met.

    \b
    Example:
      bsv-store quota --max-bytes 500GB --apply
    """  # noqa: D301 (click wants the character)
    with opened_store() as store:
        report = store.admin.enforce_quota(max_bytes, apply=apply, unused_for=unused_for)
    if output_format == "table":
        say(str(report))
    else:
        rows = [{name: getattr(each, name) for name in _COLUMNS} for each in report.evicted]
        print_rows(rows, output_format, columns=_COLUMNS)
    if report.evicted and not report.is_applied:
        note("Nothing was changed. To delete them: bsv-store quota --apply ...")
    if report.excess_bytes:
        context.exit(1)
