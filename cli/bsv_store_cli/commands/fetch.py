"""``bsv-store fetch``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from bsv_store_cli.help import SectionedCommand
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
from bsv_store_cli.options.volume import volume_options
from bsv_store_cli.output.formats import format_option
from bsv_store_cli.output.messages import note
from bsv_store_cli.output.progress import progress_bar
from bsv_store_cli.output.reports import API_URL, print_outcome
from bsv_store_cli.session import opened_store, require_experiments

if TYPE_CHECKING:
    from bsv_store.acquisition.fetch import FetchReport
    from bsv_store.acquisition.sync import UnionizeSyncReport
    from bsv_store.catalog.selection.selection import Selection
    from bsv_store.vocabulary import VolumeKind


@click.command(cls=SectionedCommand)
@required_selection_options
@volume_options
@click.option("--unionizes", is_flag=True, help="Bring their unionize tables as well, before the volumes.")
@click.option("--refresh", is_flag=True, help="Fetch again what is there.")
@click.option(
    "--workers",
    type=click.IntRange(1, 16),
    metavar="N",
    default=4,
    show_default=True,
    help="Downloads at the same time.",
)
@LIMIT
@DRY_RUN
@OFFLINE
@API_URL
@format_option
def fetch(
    selection: Selection,
    kind: VolumeKind,
    spacing_um: int,
    unionizes: bool,
    refresh: bool,
    workers: int,
    limit: int | None,
    dry_run: bool,
    offline: bool,
    api_url: str | None,
    output_format: str,
) -> None:
    """Bring the volumes of selected experiments into the store, those that it lacks.

    Each is checked before it is stored. What cannot be had is listed with the reason, the rest goes on, and the exit
    code is 6. Run it again to go on. Without room on the disk nothing is begun, and the exit code is 7.

    To fill a store with everything, look with --dry-run first, and bring it in parts with --limit.

    \b
    Examples:
      bsv-store fetch --injected-in VISp --line wild-type
      bsv-store fetch --all --unionizes --dry-run
      bsv-store fetch --all --unionizes --limit 500
    """  # noqa: D301 (click wants the character)
    # Not at the top: --help shall not load it.
    from bsv_store.acquisition.plan import FillPlan

    refuse_offline_refresh(offline=offline, refresh=refresh, limit=limit)
    with opened_store() as store:
        require_experiments(store, selection)
        planned = store.plan_fetch(selection, kind=kind, spacing_um=spacing_um, refresh=refresh, workers=workers)
        volumes, plan = part_of(selection, planned, limit)
        tables, fill = None, FillPlan((plan,))
        if unionizes:
            tables, first = part_of(selection, store.plan_sync_unionizes(selection, refresh=refresh), limit)
            fill = FillPlan((first, plan))
        if dry_run:
            print_plan(fill if unionizes else plan, output_format)
        if not offline:
            fill.require_room()
        if dry_run:
            return
        quiet_retries()
        reports: list[FetchReport | UnionizeSyncReport] = []
        with progress_bar() as progress:
            asking: dict[str, Any] = {"refresh": refresh, "offline": offline, "api_url": api_url, "progress": progress}
            if tables is not None:
                reports.append(store.sync_unionizes(tables, **asking))
            reports.append(store.fetch(volumes, kind=kind, spacing_um=spacing_um, workers=workers, **asking))
    for report in reports:
        note(report.summary())
    print_outcome(reports, output_format)
    if any(report.failed for report in reports):
        click.get_current_context().exit(6)
