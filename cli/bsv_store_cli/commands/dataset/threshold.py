"""``bsv-store dataset threshold``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bsv_store.vocabulary import STATISTICS
from bsv_store_cli.help import Command, RowChoice
from bsv_store_cli.options.dataset import REF
from bsv_store_cli.options.threshold import print_thresholded, threshold_options
from bsv_store_cli.session import opened_store

if TYPE_CHECKING:
    from bsv_store.vocabulary import Statistic, ThresholdRule


@click.command(cls=Command)
@REF
@click.argument("threshold", type=float)
@click.option("--group", type=int, default=0, show_default=True, metavar="N", help="Group.")
@click.option("--statistic", type=RowChoice(STATISTICS), default="mean", show_default=True, help="Of the version.")
@threshold_options
def threshold(
    ref: str,
    threshold: float,
    group: int,
    statistic: Statistic,
    rule: ThresholdRule,
    within: tuple[str, ...],
    positive_only: bool,
    structures: tuple[str, ...],
    structure_set: int | None,
    target: Path | None,
    overwrite: bool,
    limit: int | None,
    output_format: str,
) -> None:
    """Find the voxels of a group above a threshold; show the structures with the largest share.

    \b
    Example:
      bsv-store dataset threshold visual-by-AP 2 --rule z-score --within grey -o above.nrrd
    """  # noqa: D301 (click wants the character)
    with opened_store() as store:
        found = store.datasets.threshold(
            ref,
            threshold,
            group=group,
            statistic=statistic,
            rule=rule,
            within=within or None,
            positive_only=positive_only,
        )
        print_thresholded(
            found,
            output_format,
            structures=structures,
            structure_set=structure_set,
            limit=limit,
            target=target,
            overwrite=overwrite,
        )
