"""``bsv-store fetch``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from bsv_store_cli.help import SectionedCommand
from bsv_store_cli.network import DRY_RUN, OFFLINE, print_plan, quiet_retries, refuse_offline_refresh
from bsv_store_cli.output import format_option
from bsv_store_cli.progress import progress_bar
from bsv_store_cli.reports import API_URL, print_outcome
from bsv_store_cli.selection_options import required_selection_options
from bsv_store_cli.session import opened_store, require_experiments
from bsv_store_cli.talk import note
from bsv_store_cli.volume_options import volume_options

if TYPE_CHECKING:
    from bsv_store.catalog.selection import Selection


@click.command(cls=SectionedCommand)
@required_selection_options
@volume_options
@click.option("--refresh", is_flag=True, help="Fetch again what is there.")
@click.option(
    "--workers",
    type=click.IntRange(1, 16),
    metavar="N",
    default=4,
    show_default=True,
    help="Downloads at the same time.",
)
@DRY_RUN
@OFFLINE
@API_URL
@format_option
def fetch(
    selection: Selection,
    kind: str,
    spacing_um: int,
    refresh: bool,
    workers: int,
    dry_run: bool,
    offline: bool,
    api_url: str | None,
    output_format: str,
) -> None:
    """Bring the volumes of selected experiments into the store, those that it lacks.

    Each is checked before it is stored. What cannot be had is listed with the reason, the rest goes on, and the exit
    code is 6. Run it again to go on. Without room on the disk nothing is begun, and the exit code is 7.

    \b
    Example:
      bsv-store fetch --injected-in VISp --line wild-type
    """  # noqa: D301 (click wants the character)
    refuse_offline_refresh(offline=offline, refresh=refresh)
    with opened_store() as store:
        require_experiments(store, selection)
        plan = store.plan_fetch(selection, kind=kind, spacing_um=spacing_um, refresh=refresh)
        if dry_run:
            print_plan(plan, output_format)
        if not offline:
            plan.require_room()
        if dry_run:
            return
        quiet_retries()
        with progress_bar() as progress:
            report = store.fetch(
                selection,
                kind=kind,
                spacing_um=spacing_um,
                refresh=refresh,
                workers=workers,
                offline=offline,
                api_url=api_url,
                progress=progress,
            )
    note(report.summary())
    print_outcome(report, output_format)
    if report.failed:
        click.get_current_context().exit(6)
