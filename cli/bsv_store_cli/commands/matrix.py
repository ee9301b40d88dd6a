"""``bsv-store matrix``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from bsv_store.vocabulary import MATRIX_ROWS, MATRIX_STATISTICS, MEASURED_HEMISPHERES, MEASURES
from bsv_store_cli.help import RowChoice, SectionedCommand
from bsv_store_cli.options.completion import complete_structures
from bsv_store_cli.options.selection import selection_options
from bsv_store_cli.output.formats import emit, format_option, frame_rows, print_rows
from bsv_store_cli.output.messages import note
from bsv_store_cli.session import opened_store

if TYPE_CHECKING:
    from bsv_store.catalog.selection.selection import Selection
    from bsv_store.vocabulary import MatrixRows, MatrixStatistic, Measure, MeasuredHemisphere


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
@click.option(
    "--measure",
    type=RowChoice(MEASURES),
    metavar="MEASURE",
    default="normalized-projection-volume",
    show_default=True,
    help="Measure of the signal.",
)
@click.option(
    "--statistic",
    type=RowChoice(MATRIX_STATISTICS),
    default="mean",
    show_default=True,
    help="Over the experiments of a source; n is their number.",
)
@click.option("--as-sql", is_flag=True, help="Print the SQL statement that computes the matrix by source instead.")
@format_option
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
    output_format: str,
) -> None:
    """Print the signal of experiments or source structures in target structures, in ontology order.

    No signal is 0; a cell is empty if the unionize tables of the experiments are not in the store.

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
        )
    frame.columns = [" ".join(name) for name in frame.columns.to_flat_index()]
    rows = frame_rows(frame.reset_index())
    print_rows(rows, output_format, columns=[str(frame.index.name), *frame.columns])
    note(f"{frame.shape[0]:,} rows x {frame.shape[1]:,} columns of {measure}")
