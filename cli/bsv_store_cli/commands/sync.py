"""``bsv-store sync``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from bsv_store_cli.help import Group, SectionedCommand
from bsv_store_cli.options.network import (
    DRY_RUN,
    LIMIT,
    OFFLINE,
    check_network_options,
    note_postponed,
    print_plan,
    quiet_retries,
)
from bsv_store_cli.options.selection import required_selection_options
from bsv_store_cli.options.volume import spacing_option
from bsv_store_cli.output.formats import format_option
from bsv_store_cli.output.messages import note
from bsv_store_cli.output.progress import progress_bar
from bsv_store_cli.output.reports import (
    ALLOW_SHRINKING,
    API_URL,
    DOWNLOAD_URL,
    annotation_row,
    asking_about_parts,
    host,
    note_summaries,
    print_annotations,
    print_ingested,
    print_outcome,
    print_templates,
    template_row,
)
from bsv_store_cli.session import opened_store, require_experiments

if TYPE_CHECKING:
    from bsv_store.catalog.selection.selection import Selection


@click.group(cls=Group)
def sync() -> None:
    """Update the catalog from the Allen API, annotation and template from its file server."""


@sync.command()
@ALLOW_SHRINKING
@API_URL
@format_option
def structures(allow_shrinking: bool, api_url: str | None, output_format: str) -> None:
    """Update the structure ontology.

    An ontology that seems to be a part is refused; on a terminal, the command asks first.
    """
    from bsv_store.sources.allen import addresses

    with opened_store() as store:
        store.database.require_original()
        source = _note_request(addresses.api_url(api_url, store=store.path), "the structure ontology")
        report = asking_about_parts(
            lambda allowed: store.sync_structures(api_url=api_url, allow_shrinking=allowed), allow_shrinking
        )
    print_ingested([(source, report)], output_format)


@sync.command()
@ALLOW_SHRINKING
@API_URL
@format_option
def experiments(allow_shrinking: bool, api_url: str | None, output_format: str) -> None:
    """Update the list of experiments.

    Experiments that are no longer listed are marked as withdrawn, not deleted. A list that seems to be incomplete is
    refused; on a terminal, the command asks first.
    """
    from bsv_store.sources.allen import addresses

    with opened_store() as store:
        store.database.require_original()
        source = _note_request(addresses.api_url(api_url, store=store.path), "the list of experiments")
        report = asking_about_parts(
            lambda allowed: store.sync_experiments(api_url=api_url, allow_shrinking=allowed), allow_shrinking
        )
    print_ingested([(source, report)], output_format)


@sync.command(cls=SectionedCommand)
@required_selection_options
@click.option("--refresh", is_flag=True, help="Also download tables that the store has.")
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
    """Download the missing unionize tables of selected experiments.

    A unionize table has the signal in each structure and hemisphere, inside and outside the injection. It takes about
    1.6 MB per experiment, 5 GB with --all. Failed downloads are listed with the reason, the others are stored, and the
    exit code is 6.
    """
    # Imported here, so that --help stays fast.
    from bsv_store.acquisition.fill import fill, plan_fill
    from bsv_store.acquisition.work.outcome import require_any_success

    check_network_options(offline=offline, refresh=refresh, limit=limit)
    with opened_store() as store:
        store.database.require_original()
        ids = require_experiments(store, selection)
        plan = plan_fill(store.database, store.files, ids, unionizes=True, refresh=refresh, limit=limit)
        note_postponed(plan)
        if dry_run:
            print_plan(plan, output_format)
            return
        quiet_retries()
        with progress_bar() as progress:
            (report,) = fill(store.database, store.files, plan, offline=offline, api_url=api_url, progress=progress)
    note_summaries([report])
    print_outcome([report], output_format)
    require_any_success([report], is_shown=True)
    if report.reasons:
        click.get_current_context().exit(6)


@sync.command()
@spacing_option
@click.option("--refresh", is_flag=True, help="Download it even if the store has it.")
@DOWNLOAD_URL
@format_option
def annotation(spacing_um: int, refresh: bool, download_url: str | None, output_format: str) -> None:
    """Download the annotation, which assigns each voxel to a structure.

    Structure masks, region summaries and signal by structure need it at the spacing of their volumes. It takes about
    4 MB at 25 um. Run `bsv-store sync structures` first.

    \b
    Example:
      bsv-store sync annotation --spacing 25
    """  # noqa: D301 (click needs \b)
    from bsv_store.sources.allen import addresses

    with opened_store() as store:
        store.database.require_original()
        source = _note_request(
            addresses.download_url(download_url, store=store.path), f"the annotation at {spacing_um} um"
        )
        with progress_bar() as progress:
            report = store.sync_annotation(
                spacing_um=spacing_um, refresh=refresh, download_url=download_url, progress=progress
            )
    note(report.summary())
    print_annotations([annotation_row(report, source=source)], output_format)


@sync.command()
@spacing_option
@click.option("--refresh", is_flag=True, help="Download it even if the store has it.")
@DOWNLOAD_URL
@format_option
def template(spacing_um: int, refresh: bool, download_url: str | None, output_format: str) -> None:
    """Download the average template, an image of the average brain.

    `bsv-store plot slices --background template` draws it behind the signal. Any spacing will do; 25 um is best for
    print. The download is about 33 MB at 25 um and 330 MB at 10 um. To store it from a file: `bsv-store ingest
    template`.

    \b
    Example:
      bsv-store sync template --spacing 25
    """  # noqa: D301 (click needs \b)
    from bsv_store.sources.allen import addresses

    with opened_store() as store:
        store.database.require_original()
        _note_request(addresses.download_url(download_url, store=store.path), f"the template at {spacing_um} um")
        with progress_bar() as progress:
            report = store.sync_template(
                spacing_um=spacing_um, refresh=refresh, download_url=download_url, progress=progress
            )
    note(report.summary())
    print_templates([template_row(report, source=host(report.source))], output_format)


def _note_request(url: str, what: str) -> str:
    """Print which host is asked, since the reply may take a while; returns the host."""
    asked = host(url)
    note(f"Asking {asked} for {what}.")
    quiet_retries()
    return asked
