"""``bsv-store matrix``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from bsv_store_cli.help import SectionedCommand, WordChoice, library_name
from bsv_store_cli.options.selection import selection_options
from bsv_store_cli.output.formats import emit, format_option, frame_rows, print_rows
from bsv_store_cli.output.messages import note
from bsv_store_cli.session import note_uncovered, opened_store

if TYPE_CHECKING:
    from bsv_store.catalog.selection.selection import Selection


@click.command(cls=SectionedCommand)
@selection_options
@click.option("--by-experiment", is_flag=True, help="A row for each experiment instead of each source structure.")
@click.option("--source", "sources", multiple=True, metavar="ACRONYM", help="Pool experiments by these; repeatable.")
@click.option("--target", "targets", multiple=True, metavar="ACRONYM", help="Only these targets; repeatable.")
@click.option("--set", "structure_set", type=int, metavar="ID", help="Set of targets.  [default: 167587189, summary]")
@click.option(
    "--hemisphere",
    "hemispheres",
    multiple=True,
    type=WordChoice(["ipsilateral", "contralateral", "left", "right", "both"]),
    help="Hemisphere of the targets; repeatable.  [default: ipsilateral and contralateral]",
)
@click.option(
    "--values",
    "matrix_measure",
    default="normalized_projection_volume",
    show_default=True,
    metavar="NAME",
    callback=library_name,
    help="Unionize measure in the cells.",
)
@click.option(
    "--statistic",
    type=WordChoice(["mean", "median", "n"]),
    default="mean",
    show_default=True,
    help="Over the experiments of a source; n is how many they are.",
)
@click.option("--as-sql", is_flag=True, help="Print the one SQL statement that gives the cells by source instead.")
@format_option
def matrix(
    selection: Selection,
    by_experiment: bool,
    hemispheres: tuple[str, ...],
    matrix_measure: str,
    as_sql: bool,
    output_format: str,
    **options: Any,
) -> None:
    """Tabulate the signal of experiments or source structures in target structures, in ontology order.

    No signal is 0; a cell is empty where the experiments' unionize rows are not in the store.

    \b
    Example:
      bsv-store matrix --injected-in Isocortex --line wild-type --hemisphere ipsilateral --format csv
    """  # noqa: D301 (click wants the character)
    chosen = {name: value for name, value in options.items() if value not in (None, ())}
    chosen["measure"] = matrix_measure
    if hemispheres:
        chosen["hemisphere"] = hemispheres
    with opened_store() as store:
        if as_sql:
            if by_experiment:
                raise click.UsageError("--as-sql gives the matrix by source; leave --by-experiment out")
            emit(store.catalog.matrix_sql(selection, **chosen))
            return
        note_uncovered(store, selection)
        frame = store.catalog.matrix(selection, rows="experiments" if by_experiment else "sources", **chosen)
    frame.columns = [" ".join(name) for name in frame.columns.to_flat_index()]
    rows = frame_rows(frame.reset_index())
    print_rows(rows, output_format, columns=[str(frame.index.name), *frame.columns])
    note(f"{frame.shape[0]:,} rows x {frame.shape[1]:,} columns of {matrix_measure}")
