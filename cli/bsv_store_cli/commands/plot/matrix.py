"""``bsv-store plot matrix``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bsv_store.vocabulary import (
    MATRIX_ORDERS,
    MATRIX_SCALES,
)
from bsv_store_cli.help import RowChoice, SectionedCommand
from bsv_store_cli.options.figure import figure_options
from bsv_store_cli.options.limit import figure_limit_options
from bsv_store_cli.options.matrix import matrix_options
from bsv_store_cli.options.selection import selection_options
from bsv_store_cli.output.figures import write_figure

if TYPE_CHECKING:
    from bsv_store.catalog.selection.selection import Selection
    from bsv_store.vocabulary import (
        MatrixOrder,
        MatrixRows,
        MatrixScale,
        MatrixStatistic,
        Measure,
        MeasuredHemisphere,
        Theme,
    )


@click.command(cls=SectionedCommand)
@click.argument("target", type=click.Path(path_type=Path), metavar="FILE")
@selection_options
@matrix_options
@click.option(
    "--order", type=RowChoice(MATRIX_ORDERS), default="ontology", show_default=True, help="Order of rows and columns."
)
@click.option(
    "--scale", type=RowChoice(MATRIX_SCALES), help="Color scale.  [default: log; linear for numbers of experiments]"
)
@figure_limit_options(
    None, "Draw only the N targets with the largest values.", everything="Draw all targets, as by default."
)
@figure_options
def matrix(
    target: Path,
    selection: Selection,
    matrix_rows: MatrixRows,
    sources: tuple[str, ...],
    targets: tuple[str, ...],
    structure_set: int | None,
    hemispheres: tuple[MeasuredHemisphere, ...],
    measure: Measure,
    statistic: MatrixStatistic,
    order: MatrixOrder,
    scale: MatrixScale | None,
    limit: int | None,
    title: str | None,
    width_mm: float,
    theme: Theme,
    footer: bool,
    dpi: int,
    overwrite: bool,
) -> None:
    """Draw the projection matrix as a heat map into FILE (.png, .pdf or .svg).

    The numbers are those of `bsv-store matrix`. Sources without data are left out.

    \b
    Example:
      bsv-store plot matrix matrix.pdf --injected-in Isocortex --limit 60
    """  # noqa: D301 (click wants the character)
    from bsv_store.reports import matrix_map

    write_figure(
        target,
        lambda store: matrix_map(
            store,
            selection,
            rows=matrix_rows,
            sources=sources or None,
            targets=targets or None,
            structure_set=structure_set,
            hemisphere=hemispheres or ("ipsilateral", "contralateral"),
            measure=measure,
            statistic=statistic,
            order=order,
            scale=scale,
            limit=limit,
            title=title,
            width_mm=width_mm,
            theme=theme,
            footer=footer,
        ),
        dpi=dpi,
        overwrite=overwrite,
    )
