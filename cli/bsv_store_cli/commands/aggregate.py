"""``bsv-store aggregate``."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from bsv_store.vocabulary import (
    BILATERAL_RULES,
    HEMISPHERE_RULES,
    MISSING_POLICIES,
    NORMALIZATIONS,
    RESULT_DTYPES,
    STATISTICS,
)
from bsv_store_cli.help import RowChoice, SectionedCommand, SectionOption
from bsv_store_cli.options.dataset import COMPUTING_WORKERS
from bsv_store_cli.options.grouping import grouping_options
from bsv_store_cli.options.network import quiet_retries
from bsv_store_cli.options.selection import required_selection_options
from bsv_store_cli.options.volume import volume_options
from bsv_store_cli.output.datasets import print_answer
from bsv_store_cli.output.formats import format_option
from bsv_store_cli.output.messages import note
from bsv_store_cli.output.progress import progress_bar
from bsv_store_cli.output.reports import API_URL
from bsv_store_cli.session import opened_store, require_experiments

if TYPE_CHECKING:
    from bsv_store.acquisition.work.outcome import Failure
    from bsv_store.averaging.grouping.grouping import Grouping
    from bsv_store.catalog.selection.selection import Selection
    from bsv_store.store.store import Store
    from bsv_store.vocabulary import BilateralRule, HemisphereRule, Statistic

_option = functools.partial(click.option, cls=SectionOption, section="How to average")


@click.command(cls=SectionedCommand)
@required_selection_options
@grouping_options
@_option(
    "--normalize",
    type=RowChoice(NORMALIZATIONS),
    default="none",
    show_default=True,
    help="Divide each volume by its injection volume, mm3.",
)
@_option(
    "--hemisphere-rule",
    type=RowChoice(HEMISPHERE_RULES),
    metavar="RULE",
    default="none",
    show_default=True,
    help=f"What becomes of the two hemispheres: {', '.join(HEMISPHERE_RULES).replace('_', '-')}.",
)
@_option(
    "--bilateral-rule",
    type=RowChoice(BILATERAL_RULES),
    default="larger-side",
    show_default=True,
    help="What becomes of injections into both sides, where the rule needs one side.",
)
@_option(
    "--exclude-injection",
    is_flag=True,
    help="Do not count the voxels of each injection site (injection fraction above 0).",
)
@_option("--weight-by-data-mask", is_flag=True, help="Weight each voxel by the fraction of it that has data.")
@_option(
    "--statistic",
    "statistics",
    multiple=True,
    type=RowChoice(STATISTICS),
    metavar="NAME",
    help=f"Per voxel: {', '.join(STATISTICS)}; repeatable. The mean always comes with them.",
)
@_option(
    "--missing",
    type=RowChoice(MISSING_POLICIES),
    default="error",
    show_default=True,
    help="What becomes of experiments that lack a volume, or an injection volume where it is needed.",
)
@_option(
    "--dtype",
    type=RowChoice(RESULT_DTYPES),
    default="float32",
    show_default=True,
    help="Of the result; sums are float64 in any case.",
)
@click.option("--name", required=True, metavar="NAME", help="The dataset that the version belongs to.")
@volume_options
@click.option(
    "--fetch", "fetch_first", is_flag=True, help="First bring what is missing: volumes, masks, unionize tables."
)
@COMPUTING_WORKERS
@API_URL
@format_option
def aggregate(
    selection: Selection,
    grouping: Grouping,
    hemisphere_rule: HemisphereRule,
    bilateral_rule: BilateralRule,
    statistics: tuple[Statistic, ...],
    fetch_first: bool,
    api_url: str | None,
    output_format: str,
    **recipe: Any,
) -> None:
    """Average the volumes of selected experiments by group, as a version of a dataset.

    The same question over the same inputs returns the version that answered it before, without computing.

    \b
    Example:
      bsv-store aggregate --injected-in VISp --line wild-type --group-by AP --bins 5
        --normalize injection-volume --name visual-by-AP
    """  # noqa: D301 (click wants the character)
    with opened_store() as store:
        require_experiments(store, selection)
        if fetch_first:
            _accept(_bring(store, selection, recipe, api_url), recipe["missing"])
        with progress_bar() as progress:
            version = store.aggregate(
                selection,
                group_by=grouping,
                hemisphere_rule=hemisphere_rule,
                bilateral_rule=bilateral_rule,
                statistics=statistics or ("mean",),
                progress=progress,
                **recipe,
            )
        latest = store.dataset(version.name)
        if version.number != latest.number:
            note(f"{version.ref} is not the latest: {version.name} alone means {latest.ref}.")
        print_answer(version, output_format)


def _bring(store: Store, selection: Selection, recipe: Mapping[str, Any], api_url: str | None) -> list[Failure]:
    """Bring what is missing, if there is room for all of it; what could not be had is said, and returned."""
    from bsv_store.acquisition.plan import FillPlan
    from bsv_store.averaging.recipe import needed_kinds

    masks = {name: recipe[name] for name in ("exclude_injection", "weight_by_data_mask")}
    wanted = [{"kind": kind, "spacing_um": recipe["spacing_um"]} for kind in needed_kinds(recipe["kind"], **masks)]
    plans = (store.plan_fetch(selection, **volumes) for volumes in wanted)
    FillPlan((store.plan_sync_unionizes(selection), *plans)).require_disk_space()
    quiet_retries()
    with progress_bar() as progress:
        tables = store.sync_unionizes(selection, api_url=api_url, progress=progress)
    note(tables.summary())
    failed = list(tables.failed)
    for volumes in wanted:
        with progress_bar() as progress:
            report = store.fetch(selection, **volumes, api_url=api_url, progress=progress)
        note(report.summary())
        failed += report.failed
    for failure in failed:
        note(f"Experiment {failure.experiment_id}: {failure.reason}")
    return failed


def _accept(failed: list[Failure], missing: str) -> None:
    from bsv_store.errors import UpstreamError

    if failed and missing == "error":
        raise UpstreamError(
            f"the average was not made: {len(failed)} volumes or tables could not be fetched",
            hint="Run the same again later, or average the others with --missing leave-out.",
        )
