"""``bsv-store select``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from bsv_store_cli.help import SectionedCommand
from bsv_store_cli.options.selection import selection_options
from bsv_store_cli.output.experiments import experiment_columns
from bsv_store_cli.output.formats import emit, format_option, print_rows
from bsv_store_cli.output.messages import note
from bsv_store_cli.output.tables import Column, number_of
from bsv_store_cli.session import opened_store

if TYPE_CHECKING:
    from bsv_store.catalog.selection.selection import Selection


_TABLE = (
    *experiment_columns(),
    Column("sex", "sex"),
    Column("product_id", "product"),
    Column("withdrawn", "withdrawn", optional=True),
)


@click.command(cls=SectionedCommand)
@selection_options
@click.option("--ids-only", is_flag=True, help="Print the ids only, one per line.")
@click.option("--show-selection", is_flag=True, help="Print the selection as canonical JSON, for --selection.")
@format_option
def select(selection: Selection, ids_only: bool, show_selection: bool, output_format: str) -> None:
    """List the experiments of a selection.

    Different options must all match; of the values of one option, any. Without options all experiments are listed. JSON
    and CSV have all columns of the view `experiments`.

    \b
    Examples:
      bsv-store select --injected-in VISp --injected-in VISl --line wild-type --injected-hemisphere right
      bsv-store select --projecting-to LGd --ids-only | bsv-store fetch --ids @-
    """  # noqa: D301 (click wants the character)
    if show_selection:
        emit(selection.to_json())
        return
    from bsv_store.catalog.tables.frames import experiments_table

    with opened_store() as store:
        if ids_only:
            ids = store.select(selection)
            if ids:
                emit("\n".join(map(str, ids)))
            return
        with store.database.reading() as connection:
            experiments = experiments_table(connection, selection)
    print_rows(experiments.to_dicts(), output_format, columns=experiments.columns, table=_TABLE)
    note(number_of(len(experiments), "experiment"))
