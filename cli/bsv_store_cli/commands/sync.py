"""``bsv-store sync``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from bsv_store_cli.help import Group, SectionedCommand
from bsv_store_cli.options.network import (
    DRY_RUN,
    LIMIT,
    OFFLINE,
    part_of,
    print_plan,
    quiet_retries,
    refuse_offline_refresh,
)
from bsv_store_cli.options.selection import required_selection_options
from bsv_store_cli.options.volume import spacing_option
from bsv_store_cli.output.formats import format_option
from bsv_store_cli.output.messages import note
from bsv_store_cli.output.progress import progress_bar
from bsv_store_cli.output.reports import (
    API_URL,
    DOWNLOAD_URL,
    annotation_row,
    host,
    print_annotations,
    print_ingested,
    print_outcome,
)
from bsv_store_cli.session import opened_store, require_experiments

if TYPE_CHECKING:
    from bsv_store.catalog.selection.selection import Selection


@click.group(cls=Group)
def sync() -> None:
    """Bring the catalog up to date from the Allen API, and the annotation from its file server."""


@sync.command()
@API_URL
@format_option
def structures(api_url: str | None, output_format: str) -> None:
    """Bring the structure ontology up to date."""
    with opened_store() as store:
        source = _ask(_api(api_url), "the structure ontology")
        report = store.sync_structures(api_url=api_url)
    print_ingested([(source, report)], output_format)


@sync.command()
@API_URL
@format_option
def experiments(api_url: str | None, output_format: str) -> None:
    """Bring the list of experiments up to date.

    An experiment that is no longer listed is marked as withdrawn, never deleted.
    """
    with opened_store() as store:
        source = _ask(_api(api_url), "the list of experiments")
        report = store.sync_experiments(api_url=api_url)
    print_ingested([(source, report)], output_format)


@sync.command(cls=SectionedCommand)
@required_selection_options
@click.option("--refresh", is_flag=True, help="Ask again for tables that are there.")
@LIMIT
@DRY_RUN
@OFFLINE
@API_URL
@format_option
def unionizes(
    selection: Selection,
    refresh: bool,
    limit: int | None,
    dry_run: bool,
    offline: bool,
    api_url: str | None,
    output_format: str,
) -> None:
    """Bring the unionize tables of selected experiments.

    They say how much signal there is by structure and hemisphere, inside and outside the injection; about 1.6 MB an
    experiment, 5 GB with --all. What cannot be had is listed with the reason, the rest goes on, and the exit code is 6.
    """
    refuse_offline_refresh(offline=offline, refresh=refresh, limit=limit)
    with opened_store() as store:
        require_experiments(store, selection)
        selection, plan = part_of(selection, store.plan_sync_unionizes(selection, refresh=refresh), limit)
        if dry_run:
            print_plan(plan, output_format)
            return
        quiet_retries()
        with progress_bar() as progress:
            report = store.sync_unionizes(
                selection, refresh=refresh, offline=offline, api_url=api_url, progress=progress
            )
    note(report.summary())
    print_outcome([report], output_format)
    if report.failed:
        click.get_current_context().exit(6)


@sync.command()
@spacing_option
@click.option("--refresh", is_flag=True, help="Download again what is there.")
@DOWNLOAD_URL
@format_option
def annotation(spacing_um: int, refresh: bool, download_url: str | None, output_format: str) -> None:
    """Bring the annotation, which says of each voxel what structure it is in.

    Structure masks, region summaries and signal by structure need it at the spacing of their volumes. It is about 4 MB
    at 25 um. The ontology must be there.

    \b
    Example:
      bsv-store sync annotation --spacing 25
    """  # noqa: D301 (click wants the character)
    from bsv_store.sources.allen import addresses

    with opened_store() as store:
        source = _ask(addresses.download_url(download_url), f"the annotation at {spacing_um} um")
        with progress_bar() as progress:
            report = store.sync_annotation(
                spacing_um=spacing_um, refresh=refresh, download_url=download_url, progress=progress
            )
    note(report.summary())
    print_annotations([annotation_row(report, source=source)], output_format)


def _api(api_url: str | None) -> str:
    from bsv_store.sources.allen import addresses

    return addresses.api_url(api_url)


def _ask(url: str, what: str) -> str:
    """The host that is about to be asked, which may take its time."""
    asked = host(url)
    note(f"Asking {asked} for {what}.")
    quiet_retries()
    return asked
