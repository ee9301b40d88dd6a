"""``bsv-store backup verify``."""

from __future__ import annotations

import click

from bsv_store_cli.help import Command
from bsv_store_cli.output.formats import format_option, print_json, print_rows
from bsv_store_cli.output.messages import note
from bsv_store_cli.output.progress import progress_bar
from bsv_store_cli.output.tables import number_of

_COLUMNS = ("snapshot", "path", "problem")


@click.command(cls=Command)
@click.argument("target")
@click.option("--snapshot", metavar="ID", help="The beginning of an id, or latest.  [default: all snapshots]")
@click.option("--deep", is_flag=True, help="Read every byte, and check every database.")
@click.option("--discard-damaged", is_flag=True, help="Remove damaged objects; the next backup stores them again.")
@format_option
def verify(target: str, snapshot: str | None, deep: bool, discard_damaged: bool, output_format: str) -> None:
    """Check that the snapshots in TARGET can be restored.

    By default only the presence and size of their objects is checked. Exit code 1: something is missing or damaged.
    """
    from bsv_store.store.restoring import verify_backup
    from bsv_store.text import size_text

    with progress_bar() as progress:
        report = verify_backup(target, snapshot=snapshot, deep=deep, discard_damaged=discard_damaged, progress=progress)
    if output_format == "json":
        print_json(report)
    else:
        rows = [{name: getattr(each, name) for name in _COLUMNS} for each in report.findings]
        print_rows(rows, output_format, columns=_COLUMNS)
    what = "read" if deep else "present with the right size"
    note(
        f"{number_of(report.snapshots, 'snapshot')}: {number_of(report.objects, 'object')}, "
        f"{size_text(report.size_bytes)} {what}; {number_of(len(report.findings), 'finding')}."
    )
    if report.unused_objects:
        note(f"{size_text(report.unused_bytes)} in {number_of(report.unused_objects, 'object')} belong to no snapshot.")
    if report.discarded:
        note(f"Removed {number_of(report.discarded, 'damaged object')}. Run a backup to store them again.")
    if report.findings:
        click.get_current_context().exit(1)
