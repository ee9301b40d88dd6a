"""``bsv-store plot overlay``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bsv_store_cli.help import Command
from bsv_store_cli.options.figure import figure_options
from bsv_store_cli.options.planes import (
    given,
    plane_options,
    quantile_option,
    scale_option,
    smooth_option,
    source_of_text,
    structure_options,
    vmax_option,
)
from bsv_store_cli.options.volume import volume_options
from bsv_store_cli.output.figures import write_figure

if TYPE_CHECKING:
    from bsv_store.reports.sources import SourceRef
    from bsv_store.vocabulary import ColorScale, Plane, Theme, VolumeKind


@click.command(cls=Command)
@click.argument("sources", nargs=-1, required=True, metavar="[LABEL=]SOURCE...")
@click.argument("target", type=click.Path(path_type=Path), metavar="FILE")
@click.option("--color", "colors", multiple=True, metavar="COLOR", help="Color of a source, in order; repeatable.")
@volume_options
@plane_options
@structure_options
@smooth_option
@scale_option("power")
@vmax_option
@click.option("--shared/--per-source", default=False, help="One scale for all sources, or one for each (the default).")
@quantile_option
@figure_options
def overlay(
    sources: tuple[str, ...],
    target: Path,
    colors: tuple[str, ...],
    kind: VolumeKind,
    spacing_um: int,
    plane: Plane,
    through: list[str] | None,
    at_mm: list[float] | None,
    count: int | None,
    outlines: int | list[str | int] | None,
    emphasize: list[str] | None,
    smooth_um: float,
    scale: ColorScale | None,
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
    """Draw several sources in the same slices, each in its own color, into FILE (.png, .pdf or .svg).

    A SOURCE is a dataset version, whose groups have their own colors, or experiment ids separated by commas, of which
    the mean is drawn. Name it in the legend with LABEL=SOURCE.

    \b
    Example:
      bsv-store plot overlay VISp=visual@1 VPM=158375425 overlay.png --through SSp
    """  # noqa: D301 (click wants the character)
    from bsv_store import reports

    parts = [text.rpartition("=") for text in sources]
    refs = [source_of_text(ref) for _, _, ref in parts]
    labels = [label for label, _, _ in parts]
    if any(labels) and not all(labels):
        raise click.UsageError("Label all sources or none (LABEL=SOURCE).")
    if len(set(labels)) != len(labels) and any(labels):
        raise click.UsageError("Labels must differ.")
    named: Mapping[str, SourceRef] | Sequence[SourceRef] = dict(zip(labels, refs, strict=True)) if all(labels) else refs
    write_figure(
        target,
        lambda store: reports.overlay(
            store,
            named,
            colors=list(colors) or None,
            kind=given("kind", kind),
            spacing_um=given("spacing_um", spacing_um),
            plane=plane,
            through=through,
            at_mm=at_mm,
            count=count,
            outlines=outlines,
            emphasize=emphasize,
            smooth_um=smooth_um,
            scale=scale or "power",
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
