"""``bsv-store volume threshold``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bsv_store_cli.help import Command
from bsv_store_cli.options.completion import complete_experiment
from bsv_store_cli.options.threshold import print_thresholded, threshold_options
from bsv_store_cli.options.volume import hemisphere_rule_option, volume_options
from bsv_store_cli.session import opened_store

if TYPE_CHECKING:
    from bsv_store.vocabulary import HemisphereRule, ThresholdRule, VolumeKind


@click.command(cls=Command)
@click.argument("experiment_id", type=click.IntRange(min=1), shell_complete=complete_experiment)
@click.argument("threshold", type=float)
@volume_options
@hemisphere_rule_option
@threshold_options
def threshold(
    experiment_id: int,
    threshold: float,
    kind: VolumeKind,
    spacing_um: int,
    hemisphere_rule: HemisphereRule,
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
    """Find the voxels of a volume above a threshold; show the structures with the largest share.

    \b
    Example:
      bsv-store volume threshold 158375425 0.1 -o above.nrrd
      bsv-store volume threshold 158375425 95 --rule percentile --within grey
    """  # noqa: D301 (click wants the character)
    with opened_store() as store:
        found = store.volumes.threshold(
            experiment_id,
            threshold,
            rule=rule,
            within=within or None,
            positive_only=positive_only,
            kind=kind,
            spacing_um=spacing_um,
            hemisphere_rule=hemisphere_rule,
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
