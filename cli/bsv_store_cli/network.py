"""What commands share that ask the Allen API: do it on paper first, do without it, and do it quietly."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from bsv_store_cli.output import emit, plain, print_json, print_rows

if TYPE_CHECKING:
    from bsv_store.acquisition.plan import Plan

DRY_RUN = click.option(
    "--dry-run", is_flag=True, help="Only say what there is to do, how long it takes, and whether there is room."
)
OFFLINE = click.option("--offline", is_flag=True, help="Ask nobody: it is an error if anything is missing.")


def print_plan(plan: Plan, output_format: str) -> None:
    """Print what there is to do: in a sentence for people, each experiment for programs."""
    if output_format == "json":
        print_json({**plain(plan), "has_room": plan.has_room})
    elif output_format == "csv":
        missing = set(plan.missing)
        ids = sorted({*plan.present, *missing})
        rows = [{"experiment_id": each, "state": "missing" if each in missing else "present"} for each in ids]
        print_rows(rows, "csv", columns=("experiment_id", "state"))
    else:
        emit(plan.summary())


def refuse_offline_refresh(*, offline: bool, refresh: bool) -> None:
    """Accept the two options, but not together."""
    if offline and refresh:
        raise click.UsageError("--refresh fetches again, and --offline asks nobody; leave one of them out")


def quiet_retries() -> None:
    """Keep retries off standard output, where stamina reports them through structlog, should that be installed."""
    # Not at the top: --help shall not load it.
    from stamina.instrumentation import set_on_retry_hooks

    set_on_retry_hooks([])
