"""Options and output shared by the commands that download from the Allen API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from bsv_store_cli.output.formats import plain, print_json, print_rows, say
from bsv_store_cli.output.messages import note

if TYPE_CHECKING:
    from bsv_store.acquisition.plan import FillPlan, Plan

DRY_RUN = click.option(
    "--dry-run", is_flag=True, help="Only print what would be downloaded, and the time and disk space it takes."
)
OFFLINE = click.option("--offline", is_flag=True, help="Open no connection; missing data are an error.")
LIMIT = click.option(
    "--limit",
    type=click.IntRange(1),
    metavar="N",
    help="Maximum number of missing experiments to download; the next run continues.",
)


def note_postponed(plan: FillPlan) -> None:
    """Print how many experiments --limit leaves for a later run."""
    for part in plan.parts:
        if part.postponed:
            total = part.postponed + len(part.missing)
            note(f"{part.what}: {part.postponed} of {total} missing experiments are left for a later run.")


def print_plan(plan: FillPlan, output_format: str) -> None:
    """Print a plan: a summary as a table, each experiment as CSV."""
    is_single = len(plan.parts) == 1
    if output_format == "json":
        print_json(_facts(plan.parts[0]) if is_single else _facts(plan) | {"parts": [_facts(p) for p in plan.parts]})
    elif output_format == "csv":
        columns = ("experiment_id", "state")
        rows = [{"what": part.what, **row} for part in plan.parts for row in _states(part)]
        print_rows(rows, "csv", columns=columns if is_single else ("what", *columns))
    else:
        say(plan.summary())


def _facts(plan: Plan | FillPlan) -> dict[str, Any]:
    names = ("requests", "download_bytes", "store_bytes", "scratch_bytes", "free_bytes", "seconds", "fits_on_disk")
    facts = {**plain(plan), **{name: getattr(plan, name) for name in names}}
    if "damaged" in facts:
        facts["damaged"] = [file.experiment_id for file in getattr(plan, "damaged", ())]
    return facts


def _states(plan: Plan) -> list[dict[str, Any]]:
    states = dict.fromkeys(plan.missing, "missing") | {file.experiment_id: "damaged" for file in plan.damaged}
    return [{"experiment_id": each, "state": states.get(each, "present")} for each in sorted(plan.experiment_ids)]


def check_network_options(*, offline: bool, refresh: bool, verify: bool = False, limit: int | None = None) -> None:
    """Refuse options that contradict each other."""
    if verify and refresh:
        raise click.UsageError("--verify cannot be combined with --refresh, which downloads everything again")
    if offline and refresh:
        raise click.UsageError("--offline cannot be combined with --refresh, which downloads again")
    if limit is not None and (offline or refresh):
        reason = (
            "--offline, which downloads nothing" if offline else "--refresh: the next run would download the same again"
        )
        raise click.UsageError(f"--limit cannot be combined with {reason}")


def quiet_retries() -> None:
    """Keep retries off standard output, where stamina logs them if structlog is installed."""
    # Imported here, so that --help stays fast.
    from stamina.instrumentation import set_on_retry_hooks

    set_on_retry_hooks([])
