"""``bsv-store matrix``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from bsv_store.vocabulary import MATRIX_LAYOUTS, MATRIX_ROWS, MATRIX_STATISTICS, MEASURED_HEMISPHERES
from bsv_store_cli.help import RowChoice, SectionedCommand
from bsv_store_cli.options.completion import complete_structures
from bsv_store_cli.options.limit import limit_and_format_options
from bsv_store_cli.options.measure import measure_option
from bsv_store_cli.options.selection import selection_options
from bsv_store_cli.output.formats import emit, frame_rows, print_rows
from bsv_store_cli.output.messages import note
from bsv_store_cli.output.tables import number_of
from bsv_store_cli.session import opened_store

if TYPE_CHECKING:
    from bsv_store.catalog.selection.selection import Selection
    from bsv_store.vocabulary import MatrixLayout, MatrixRows, MatrixStatistic, Measure, MeasuredHemisphere


@click.command(cls=SectionedCommand)
@selection_options
@click.option(
    "--rows",
    "matrix_rows",
    type=RowChoice(MATRIX_ROWS),
    default="sources",
    show_default=True,
    help="One row per source structure, or per experiment.",
)
@click.option(
    "--source",
    "sources",
    multiple=True,
    metavar="ACRONYM",
    shell_complete=complete_structures,
    help="Pool experiments by these; repeatable.",
)
@click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="ACRONYM",
    shell_complete=complete_structures,
    help="Only these targets; repeatable.",
)
@click.option(
    "--structure-set",
    type=int,
    metavar="ID",
    help="Targets are the structures of this set.  [default: 167587189, the summary structures]",
)
@click.option(
    "--hemisphere",
    "hemispheres",
    multiple=True,
    metavar="SIDE",
    type=RowChoice(MEASURED_HEMISPHERES),
    help="Hemisphere of the targets: ipsilateral, contralateral, left, right, both; repeatable."
    "  [default: ipsilateral and contralateral]",
)
@measure_option()
@click.option(
    "--statistic",
    type=RowChoice(MATRIX_STATISTICS),
    default="mean",
    show_default=True,
    help="Over the experiments of a source; n is their number.",
)
@click.option("--as-sql", is_flag=True, help="Print the SQL statement that computes the matrix by source instead.")
@click.option(
    "--layout",
    type=RowChoice(MATRIX_LAYOUTS),
    default="wide",
    show_default=True,
    help="; ".join(f"{row.name}: {row.words}" for row in MATRIX_LAYOUTS.values()) + ".",
)
@click.option("--all", "show_all", is_flag=True, help="Print all targets, also in a table.")
@limit_and_format_options(8, "Maximum number of targets, or of rows of the long layout: the largest values.")
def matrix(
    selection: Selection,
    matrix_rows: MatrixRows,
    sources: tuple[str, ...],
    targets: tuple[str, ...],
    structure_set: int | None,
    hemispheres: tuple[MeasuredHemisphere, ...],
    measure: Measure,
    statistic: MatrixStatistic,
    as_sql: bool,
    layout: MatrixLayout,
    show_all: bool,
    limit: int | None,
    output_format: str,
) -> None:
    """Print the signal of experiments or source structures in target structures.

    Rows and columns are in ontology order; the long layout begins with the largest value. No signal is 0; a cell is
    empty if the unionize tables of the experiments are not in the store.

    \b
    Example:
      bsv-store matrix --injected-in Isocortex --line wild-type --hemisphere ipsilateral --format csv
    """  # noqa: D301 (click wants the character)
    hemisphere = hemispheres or ("ipsilateral", "contralateral")
    with opened_store() as store:
        if as_sql:
            if matrix_rows != "sources":
                raise click.UsageError("--as-sql cannot be combined with --rows experiments")
            statement = store.catalog.matrix_sql(
                selection,
                sources=sources or None,
                targets=targets or None,
                structure_set=structure_set,
                hemisphere=hemisphere,
                measure=measure,
                statistic=statistic,
            )
            emit(statement)
            return
        frame = store.catalog.matrix(
            selection,
            rows=matrix_rows,
            sources=sources or None,
            targets=targets or None,
            structure_set=structure_set,
            hemisphere=hemisphere,
            measure=measure,
            statistic=statistic,
            layout=layout,
            limit=None if show_all else limit,
        )
    if layout != "long":
        if layout == "wide":
            frame.columns = [" ".join(name) for name in frame.columns.to_flat_index()]
        frame = frame.reset_index()
        frame.columns = [str(name) for name in frame.columns]
    print_rows(frame_rows(frame), output_format, columns=list(frame.columns))
    is_cut = not show_all and limit is not None
    note(
        f"{number_of(frame.shape[0], 'row')} x {number_of(frame.shape[1], 'column')} of {measure}"
        + (f", limited to {limit:,} {'rows' if layout == 'long' else 'targets'} (--limit, --all)" if is_cut else "")
    )
