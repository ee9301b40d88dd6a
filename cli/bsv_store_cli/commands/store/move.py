"""``bsv-store store move``."""

from __future__ import annotations

import click

from bsv_store_cli.help import Command
from bsv_store_cli.output.messages import note
from bsv_store_cli.output.tables import number_of
from bsv_store_cli.session import store_folder


@click.command(cls=Command)
@click.option("--database", required=True, metavar="URL", help="An empty Postgres database, or sqlite.")
def move(database: str) -> None:
    """Move the catalog of the store from SQLite to Postgres, or back.

    All rows are copied and compared while writers wait; then store.toml is changed. The old database keeps its rows,
    but can neither be opened as a store nor changed. If the move is interrupted, run it again.
    """
    from bsv_store.store.restoring import move_store

    report = move_store(store_folder(), database=database)
    if report.rows is None:
        note("Completed a move that was interrupted.")
    else:
        note(f"Copied and compared {number_of(report.rows, 'row')}.")
    note(f"The catalog is now in {report.after}. The former one, in {report.before}, is not used any more.")
    if report.after != "sqlite":
        note("Give other accounts of the server access to it: bsv-store db grant --reader ACCOUNT")
