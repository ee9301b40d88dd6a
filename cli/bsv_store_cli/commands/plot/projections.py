"""``bsv-store plot projections``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bsv_store_cli.help import Command
from bsv_store_cli.options.completion import complete_versions
from bsv_store_cli.options.figure import figure_options
from bsv_store_cli.options.planes import (
    emphasize_option,
    given,
    group_options,
    quantile_option,
    scale_options,
    source_of_text,
)
from bsv_store_cli.options.volume import volume_options
from bsv_store_cli.output.figures import write_figure

if TYPE_CHECKING:
    from bsv_store.vocabulary import ColorScale, ComparisonMap, Statistic, Theme, VolumeKind


@click.command(cls=Command)
@click.argument("source", metavar="NAME[@VERSION]|EXPERIMENT_ID", shell_complete=complete_versions)
@click.argument("target", type=click.Path(path_type=Path), metavar="FILE")
@group_options
@volume_options
@emphasize_option
@scale_options("linear")
@quantile_option
@figure_options
def projections(
    source: str,
    target: Path,
    groups: list[int] | None,
    minus: int | None,
    statistic: Statistic | ComparisonMap,
    kind: VolumeKind,
    spacing_um: int,
    emphasize: list[str] | None,
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
    """Draw maximum projections of a dataset version or of experiments (ids separated by commas) into FILE.

    FILE ends in .png, .pdf or .svg. One row per group or experiment, seen from above, from the front and from the left.

    \b
    Example:
      bsv-store plot projections visual@1 projections.png --emphasize VISp
    """  # noqa: D301 (click wants the character)
    from bsv_store import reports

    write_figure(
        target,
        lambda store: reports.projections(
            store,
            source_of_text(source),
            groups=groups,
            minus=minus,
            statistic=statistic,
            kind=given("kind", kind),
            spacing_um=given("spacing_um", spacing_um),
            emphasize=emphasize,
            scale=scale or "linear",
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
