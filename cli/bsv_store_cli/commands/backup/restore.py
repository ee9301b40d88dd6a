"""``bsv-store backup restore``."""

from __future__ import annotations

from pathlib import Path

import click

from bsv_store.text import store_option
from bsv_store_cli.help import Command
from bsv_store_cli.output.formats import format_option, print_json, print_rows, say
from bsv_store_cli.output.messages import note
from bsv_store_cli.output.progress import progress_bar
from bsv_store_cli.output.tables import number_of


@click.command(cls=Command)
@click.argument("target")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--snapshot", metavar="ID", help="The beginning of an id, or latest.  [default: latest]")
@click.option(
    "--database",
    metavar="URL",
    help="An empty Postgres database, such as postgresql://user@host/database.  [default: SQLite in the folder]",
)
@format_option
def restore(target: str, folder: Path, snapshot: str | None, database: str | None, output_format: str) -> None:
    """Restore a snapshot into FOLDER, which must be new or empty, and print the folder.

    Every byte is checked. If the restore is interrupted, run it again. A store on Postgres can be restored to SQLite,
    and vice versa.
    """
    from bsv_store.store.restoring import restore_store
    from bsv_store.text import size_text

    with progress_bar() as progress:
        report = restore_store(target, folder, snapshot=snapshot, database=database, progress=progress)
    found = report.snapshot
    note(
        f"Restored snapshot {found.short_id} of {found.created_at:%Y-%m-%d %H:%M}Z: "
        f"{number_of(report.files, 'file')}, {size_text(report.size_bytes)}, every byte checked."
    )
    if report.compared_rows is not None:
        note(f"Compared {number_of(report.compared_rows, 'row')} of the database with the snapshot.")
    if report.upgraded_from is not None:
        note(f"Upgraded the schema from revision {report.upgraded_from}.")
    for name, number in sorted(report.raised_numbers.items()):
        note(f"Versions of {name} up to {number} existed after this snapshot; their numbers are not assigned again.")
    for each in found.problems:
        note(f"not in the snapshot, {each.problem} when it was taken: {each.path}")
    note(
        f"The restored store has the id of the original ({found.store_id}). If both are used, datasets with the same "
        "name and number may differ: use only one of them to compute."
    )
    if report.database != "sqlite":
        note(
            "Give other accounts of the server access to it: "
            f"bsv-store {store_option(report.path)} db grant --writer ACCOUNT --apply"
        )
    row = {
        **{"path": str(report.path), "database": report.database, "snapshot": found.id, "files": report.files},
        **{"size_bytes": report.size_bytes, "compared_rows": report.compared_rows, "store_id": found.store_id},
        "missing_files": len(found.problems),
    }
    if output_format == "json":
        print_json(row)
    elif output_format == "csv":
        print_rows([row], "csv", columns=list(row))
    else:
        say(str(report.path))
    if found.problems:
        click.get_current_context().exit(1)
