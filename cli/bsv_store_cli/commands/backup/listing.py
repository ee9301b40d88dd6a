"""``bsv-store backup list``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from bsv_store.text import size_text
from bsv_store_cli.help import Command
from bsv_store_cli.output.formats import format_option, print_rows
from bsv_store_cli.output.messages import note
from bsv_store_cli.output.tables import Column, cell, count, day_time

if TYPE_CHECKING:
    from bsv_store.maintenance.backup.manifest import Snapshot

COLUMNS = (
    *("snapshot", "created_at", "host", "user", "store_id", "store_path", "engine", "revision", "release"),
    *("files", "size_bytes", "new_files", "new_bytes", "missing_files"),
)


def size(value: Any) -> str:
    """The text of a number of bytes."""
    return cell(value) if value is None else size_text(value)


def short(value: Any) -> str:
    """The beginning of an id."""
    return cell(value)[:8]


TABLE = (
    Column("snapshot", "id", short),
    Column("created_at", "time", day_time),
    Column("host", "host"),
    Column("store_path", "store"),
    Column("files", "files", count),
    Column("size_bytes", "size", size, right=True),
    Column("new_bytes", "new", size, right=True),
    Column("missing_files", "missing", count, optional=True),
)


def snapshot_row(snapshot: Snapshot) -> dict[str, Any]:
    """The row of a snapshot, with the columns `COLUMNS`."""
    values = {name: getattr(snapshot, name) for name in COLUMNS if hasattr(snapshot, name)}
    counts = {"files": snapshot.file_count, "missing_files": len(snapshot.problems)}
    return {name: {**values, **counts, "snapshot": snapshot.id}[name] for name in COLUMNS}


@click.command("list", cls=Command)
@click.argument("target")
@format_option
def list_snapshots(target: str, output_format: str) -> None:
    """List the snapshots in TARGET, oldest first.

    Exit code 1: a manifest is damaged.
    """
    from bsv_store.store.restoring import list_backups

    found, damaged = list_backups(target)
    print_rows([snapshot_row(each) for each in found], output_format, columns=COLUMNS, table=TABLE)
    if not found and output_format == "table":
        note("No snapshots.")
    for each in damaged:
        note(f"The manifest of snapshot {each[:8]} is damaged.")
    if damaged:
        click.get_current_context().exit(1)
