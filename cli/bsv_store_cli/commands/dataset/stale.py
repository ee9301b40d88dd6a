"""``bsv-store dataset stale``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from bsv_store_cli.help import Command
from bsv_store_cli.options.completion import complete_versions
from bsv_store_cli.output.changes import print_changes
from bsv_store_cli.output.formats import format_option, print_json, print_rows
from bsv_store_cli.output.messages import note
from bsv_store_cli.output.tables import Column, count, number_of
from bsv_store_cli.session import opened_store

if TYPE_CHECKING:
    from bsv_store.datasets.history.stale import StaleReport

_COLUMNS = ("ref", "is_stale", "state", "standing", "entered", "left", "changed", "reasons")
_TABLE = (
    Column("ref", "dataset"),
    Column("state", "state"),
    Column("remark", "remark", optional=True),
    Column("entered", "entered", count),
    Column("left", "left", count),
    Column("changed", "changed", count),
    Column("reasons", "other changes", optional=True),
)


@click.command(cls=Command)
@click.argument("ref", metavar="[NAME[@VERSION]]", required=False, shell_complete=complete_versions)
@format_option
def stale(ref: str | None, output_format: str) -> None:
    """Show what changed in the store since a version was computed.

    By default for the latest version of each dataset. The exit code is 1 if anything changed. No file is opened.
    """
    with opened_store() as store:
        reports = store.datasets.stale(ref)
    if output_format == "json":
        print_json(reports)
    else:
        print_rows(_rows(reports), output_format, columns=_COLUMNS, table=_TABLE)
    if ref is not None and output_format == "table":
        print_changes(reports[0].members)
    number = sum(report.is_stale for report in reports)
    note(f"{number_of(len(reports), 'version')}, {number:,} stale")
    if number:
        click.get_current_context().exit(1)


def _rows(reports: Sequence[StaleReport]) -> list[dict[str, Any]]:
    return [
        {
            "ref": report.ref,
            "is_stale": report.is_stale,
            "state": report.state,
            "standing": report.standing,
            "remark": None if report.standing == "computed" else report.standing,
            "entered": len(report.members.entered),
            "left": len(report.members.left),
            "changed": len(report.members.changed),
            "reasons": "; ".join(report.reasons),
        }
        for report in reports
    ]
