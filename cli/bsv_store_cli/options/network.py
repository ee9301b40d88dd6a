"""What commands share that ask the Allen API: do it on paper first, do without it, and do it quietly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from bsv_store_cli.output.formats import emit, plain, print_json, print_rows
from bsv_store_cli.output.messages import note

if TYPE_CHECKING:
    from bsv_store.acquisition.plan import FillPlan, Plan
    from bsv_store.catalog.selection.selection import Selection

DRY_RUN = click.option(
    "--dry-run", is_flag=True, help="Only say what there is to do, how long it takes, and whether there is room."
)
OFFLINE = click.option("--offline", is_flag=True, help="Ask nobody: it is an error if anything is missing.")
LIMIT = click.option(
    "--limit",
    type=click.IntRange(1),
    metavar="N",
    help="Bring at most N of those that are missing; the next run goes on.",
)


def part_of(selection: Selection, plan: Plan, limit: int | None) -> tuple[Selection, Plan]:
    """What is there and the first of the missing, as a selection and as a plan; all of it without a limit."""
    # Not at the top: --help shall not load it.
    from bsv_store.catalog.selection.selection import Selection

    if limit is None or limit >= len(plan.missing):
        return selection, plan
    part = plan.first(limit)
    note(f"{plan.what}: {len(plan.missing) - limit} of {len(plan.missing)} missing are left for another run.")
    # Whom the selection leaves out has been decided: these are what it matched.
    return Selection(ids=(*part.present, *part.missing), include_withdrawn=True, include_excluded=True), part


def print_plan(plan: Plan | FillPlan, output_format: str) -> None:
    """Print what there is to do: in sentences for people, each experiment for programs."""
    # Not at the top: --help shall not load it.
    from bsv_store.acquisition.plan import FillPlan

    parts = plan.parts if isinstance(plan, FillPlan) else (plan,)
    if output_format == "json":
        print_json(_facts(plan) | ({} if parts == (plan,) else {"parts": [_facts(part) for part in parts]}))
    elif output_format == "csv":
        columns = ("experiment_id", "state")
        rows = [{"what": part.what, **row} for part in parts for row in _states(part)]
        print_rows(rows, "csv", columns=columns if parts == (plan,) else ("what", *columns))
    else:
        emit(plan.summary())


def _facts(plan: Plan | FillPlan) -> dict[str, Any]:
    names = ("requests", "download_bytes", "store_bytes", "scratch_bytes", "free_bytes", "seconds", "has_room")
    return {**plain(plan), **{name: getattr(plan, name) for name in names}}


def _states(plan: Plan) -> list[dict[str, Any]]:
    missing = set(plan.missing)
    ids = sorted({*plan.present, *missing})
    return [{"experiment_id": each, "state": "missing" if each in missing else "present"} for each in ids]


def refuse_offline_refresh(*, offline: bool, refresh: bool, limit: int | None = None) -> None:
    """Accept the options, but not those together that contradict each other."""
    if offline and refresh:
        raise click.UsageError("--refresh fetches again, and --offline asks nobody; leave one of them out")
    if limit is not None and (offline or refresh):
        other = "--offline brings nothing" if offline else "with --refresh the next run would bring the same"
        raise click.UsageError(f"--limit brings a part of what is missing, and {other}; leave one of them out")


def quiet_retries() -> None:
    """Keep retries off standard output, where stamina reports them through structlog, should that be installed."""
    # Not at the top: --help shall not load it.
    from stamina.instrumentation import set_on_retry_hooks

    set_on_retry_hooks([])
