"""``bsv-store adopt``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bsv_store_cli.help import Command
from bsv_store_cli.options.completion import complete_experiments
from bsv_store_cli.options.selection import id_list
from bsv_store_cli.output.formats import format_option, print_json, print_rows
from bsv_store_cli.output.messages import in_options, note
from bsv_store_cli.output.progress import progress_bar
from bsv_store_cli.output.reports import note_remarks
from bsv_store_cli.output.tables import Column
from bsv_store_cli.session import opened_store

if TYPE_CHECKING:
    from bsv_store.acquisition.adopt_report import AdoptReport, SkippedFile

_COLUMNS = ("file", "outcome", "reason")
_TABLE = (Column("file", "file"), Column("reason", "reason", whole=True))


@click.command(cls=Command)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--ids",
    "experiment_ids",
    multiple=True,
    callback=id_list,
    metavar="1,2,3|@FILE",
    shell_complete=complete_experiments,
    help="Only the lists, and the files of these experiments; @- reads standard input.",
)
@click.option(
    "--allow-shrinking",
    is_flag=True,
    help="Accept lists from which many current structures or experiments are missing.",
)
@format_option
def adopt(folder: Path, experiment_ids: list[int] | None, allow_shrinking: bool, output_format: str) -> None:
    """Copy the cache FOLDER of Brain Street View or AllenSDK into the store.

    Lists, unionize tables, volumes, annotations and average templates are stored. Each file is checked first. Invalid
    files are listed with the reason, the others are stored, and the exit code is 1. FOLDER itself is only read. Ignored
    files are counted by reason; --format csv and --format json list all of them.
    """
    with opened_store() as store, progress_bar() as progress:
        report = store.adopt(folder, experiment_ids=experiment_ids, allow_shrinking=allow_shrinking, progress=progress)
    note(report.summary())
    for remark in report.remarks:
        note(remark)
    if report.structures is not None:
        note_remarks(report.structures, source="Ontology")
    if report.experiments is not None:
        note_remarks(report.experiments, source="List of experiments")
    if output_format == "json":
        print_json(report)
    else:
        rows = _rows(report, "refused", report.refused)
        replaced = _rows(report, "replaced", report.replaced)
        if output_format == "csv":
            rows += replaced + _rows(report, "ignored", report.ignored)
        else:
            for line in report.ignored_by_reason():
                note(line)
            print_rows(replaced, output_format, columns=_COLUMNS, table=_TABLE, title="Replaced")
        print_rows(rows, output_format, columns=_COLUMNS, table=_TABLE, title="Refused")
    if report.refused:
        click.get_current_context().exit(1)


def _rows(report: AdoptReport, outcome: str, files: tuple[SkippedFile, ...]) -> list[dict[str, Any]]:
    """Files by their path in the cache's folder, which the reason then need not repeat."""
    rows = []
    for item in files:
        name = item.path.relative_to(report.folder) if item.path.is_relative_to(report.folder) else item.path
        reason = item.reason.removeprefix(f"{item.path} ").replace(str(item.path), item.path.name)
        rows.append({"file": str(name), "outcome": outcome, "reason": in_options(reason)})
    return rows
