"""``bsv-store dataset rebuild``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from bsv_store_cli.help import Command
from bsv_store_cli.options.dataset import COMPUTING_WORKERS, REF
from bsv_store_cli.output.formats import format_option, print_facts, print_json, print_rows
from bsv_store_cli.output.messages import note
from bsv_store_cli.output.progress import progress_bar
from bsv_store_cli.session import opened_store

if TYPE_CHECKING:
    from bsv_store.datasets.history.rebuild import RebuildReport


@click.command(cls=Command)
@REF
@click.option("--check", "check_only", is_flag=True, help="Do not replace a damaged file; the outcome is recorded.")
@COMPUTING_WORKERS
@format_option
def rebuild(ref: str, check_only: bool, workers: int, output_format: str) -> None:
    """Compute a version again from its recorded inputs and compare.

    A damaged file is replaced if all arrays are identical; an intact file is never replaced. The outcome is recorded
    and shown by `dataset show`. The exit code is 1 if the result differs or the file is still damaged.
    """
    with opened_store() as store, progress_bar() as progress:
        report = store.datasets.rebuild(ref, check_only=check_only, workers=workers, progress=progress)
    if output_format == "json":
        print_json(report)
    elif output_format == "csv":
        row = asdict(report)
        print_rows([row], "csv", columns=list(row))
    else:
        _print_for_people(report)
    if report.file_state == "damaged" and report.is_identical and not report.was_restored:
        note(f"The file can be restored: bsv-store dataset rebuild {report.ref}")
    if not report.is_identical or (report.file_state == "damaged" and not report.was_restored):
        click.get_current_context().exit(1)


def _print_for_people(report: RebuildReport) -> None:
    """Print the report; numbers only if something differs and could be compared."""
    differs = not report.is_identical
    state = f"{report.file_state}, restored" if report.was_restored else report.file_state
    print_facts(
        [
            ("Dataset", report.ref),
            ("File", state),
            ("Result", "different" if differs else "identical"),
            ("Largest difference", report.largest_difference if differs else None),
            ("Voxels that differ", report.voxels if differs else None),
            ("Software then", report.software_then),
            ("Software now", report.software_now if report.software_now != report.software_then else None),
        ]
    )
