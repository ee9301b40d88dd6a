"""``bsv-store backup create``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from bsv_store_cli.commands.backup.listing import snapshot_row
from bsv_store_cli.help import Command
from bsv_store_cli.output.formats import format_option, print_json, print_rows, say
from bsv_store_cli.output.messages import note
from bsv_store_cli.output.progress import progress_bar
from bsv_store_cli.output.tables import number_of
from bsv_store_cli.session import opened_store

if TYPE_CHECKING:
    from bsv_store.maintenance.backup.snapshot import BackupReport

_FACTS = ("unmodified_files", "from_trash", "attempts", "database_s", "duration_s")


@click.command(cls=Command)
@click.argument("target")
@format_option
def create(target: str, output_format: str) -> None:
    """Take a snapshot of the store, and print its id.

    The store may be in use. Only files that TARGET does not have are copied. A backup that was killed leaves no
    snapshot, and the next one continues with what it copied.

    Exit code 1: the snapshot was saved, but the store does not have some of its files intact.
    """
    with opened_store() as store, progress_bar() as progress:
        report = store.admin.backup(target, progress=progress)
    _summarize(report)
    row = {**snapshot_row(report.snapshot), **{name: getattr(report, name) for name in _FACTS}}
    if output_format == "json":
        print_json({**row, "problems": report.snapshot.problems})
    elif output_format == "csv":
        print_rows([row], "csv", columns=list(row))
    else:
        say(report.snapshot.short_id)
    if report.snapshot.problems:
        click.get_current_context().exit(1)


def _summarize(report: BackupReport) -> None:
    from bsv_store.text import duration_text, size_text

    snapshot = report.snapshot
    note(f"Files:     {snapshot.new_files:,} new, {report.unmodified_files:,} unmodified")
    if report.from_trash:
        note(f"           {number_of(report.from_trash, 'file')} deleted meanwhile, copied from the trash")
    again = f", {report.attempts} times because files were purged meanwhile" if report.attempts > 1 else ""
    note(f"Database:  {size_text(snapshot.database.size_bytes)}, copied in {duration_text(report.database_s)}{again}")
    note(f"Added:     {size_text(snapshot.new_bytes)} (the store has {size_text(snapshot.size_bytes)})")
    for each in snapshot.problems:
        note(f"not saved, {each.problem} in the store: {each.path}")
    if snapshot.problems:
        note("Show and repair them: bsv-store verify, then bsv-store repair")
    note(f"Snapshot {snapshot.short_id} saved in {duration_text(report.duration_s)}.")
