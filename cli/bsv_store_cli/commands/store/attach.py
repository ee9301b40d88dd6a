"""``bsv-store store attach``."""

from __future__ import annotations

from pathlib import Path

import click

from bsv_store_cli.help import Command
from bsv_store_cli.output.messages import note
from bsv_store_cli.output.tables import number_of
from bsv_store_cli.session import store_folder


@click.command(cls=Command)
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@click.option(
    "--database",
    metavar="URL",
    help="Postgres URL without a password, or sqlite.  [default: that of store.toml, or catalog.db in the folder]",
)
@click.option("--force", is_flag=True, help="Attach it even if most of the expected files are not there.")
def attach(folder: Path | None, database: str | None, force: bool) -> None:
    """Attach FOLDER to its database: after store.toml was lost, or the folder was moved, restored or copied.

    Writes store.toml again if it is missing or damaged. A Postgres database has one folder: the one that was attached
    before cannot be opened any more. FOLDER defaults to the store.
    """
    from bsv_store.store.restoring import attach_store

    report = attach_store(folder if folder is not None else store_folder(), database=database, force=force)
    if report.was_written:
        note(f"Wrote {report.path / 'store.toml'} for the store {report.store_id}.")
    note(f"Attached {report.path} to {report.database}: {number_of(report.expected, 'file')} expected.")
    if report.missing:
        note(f"{number_of(report.missing, 'file')} of them missing. Show and repair them: bsv-store verify, repair")
        click.get_current_context().exit(1)
