"""``bsv-store fetch``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from bsv_store_cli.help import SectionedCommand
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
from bsv_store_cli.options.volume import volume_options
from bsv_store_cli.output.formats import format_option
from bsv_store_cli.output.progress import progress_bar
from bsv_store_cli.output.reports import API_URL, note_summaries, print_outcome
from bsv_store_cli.session import opened_store, require_experiments

if TYPE_CHECKING:
    from bsv_store.catalog.selection.selection import Selection
    from bsv_store.vocabulary import VolumeKind


@click.command(cls=SectionedCommand)
@required_selection_options
@volume_options
@click.option("--unionizes", is_flag=True, help="Also fetch their unionize tables, before the volumes.")
@click.option("--refresh", is_flag=True, help="Also fetch what the store has.")
@click.option("--verify", is_flag=True, help="Also fetch volumes again whose stored file has changed: all are read.")
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    metavar="N",
    help="Number of simultaneous downloads, at most the setting max_connections, which all runs on the store share.  "
    "[default: the setting fetch_workers, which is 4 unless it was set]",
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
    verify: bool,
    workers: int | None,
    limit: int | None,
    dry_run: bool,
    offline: bool,
    api_url: str | None,
    output_format: str,
) -> None:
    """Download the missing volumes of selected experiments.

    Each volume is checked before it is stored. Failed downloads are listed with the reason, the others are stored, and
    the exit code is 6. Run the command again to continue. If the disk has not enough space, nothing is downloaded, and
    the exit code is 7.

    A volume whose file is missing or truncated, or was found damaged by `bsv-store verify`, is fetched again; with
    --verify also any other whose bytes have changed. A volume that contradicts its experiment counts as present:
    `bsv-store volume check` finds such volumes, and --refresh downloads them again.

    To fill a store with everything, check with --dry-run first, and use --limit to fetch it in parts.

    \b
    Examples:
      bsv-store fetch --injected-in VISp --line wild-type
      bsv-store fetch --all --unionizes --dry-run
      bsv-store fetch --all --unionizes --limit 500
    """  # noqa: D301 (click needs \b)
    # Imported here, so that --help stays fast.
    from bsv_store.acquisition.fill import fill, plan_fill
    from bsv_store.acquisition.work.outcome import require_any_success

    check_network_options(offline=offline, refresh=refresh, verify=verify, limit=limit)
    with opened_store() as store:
        store.database.require_original()
        ids = require_experiments(store, selection)
        with progress_bar() as progress:
            plan = plan_fill(
                store.database,
                store.files,
                ids,
                unionizes=unionizes,
                volumes=[(kind, spacing_um)],
                refresh=refresh,
                verify=verify,
                workers=workers,
                limit=limit,
                progress=progress,
            )
        note_postponed(plan)
        if dry_run:
            print_plan(plan, output_format)
        if not offline:
            plan.require_disk_space()
        if dry_run:
            return
        quiet_retries()
        with progress_bar() as progress:
            reports = fill(store.database, store.files, plan, offline=offline, api_url=api_url, progress=progress)
    note_summaries(reports)
    print_outcome(reports, output_format)
    require_any_success(reports, is_shown=True)
    if any(report.reasons for report in reports):
        click.get_current_context().exit(6)
