"""``bsv-store sync``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from bsv_store_cli.help import Group, SectionedCommand
from bsv_store_cli.network import DRY_RUN, OFFLINE, print_plan, quiet_retries, refuse_offline_refresh
from bsv_store_cli.output import format_option
from bsv_store_cli.progress import progress_bar
from bsv_store_cli.reports import API_URL, host, ingest_row, print_ingested, print_outcome
from bsv_store_cli.selection_options import selection_options
from bsv_store_cli.session import opened_store, require_experiments
from bsv_store_cli.talk import note

if TYPE_CHECKING:
    from bsv_store.catalog.selection import Selection


@click.group(cls=Group)
def sync() -> None:
    """Bring the catalog up to date from the Allen API."""


@sync.command()
@API_URL
@format_option
def structures(api_url: str | None, output_format: str) -> None:
    """Bring the structure ontology up to date."""
    with opened_store() as store:
        source = _ask(api_url, "the structure ontology")
        report = store.sync_structures(api_url=api_url)
    print_ingested([ingest_row(report, source=source)], output_format)


@sync.command()
@API_URL
@format_option
def experiments(api_url: str | None, output_format: str) -> None:
    """Bring the list of experiments up to date.

    An experiment that is no longer listed is marked as withdrawn, never deleted.
    """
    with opened_store() as store:
        source = _ask(api_url, "the list of experiments")
        report = store.sync_experiments(api_url=api_url)
    print_ingested([ingest_row(report, source=source)], output_format)


@sync.command(cls=SectionedCommand)
@selection_options
@click.option("--refresh", is_flag=True, help="Ask again for tables that are there.")
@DRY_RUN
@OFFLINE
@API_URL
@format_option
def unionizes(
    selection: Selection, refresh: bool, dry_run: bool, offline: bool, api_url: str | None, output_format: str
) -> None:
    """Bring the unionize tables of selected experiments: all, by default.

    They say how much signal there is by structure and hemisphere, inside and outside the injection; about 1.6 MB an
    experiment. What cannot be had is listed with the reason, the rest goes on, and the exit code is 6.
    """
    refuse_offline_refresh(offline=offline, refresh=refresh)
    with opened_store() as store:
        require_experiments(store, selection)
        if dry_run:
            print_plan(store.plan_sync_unionizes(selection, refresh=refresh), output_format)
            return
        quiet_retries()
        with progress_bar() as progress:
            report = store.sync_unionizes(
                selection, refresh=refresh, offline=offline, api_url=api_url, progress=progress
            )
    note(report.summary())
    print_outcome(report, output_format)
    if report.failed:
        click.get_current_context().exit(6)


def _ask(api_url: str | None, what: str) -> str:
    """The host that is about to be asked, which may take its time."""
    from bsv_store.sources.allen import addresses

    asked = host(addresses.api_url(api_url))
    note(f"Asking {asked} for {what}.")
    quiet_retries()
    return asked
