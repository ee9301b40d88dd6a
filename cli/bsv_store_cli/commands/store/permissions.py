"""``bsv-store store permissions``."""

from __future__ import annotations

from dataclasses import asdict

import click

from bsv_store_cli.help import Command
from bsv_store_cli.output.formats import format_option, print_json, print_rows
from bsv_store_cli.output.messages import note
from bsv_store_cli.output.tables import Column, number_of
from bsv_store_cli.session import opened_store

_COLUMNS = ("path", "owner", "group", "wanted_group", "mode", "wanted_mode", "problem")
_TABLE = (
    Column("path", "path"),
    Column("owner", "owner"),
    Column("group", "group"),
    Column("wanted_group", "wanted group"),
    Column("mode", "mode"),
    Column("wanted_mode", "wanted mode"),
    Column("problem", "problem", optional=True, whole=True),
)


@click.command(cls=Command)
@click.option("--apply", is_flag=True, help="Make the changes; by default they are only listed.")
@format_option
def permissions(apply: bool, output_format: str) -> None:
    """Show or correct group and permissions of the store's files and folders.

    They should be as in the settings group, file_mode and directory_mode; without a group, that of the store's folder.
    Only the owner of a file can change it. Exits with 1 if changes remain to be made.
    """
    with opened_store() as opened:
        report = opened.admin.permissions(apply=apply)
    if output_format == "json":
        print_json(report)
    else:
        shown = report.changes if output_format == "csv" or not apply else report.remaining
        print_rows([asdict(each) for each in shown], output_format, columns=_COLUMNS, table=_TABLE)
    checked = f"{report.checked:,} files and folders, group {report.group}"
    remaining = len(report.remaining)
    if apply:
        done = len(report.changes) - remaining
        note(f"{checked}: {number_of(done, 'change')} made" + (f", {remaining} not possible." if remaining else "."))
        if remaining:
            note("Ask the owners, or the administrator of this computer, to run the same command.")
    elif remaining:
        note(f"{checked}: {number_of(remaining, 'change')} to make. Make them: bsv-store store permissions --apply")
    else:
        note(f"{checked}: all as they should be.")
    if remaining:
        click.get_current_context().exit(1)
