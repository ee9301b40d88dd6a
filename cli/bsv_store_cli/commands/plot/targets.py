"""``bsv-store plot targets``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bsv_store_cli.help import SectionedCommand
from bsv_store_cli.options.figure import figure_options
from bsv_store_cli.options.limit import figure_limit_options
from bsv_store_cli.options.measure import measure_option
from bsv_store_cli.options.ranking import sorting_hemisphere_option, target_options, weight_option
from bsv_store_cli.options.selection import selection_options
from bsv_store_cli.output.figures import write_figure

if TYPE_CHECKING:
    from bsv_store.catalog.selection.selection import Selection
    from bsv_store.vocabulary import AnimalWeight, Measure, MeasuredHemisphere, Theme


@click.command(cls=SectionedCommand)
@click.argument("target", type=click.Path(path_type=Path), metavar="FILE")
@selection_options
@target_options
@measure_option()
@sorting_hemisphere_option
@weight_option
@figure_limit_options(20, "Maximum number of targets.", everything="Draw all targets.")
@figure_options
def targets(
    target: Path,
    selection: Selection,
    targets: tuple[str, ...],
    structure_set: int | None,
    within: str | None,
    include_sources: bool,
    include_fiber_tracts: bool,
    measure: Measure,
    hemisphere: MeasuredHemisphere,
    weight_by: AnimalWeight,
    limit: int | None,
    title: str | None,
    width_mm: float,
    theme: Theme,
    footer: bool,
    dpi: int,
    overwrite: bool,
) -> None:
    """Draw the strongest targets into FILE (.png, .pdf or .svg): means, standard errors and every animal.

    The numbers are those of `bsv-store targets`.

    \b
    Example:
      bsv-store plot targets targets.pdf --injected-in VISp --line wild-type --within TH
    """  # noqa: D301 (click wants the character)
    from bsv_store.reports import ranked_targets

    write_figure(
        target,
        lambda store: ranked_targets(
            store,
            selection,
            targets=targets or None,
            structure_set=structure_set,
            within=within,
            include_sources=include_sources,
            include_fiber_tracts=include_fiber_tracts,
            measure=measure,
            hemisphere=hemisphere,
            weight_by=weight_by,
            limit=limit,
            title=title,
            width_mm=width_mm,
            theme=theme,
            footer=footer,
        ),
        dpi=dpi,
        overwrite=overwrite,
    )
