"""``bsv-store repair``."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta

import click

from bsv_store.vocabulary import FINDING_KINDS, REPAIR_ACTIONS
from bsv_store_cli.help import Command
from bsv_store_cli.options.network import quiet_retries
from bsv_store_cli.options.quantities import Duration
from bsv_store_cli.output.formats import format_option
from bsv_store_cli.output.long_lists import print_list, print_some
from bsv_store_cli.output.messages import note
from bsv_store_cli.output.progress import progress_bar
from bsv_store_cli.output.tables import Column
from bsv_store_cli.session import opened_store

_COLUMNS = ("object", "path", "finding", "problem", "action", "how", "outcome", "result")
_STEP = (
    Column("object", "object", whole=True),
    Column("finding", "finding", lambda kind: FINDING_KINDS[kind].words),
    Column("action", "action", lambda action: REPAIR_ACTIONS[action].words),
)
_PLAN = (*_STEP, Column("how", "how", whole=True))
_RESULT = (*_STEP, Column("outcome", "outcome"), Column("result", "result", optional=True, whole=True))


@click.command(cls=Command)
@click.option("--apply", "apply", is_flag=True, help="Carry out the plan. By default it is only printed.")
@click.option(
    "--drop-missing", is_flag=True, help="Remove the rows of objects whose files cannot be restored in any other way."
)
@click.option(
    "--adopt-results",
    is_flag=True,
    help="Record results without a version, as after a restore from an older backup: each is computed again.",
)
@click.option("--decode", is_flag=True, help="Also decode volumes, and download implausible ones again.")
@click.option(
    "--since",
    type=Duration(),
    metavar="DURATION",
    help="Do not verify again what was deeply verified within this time, e.g. 1d after 'verify --deep'.",
)
@click.option("--offline", is_flag=True, help="Download nothing.")
@click.option("--workers", type=click.IntRange(min=1), metavar="N", help="Number of threads that verify.")
@format_option
def repair(
    apply: bool,
    drop_missing: bool,
    adopt_results: bool,
    decode: bool,
    since: timedelta | None,
    offline: bool,
    workers: int | None,
    output_format: str,
) -> None:
    """Repair what verify finds: download, rebuild or record it again.

    Verifies the store deeply and prints a plan: each finding, what is done about it, and how. With --apply the plan is
    carried out: permissions are set, damaged files are moved to the trash, intact files that the catalog does not list
    are recorded, volumes, tables and annotations are downloaded again, and results are computed again and restored if
    they are the same. Nothing is deleted. Then the store is verified again.

    The exit code is 1 if there is something to repair, or with --apply if a repair failed or damage is left.
    """
    quiet_retries()
    with opened_store() as store, progress_bar() as progress:
        report = store.admin.repair(
            apply=apply,
            drop_missing=drop_missing,
            adopt_results=adopt_results,
            decode=decode,
            since=since,
            offline=offline,
            workers=workers,
            progress=progress,
        )
    rows = [asdict(step) for step in report.steps]
    print_some(rows, output_format, columns=_COLUMNS, table=_RESULT if apply else _PLAN)
    note(report.summary())
    if report.left:
        print_list("Left:", (f"{finding}\n    {report.why_left(finding)}" for finding in report.left))
    has_failed = any(step.outcome == "failed" for step in report.steps)
    if report.left or has_failed or (report.steps and not apply):
        if not apply and any(step.action != "none" for step in report.steps):
            options = {"--drop-missing": drop_missing, "--adopt-results": adopt_results, "--decode": decode}
            chosen = "".join(f" {option}" for option, is_chosen in options.items() if is_chosen)
            note(f"Carry out the plan: bsv-store repair --apply{chosen}")
        click.get_current_context().exit(1)
