"""``bsv-store verify``."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from bsv_store.vocabulary import FINDING_KINDS
from bsv_store_cli.help import Command
from bsv_store_cli.options.quantities import Duration
from bsv_store_cli.output.formats import format_option
from bsv_store_cli.output.long_lists import print_list, print_some
from bsv_store_cli.output.messages import note
from bsv_store_cli.output.progress import progress_bar
from bsv_store_cli.output.tables import Column
from bsv_store_cli.session import opened_store

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bsv_store.maintenance.findings import Finding

_COLUMNS = ("object", "path", "kind", "is_damage", "problem", "remedy")
_TABLE = (
    Column("object", "object", whole=True),
    Column("kind", "finding", lambda kind: FINDING_KINDS[kind].words),
    Column("problem", "problem", whole=True),
)


def finding_rows(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """The findings as rows for output."""
    return [{**asdict(each), "is_damage": each.is_damage} for each in findings]


@click.command(cls=Command)
@click.option("--deep", is_flag=True, help="Also read every byte of every file, and check every row of the catalog.")
@click.option("--decode", is_flag=True, help="As --deep; also decode every volume and check that it is plausible.")
@click.option(
    "--since",
    type=Duration(),
    metavar="DURATION",
    help="Skip what was deeply verified within this time, e.g. 7d. Needs --deep or --decode.",
)
@click.option(
    "--time-limit",
    type=Duration(),
    metavar="DURATION",
    help="Stop after this time, e.g. 30m; the next run continues. Needs --deep or --decode.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    metavar="N",
    help="Number of threads.  [default: one for each processor, at most 4]",
)
@format_option
def verify(
    deep: bool,
    decode: bool,
    since: timedelta | None,
    time_limit: timedelta | None,
    workers: int | None,
    output_format: str,
) -> None:
    """Verify files and catalog; report damage with its remedy.

    By default, checks that every file is there with its size, type and permissions, reports files that the catalog
    does not list, and compares the numbers of rows with those that were stored. --deep reads every byte; run it
    regularly, for example each night with --since 7d --time-limit 2h. What was verified longest ago comes first.

    The exit code is 1 if there is damage. Notes, such as files that an aborted run left, do not change it. Nothing is
    changed; without write access the results are not recorded.
    """
    with opened_store() as store, progress_bar() as progress:
        report = store.admin.verify(
            deep=deep, decode=decode, since=since, time_limit=time_limit, workers=workers, progress=progress
        )
    print_some(finding_rows(report.findings), output_format, columns=_COLUMNS, table=_TABLE)
    note(report.summary())
    if report.findings:
        print_list("What to do:", (line for each in report.findings for line in each.remedy.splitlines()))
    if report.damage:
        click.get_current_context().exit(1)
