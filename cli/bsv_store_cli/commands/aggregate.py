"""``bsv-store aggregate``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from bsv_store_cli.help import SectionedCommand
from bsv_store_cli.options.averaging import averaging_options, missing_option
from bsv_store_cli.options.dataset import COMPUTING_WORKERS
from bsv_store_cli.options.grouping import grouping_options
from bsv_store_cli.options.network import quiet_retries
from bsv_store_cli.options.selection import required_selection_options
from bsv_store_cli.options.volume import volume_options
from bsv_store_cli.output.datasets import print_answer
from bsv_store_cli.output.formats import format_option
from bsv_store_cli.output.messages import note
from bsv_store_cli.output.progress import progress_bar
from bsv_store_cli.output.reports import API_URL, note_summaries
from bsv_store_cli.session import opened_store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bsv_store.acquisition.fetch import FetchReport
    from bsv_store.acquisition.sync import UnionizeSyncReport
    from bsv_store.averaging.grouping.grouping import Grouping
    from bsv_store.catalog.selection.selection import Selection
    from bsv_store.vocabulary import (
        AnimalWeight,
        BilateralRule,
        HemisphereRule,
        MissingPolicy,
        Normalization,
        ResultDtype,
        Statistic,
        VolumeKind,
    )

_SECTION = "How to average"


@click.command(cls=SectionedCommand)
@required_selection_options
@grouping_options
@averaging_options(_SECTION)
@missing_option(_SECTION, words="Experiments without a volume, divisor or injected hemisphere that is needed.")
@click.option("--name", required=True, metavar="NAME", help="Dataset that the version belongs to.")
@volume_options
@click.option(
    "--fetch",
    "fetch_first",
    is_flag=True,
    help="First download missing volumes, masks and unionize tables; also replace damaged volumes.",
)
@COMPUTING_WORKERS
@API_URL
@format_option
def aggregate(
    selection: Selection,
    grouping: Grouping,
    normalize: Normalization,
    hemisphere_rule: HemisphereRule,
    bilateral_rule: BilateralRule,
    exclude_injection: bool,
    weight_by_data_mask: bool,
    weight_by: AnimalWeight,
    statistics: tuple[Statistic, ...],
    missing: MissingPolicy,
    dtype: ResultDtype,
    name: str,
    kind: VolumeKind,
    spacing_um: int,
    fetch_first: bool,
    workers: int,
    api_url: str | None,
    output_format: str,
) -> None:
    """Average the volumes of selected experiments by group, as a version of a dataset.

    If a version of the dataset has the same recipe and inputs, it is returned without computing anything.

    \b
    Example:
      bsv-store aggregate --injected-in VISp --line wild-type --group-by AP --bins 5
        --normalize injection-volume --name visual-by-AP
    """  # noqa: D301 (click wants the character)
    from bsv_store.errors import NothingDownloadedError

    with opened_store() as store:
        if fetch_first:
            quiet_retries()
            with progress_bar() as progress:
                try:
                    reports = store.fetch_inputs(
                        selection,
                        kind=kind,
                        spacing_um=spacing_um,
                        exclude_injection=exclude_injection,
                        weight_by_data_mask=weight_by_data_mask,
                        missing=missing,
                        api_url=api_url,
                        progress=progress,
                    )
                except NothingDownloadedError as error:
                    reports = error.reports
            _accept(reports, missing)
        with progress_bar() as progress:
            version = store.aggregate(
                selection,
                name=name,
                group_by=grouping,
                kind=kind,
                spacing_um=spacing_um,
                normalize=normalize,
                hemisphere_rule=hemisphere_rule,
                bilateral_rule=bilateral_rule,
                exclude_injection=exclude_injection,
                weight_by_data_mask=weight_by_data_mask,
                weight_by=weight_by,
                statistics=statistics or ("mean",),
                missing=missing,
                dtype=dtype,
                fetch_damaged=fetch_first,
                api_url=api_url,
                progress=progress,
                workers=workers,
            )
        if version.origin.standing != "local" and (latest := store.dataset(version.name)).number != version.number:
            note(f"{version.ref} is not the latest version: {version.name} alone means {latest.ref}.")
        print_answer(version, output_format)


def _accept(reports: Sequence[UnionizeSyncReport | FetchReport], missing: MissingPolicy) -> None:
    """Print the reports; raise if something is missing that must not be."""
    from bsv_store.errors import UpstreamError

    note_summaries(reports)
    for failure in (failure for report in reports for failure in report.failed):
        note(f"Experiment {failure.experiment_id}: {failure.reason}")
    absent = sum(len(report.reasons) for report in reports)
    if absent and missing == "error":
        raise UpstreamError(
            f"nothing was averaged: {absent} volumes or tables could not be downloaded",
            hint="Run the same command again later, or leave these experiments out: --missing leave-out.",
        )
