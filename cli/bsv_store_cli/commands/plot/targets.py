"""``bsv-store plot targets``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bsv_store.vocabulary import MEASURED_HEMISPHERES
from bsv_store_cli.help import RowChoice, SectionedCommand
from bsv_store_cli.options.completion import complete_structures
from bsv_store_cli.options.figure import figure_options
from bsv_store_cli.options.measure import measure_option
from bsv_store_cli.options.selection import selection_options
from bsv_store_cli.output.figures import write_figure

if TYPE_CHECKING:
    from bsv_store.catalog.selection.selection import Selection
    from bsv_store.vocabulary import Measure, MeasuredHemisphere, Theme


@click.command(cls=SectionedCommand)
@click.argument("target", type=click.Path(path_type=Path), metavar="FILE")
@selection_options
@click.option(
    "--target",
    "targets_",
    multiple=True,
    metavar="ACRONYM",
    shell_complete=complete_structures,
    help="Only these targets; repeatable.",
)
@click.option(
    "--structure-set",
    type=int,
    metavar="ID",
    help="Targets are the structures of this set; 687527670 has the major divisions."
    "  [default: 167587189, the summary structures]",
)
@click.option("--within", metavar="ACRONYM", shell_complete=complete_structures, help="Only targets inside this one.")
@click.option("--include-sources", is_flag=True, help="Include the injected structures.")
@click.option("--include-fiber-tracts", is_flag=True, help="Include fiber tracts and ventricles.")
@measure_option()
@click.option(
    "--hemisphere",
    type=RowChoice(MEASURED_HEMISPHERES, ["both", "ipsilateral", "contralateral"]),
    default="both",
    show_default=True,
    help="Hemisphere of the target by which the structures are sorted.",
)
@click.option(
    "--limit", type=click.IntRange(1), default=20, show_default=True, metavar="N", help="Maximum number of targets."
)
@figure_options
def targets(
    target: Path,
    selection: Selection,
    targets_: tuple[str, ...],
    structure_set: int | None,
    within: str | None,
    include_sources: bool,
    include_fiber_tracts: bool,
    measure: Measure,
    hemisphere: MeasuredHemisphere,
    limit: int,
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
            targets=targets_ or None,
            structure_set=structure_set,
            within=within,
            include_sources=include_sources,
            include_fiber_tracts=include_fiber_tracts,
            measure=measure,
            hemisphere=hemisphere,
            limit=limit,
            title=title,
            width_mm=width_mm,
            theme=theme,
            footer=footer,
        ),
        dpi=dpi,
        overwrite=overwrite,
    )
