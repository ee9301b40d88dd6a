"""``bsv-store select``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from bsv_store_cli.help import SectionedCommand
from bsv_store_cli.options.limit import limit_and_format_options
from bsv_store_cli.options.selection import selection_options
from bsv_store_cli.output.experiments import experiment_columns
from bsv_store_cli.output.formats import emit, print_rows
from bsv_store_cli.output.messages import note
from bsv_store_cli.output.tables import Column, number_of
from bsv_store_cli.session import opened_store

if TYPE_CHECKING:
    from bsv_store.catalog.selection.selection import Selection

_TABLE_LIMIT = 50
_TABLE = (
    *experiment_columns(),
    Column("sex", "sex", spare=True),
    Column("product_id", "product", spare=True),
    Column("withdrawn", "withdrawn", optional=True),
)


@click.command(cls=SectionedCommand)
@selection_options
@click.option("--ids-only", is_flag=True, help="Print the ids only, one per line.")
@click.option("--show-selection", is_flag=True, help="Print the selection as canonical JSON, for --selection.")
@click.option("--all", "everything", is_flag=True, help="All experiments of the selection, also as a table.")
@limit_and_format_options(_TABLE_LIMIT, "Maximum number of experiments to print, in the order of their ids.")
@click.pass_context
def select(
    context: click.Context,
    selection: Selection,
    ids_only: bool,
    show_selection: bool,
    everything: bool,
    limit: int | None,
    output_format: str,
) -> None:
    """List the experiments of a selection.

    Different options must all match; of the values of one option, any. Without options all experiments are selected.
    JSON and CSV have all columns of the view `experiments`.

    \b
    Examples:
      bsv-store select --injected-in VISp --injected-in VISl --line wild-type --injected-hemisphere right
      bsv-store select --projecting-to LGd --ids-only | bsv-store fetch --ids @-
    """  # noqa: D301 (click wants the character)
    is_limited = context.get_parameter_source("limit") is ParameterSource.COMMANDLINE
    if is_limited and everything:
        raise click.UsageError("--all and --limit cannot be combined")
    if everything or (ids_only and not is_limited):
        limit = None
    if show_selection:
        emit(selection.to_json())
        return
    from bsv_store.catalog.tables.frames import experiments_table

    with opened_store() as store:
        if ids_only:
            ids = store.select(selection)[:limit]
            if ids:
                emit("\n".join(map(str, ids)))
            return
        with store.database.reading() as connection:
            experiments = experiments_table(connection, selection)
    print_rows(experiments.to_dicts()[:limit], output_format, columns=experiments.columns, table=_TABLE)
    if limit is not None and limit < len(experiments):
        note(f"The first {limit:,} of {number_of(len(experiments), 'experiment')}; --all prints all.")
    else:
        note(number_of(len(experiments), "experiment"))
