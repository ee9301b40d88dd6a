"""``bsv-store plot slices``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bsv_store_cli.help import Command
from bsv_store_cli.options.completion import complete_versions
from bsv_store_cli.options.figure import figure_options
from bsv_store_cli.options.planes import (
    given,
    group_options,
    image_options,
    plane_options,
    quantile_option,
    scale_options,
    source_of_text,
    structure_options,
)
from bsv_store_cli.options.volume import volume_options
from bsv_store_cli.output.figures import write_figure

if TYPE_CHECKING:
    from bsv_store.vocabulary import ColorScale, ComparisonMap, Plane, Statistic, Theme, VolumeKind


@click.command(cls=Command)
@click.argument("source", metavar="NAME[@VERSION]|EXPERIMENT_ID", shell_complete=complete_versions)
@click.argument("target", type=click.Path(path_type=Path), metavar="FILE")
@group_options
@volume_options
@plane_options
@structure_options
@image_options
@scale_options("power; linear for values of both signs")
@quantile_option
@figure_options
def slices(
    source: str,
    target: Path,
    groups: list[int] | None,
    minus: int | None,
    statistic: Statistic | ComparisonMap,
    kind: VolumeKind,
    spacing_um: int,
    plane: Plane,
    through: list[str] | None,
    at_mm: list[float] | None,
    count: int | None,
    outlines: int | list[str | int] | None,
    emphasize: list[str] | None,
    smooth_um: float,
    region_only: list[str] | None,
    background: str | None,
    scale: ColorScale | None,
    vmin: float | None,
    vmax: float | None,
    shared: bool,
    quantile: float,
    title: str | None,
    width_mm: float,
    theme: Theme,
    footer: bool,
    dpi: int,
    overwrite: bool,
) -> None:
    """Draw slices of a dataset version or of experiments (ids separated by commas) into FILE.

    FILE ends in .png, .pdf or .svg. One row per group or experiment, one column per plane, with outlines of structures.

    \b
    Example:
      bsv-store plot slices visual@1 slices.png --through VISp --emphasize VISp
    """  # noqa: D301 (click wants the character)
    from bsv_store import reports

    write_figure(
        target,
        lambda store: reports.slices(
            store,
            source_of_text(source),
            groups=groups,
            minus=minus,
            statistic=statistic,
            kind=given("kind", kind),
            spacing_um=given("spacing_um", spacing_um),
            plane=plane,
            through=through,
            at_mm=at_mm,
            count=count,
            outlines=outlines,
            emphasize=emphasize,
            smooth_um=smooth_um,
            region_only=region_only,
            background=background,
            scale=scale,
            vmin=vmin,
            vmax=vmax,
            shared=shared,
            quantile=quantile,
            title=title,
            width_mm=width_mm,
            theme=theme,
            footer=footer,
        ),
        dpi=dpi,
        overwrite=overwrite,
    )
