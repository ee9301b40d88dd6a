"""``bsv-store matrix``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from bsv_store.vocabulary import MATRIX_LAYOUTS
from bsv_store_cli.help import RowChoice, SectionedCommand
from bsv_store_cli.options.limit import limit_and_format_options
from bsv_store_cli.options.matrix import matrix_options
from bsv_store_cli.options.selection import selection_options
from bsv_store_cli.output.formats import emit, frame_rows, print_rows
from bsv_store_cli.output.messages import note
from bsv_store_cli.output.tables import number_of
from bsv_store_cli.session import opened_store

if TYPE_CHECKING:
    import pandas as pd

    from bsv_store.catalog.selection.selection import Selection
    from bsv_store.vocabulary import MatrixLayout, MatrixRows, MatrixStatistic, Measure, MeasuredHemisphere


@click.command(cls=SectionedCommand)
@selection_options
@matrix_options
@click.option("--as-sql", is_flag=True, help="Print the SQL statement that computes the matrix by source instead.")
@click.option(
    "--layout",
    type=RowChoice(MATRIX_LAYOUTS),
    default="wide",
    show_default=True,
    help="; ".join(f"{row.name}: {row.words}" for row in MATRIX_LAYOUTS.values()) + ".",
)
@limit_and_format_options(
    8,
    "Maximum number of targets, or of rows of the long layout: the largest values.",
    everything="Print all targets, also in a table.",
)
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
    limit: int | None,
    output_format: str,
) -> None:
    """Print the signal of experiments or source structures in target structures.

    Rows and columns are in ontology order; the long layout begins with the largest value. No signal is 0; a cell is
    empty if the unionize tables of the experiments are not in the store, or their injected hemisphere is not known and
    the column is relative to it. Sources without any value are left out of a printed table; --format csv has them all.

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
            limit=limit,
        )
    if layout == "long":
        counted, count = "rows", frame.shape[0]
    else:
        axis = frame.columns if layout == "wide" else frame.index
        counted, count = "targets", axis.get_level_values("target").nunique()
    without_data = 0
    what = "experiment" if matrix_rows == "experiments" else "source"
    size = number_of(frame.shape[0], "row")
    if layout != "long":
        if output_format == "table":
            frame, without_data = _with_data(frame, layout)
        size = f"{number_of(frame.shape[0], what)} x {number_of(frame.shape[1], 'column')}"
        if layout == "transposed":
            size = f"{number_of(frame.shape[0], 'row')} x {number_of(frame.shape[1], what)}"
        if layout == "wide":
            frame.columns = [" ".join(name) for name in frame.columns.to_flat_index()]
        frame = frame.reset_index()
        frame.columns = [str(name) for name in frame.columns]
    print_rows(frame_rows(frame), output_format, columns=list(frame.columns))
    if without_data:
        note(f"{number_of(without_data, what)} without a value left out of the table; --format csv includes them")
    limited = "" if limit is None or count < limit else f", limited to {limit:,} {counted} (--limit, --all)"
    note(f"{size} of {measure}{limited}")


def _with_data(frame: pd.DataFrame, layout: MatrixLayout) -> tuple[pd.DataFrame, int]:
    """The sources or experiments with any value, and the number of the others."""
    axis = 0 if layout == "transposed" else 1
    known = frame.notna().any(axis=axis)
    return (frame.loc[:, known] if layout == "transposed" else frame[known]), int((~known).sum())
