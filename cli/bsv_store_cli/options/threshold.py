"""Options and output of the commands that find voxels above a threshold."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from bsv_store.vocabulary import SUMMARY_STRUCTURE_SET_ID, THRESHOLD_RULES
from bsv_store_cli.help import RowChoice
from bsv_store_cli.options.completion import complete_structures
from bsv_store_cli.options.limit import limit_and_format_options
from bsv_store_cli.output.messages import note
from bsv_store_cli.output.reports import print_by_annotation
from bsv_store_cli.output.tables import Column, count, fixed

if TYPE_CHECKING:
    from bsv_store.atlas.thresholds import ThresholdedVolume

_Command = TypeVar("_Command", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--rule",
        type=RowChoice(THRESHOLD_RULES),
        default="absolute",
        show_default=True,
        help="; ".join(f"{row.name.replace('_', '-')}: {row.words}" for row in THRESHOLD_RULES.values()) + ".",
    ),
    click.option(
        "--within",
        multiple=True,
        metavar="ACRONYM",
        shell_complete=complete_structures,
        help="Only voxels of this structure; repeatable.",
    ),
    click.option("--positive-only", is_flag=True, help="Percentile, mean and deviation of the voxels above 0."),
    click.option(
        "--structure",
        "structures",
        multiple=True,
        metavar="ACRONYM",
        shell_complete=complete_structures,
        help="Show this structure; repeatable.",
    ),
    click.option(
        "--structure-set",
        type=int,
        metavar="ID",
        help=f"Or the structures of this set.  [default: {SUMMARY_STRUCTURE_SET_ID}, the summary structures]",
    ),
    click.option(
        "-o", "--output", "target", type=click.Path(path_type=Path), metavar="FILE", help="Image file for the mask."
    ),
    click.option("--overwrite", is_flag=True, help="Replace FILE if it exists."),
)
_TABLE = (
    Column("structure", "structure"),
    Column("name", "name"),
    Column("hemisphere", "hemisphere"),
    Column("voxels", "voxels", count),
    Column("above_voxels", "above", count),
    Column("above_share", "share", fixed(3)),
    Column("mean", "mean"),
    Column("above_mean", "mean above"),
)


def threshold_options(command: _Command) -> _Command:
    """Add the options to a command."""
    command = limit_and_format_options(10, "Maximum number of structures.")(command)
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def print_thresholded(
    volume: ThresholdedVolume,
    output_format: str,
    *,
    structures: tuple[str, ...],
    structure_set: int | None,
    limit: int | None,
    target: Path | None,
    overwrite: bool,
) -> None:
    """Write the mask if requested, and print the structures."""
    frame = volume.regions(structures or None, structure_set=structure_set, limit=limit)
    if target is not None:
        volume.export(target, overwrite=overwrite)
        note(f"Wrote {target}.")
    print_by_annotation(frame, output_format, table=_TABLE)
    note(f"{int(volume.mask.sum()):,} voxels above {volume.cutoff:g}")
