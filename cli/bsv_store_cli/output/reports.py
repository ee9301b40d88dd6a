"""Output of the reports of sync, fetch, ingest and adopt, and the options for server addresses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from bsv_store.vocabulary import ANIMAL_WEIGHTS
from bsv_store_cli.output.formats import frame_rows, print_json, print_rows
from bsv_store_cli.output.messages import confirmed, in_options, note
from bsv_store_cli.output.tables import Column, cell, count, number_of

if TYPE_CHECKING:
    import pandas as pd

    from bsv_store.acquisition.annotation import AnnotationReport
    from bsv_store.acquisition.fetch import FetchReport
    from bsv_store.acquisition.sync import UnionizeSyncReport
    from bsv_store.acquisition.template import TemplateReport
    from bsv_store.acquisition.work.outcome import Failure
    from bsv_store.catalog.ingest import IngestReport
    from bsv_store.errors import IncompleteListError

ALLOW_SHRINKING = click.option(
    "--allow-shrinking",
    is_flag=True,
    help="Accept a list that seems to be a part: without many of the entries that the store has, or much shorter "
    "than Allen's.",
)

API_URL = click.option(
    "--api-url",
    metavar="URL",
    help="Base URL of the Allen API.  [default: the setting api_url, see `bsv-store config show`]",
)

DOWNLOAD_URL = click.option(
    "--download-url",
    metavar="URL",
    help="Base URL of the file server with annotation and template.  "
    "[default: the setting download_url, see `bsv-store config show`]",
)

_INGEST_COLUMNS = ("source", "what", "kind", "rows", "added", "changed", "unchanged", "withdrawn")
# Printed of the notes of a report.
_NOTES = 10
# Rarely set: tables leave them out, and a note states them.
_REMARKABLE = ("completed", "records", "historic", "merged", "newer_list")
_ANNOTATION_COLUMNS = ("source", "spacing_um", "outcome", "origin", "structures", "annotated_voxels", "size_bytes")
_TEMPLATE_COLUMNS = ("source", "spacing_um", "outcome", "size_bytes", "name")
_OUTCOME_COLUMNS = ("experiment_id", "outcome", "reason")


def asking_about_parts(ingest: Callable[[bool], IngestReport], allow_shrinking: bool) -> IngestReport:
    """Ingest a list. If it seems to be incomplete, ask on a terminal whether to store it as complete.

    Parameters
    ----------
    ingest : callable
        Takes whether an incomplete list is allowed.
    allow_shrinking : bool
        Do not ask.

    Raises
    ------
    IncompleteListError
        If the list seems to be incomplete, and the user did not confirm it.
    """
    from bsv_store.errors import IncompleteListError

    try:
        return ingest(allow_shrinking)
    except IncompleteListError as error:
        if not is_confirmed_complete(error):
            raise
        return ingest(True)


def is_confirmed_complete(error: IncompleteListError) -> bool:
    """Ask on a terminal whether a list that was refused is complete; False if there is no terminal."""
    return confirmed(f"{in_options(error.message)}.", "Store it as complete?")


def host(url: str) -> str:
    """The host and port of a URL; other text is returned unchanged."""
    return urlsplit(url).netloc or url


def note_remarks(report: IngestReport, *, source: str) -> None:
    """Print remarks about a list beyond its numbers."""
    for remark in report.remarks():
        note(f"{source}: {remark}")


def print_ingested(reports: Sequence[tuple[str, IngestReport]], output_format: str) -> None:
    """Print one row for each ingested list, given as pairs of source and report."""
    for source, report in reports:
        note_remarks(report, source=source)
    names = (*_INGEST_COLUMNS[1:], *_REMARKABLE)
    rows = [{"source": source, **{name: getattr(report, name) for name in names}} for source, report in reports]
    table = [Column(name, name, count if name in _INGEST_COLUMNS[3:] else cell) for name in _INGEST_COLUMNS[1:]]
    # Paths are long; the notes and the other formats contain them in full.
    parts = 1 if len({Path(source).name for source, _ in reports}) == len(reports) else 2
    table.insert(0, Column("source", "source", lambda source: cell("/".join(Path(source).parts[-parts:]))))
    print_rows(rows, output_format, columns=(*_INGEST_COLUMNS, *_REMARKABLE), table=table)


def annotation_row(report: AnnotationReport, *, source: str) -> dict[str, Any]:
    """The row of an ingested annotation."""
    return {"source": source, **{name: getattr(report, name) for name in _ANNOTATION_COLUMNS[1:]}}


def print_annotations(rows: Sequence[dict[str, Any]], output_format: str) -> None:
    """Print one row for each ingested annotation."""
    table = [
        Column("source", "source"),
        Column("spacing_um", "um"),
        Column("outcome", "outcome"),
        Column("origin", "origin"),
        Column("structures", "structures", count),
        Column("annotated_voxels", "voxels", count),
    ]
    print_rows(rows, output_format, columns=_ANNOTATION_COLUMNS, table=table)


def template_row(report: TemplateReport, *, source: str) -> dict[str, Any]:
    """The row of an ingested template."""
    return {"source": source, **{name: getattr(report, name) for name in _TEMPLATE_COLUMNS[1:]}}


def print_templates(rows: Sequence[dict[str, Any]], output_format: str) -> None:
    """Print one row for each ingested template."""
    table = [
        Column("source", "source"),
        Column("spacing_um", "um"),
        Column("outcome", "outcome"),
        Column("size_bytes", "bytes", count),
    ]
    print_rows(rows, output_format, columns=_TEMPLATE_COLUMNS, table=table)


def print_by_annotation(frame: pd.DataFrame, output_format: str, *, table: Sequence[Column]) -> None:
    """Print a table by structure. The annotation is named in a note, and in a column of CSV and JSON output.

    A table computed from a label image alone has no annotation. If animals are weighted, a note says how.
    """
    columns = list(map(str, frame.columns))
    name = frame.attrs.get("annotation")
    if name is None:
        print_rows(frame_rows(frame), output_format, columns=columns, table=table)
    else:
        rows = [{**row, "annotation": name} for row in frame_rows(frame)]
        print_rows(rows, output_format, columns=[*columns, "annotation"], table=table)
        note(f"Annotation: {name}.")
    if rule := ANIMAL_WEIGHTS[frame.attrs.get("weight_by", "none")].rule:
        note(f"Animals are {rule}.")


def note_summaries(reports: Sequence[FetchReport | UnionizeSyncReport]) -> None:
    """Print the summary and the first notes of each report."""
    from bsv_store.acquisition.sync import UnionizeSyncReport

    for report in reports:
        note(report.summary())
        if isinstance(report, UnionizeSyncReport):
            for text in report.notes[:_NOTES]:
                note(text)
            if len(report.notes) > _NOTES:
                more = number_of(len(report.notes) - _NOTES, "more contradiction")
                note(f"{more}; bsv-store verify --deep lists all of the store.")


def print_outcome(reports: Sequence[FetchReport | UnionizeSyncReport], output_format: str) -> None:
    """Print the outcome of each experiment: all as CSV or JSON, only failures as a table."""
    if output_format == "json":
        print_json(reports[0] if len(reports) == 1 else reports)
    elif output_format == "csv":
        several = len(reports) > 1
        rows = [{"what": report.what, **row} for report in reports for row in _outcome_rows(report)]
        print_rows(rows, "csv", columns=("what", *_OUTCOME_COLUMNS) if several else _OUTCOME_COLUMNS)
    else:
        print_failed([failure for report in reports for failure in report.failed])


def print_failed(failed: Sequence[Failure]) -> None:
    """Print the failed experiments with the reason."""
    rows = [{"experiment_id": item.experiment_id, "reason": item.reason} for item in failed]
    table = [Column("experiment_id", "experiment"), Column("reason", "reason")]
    print_rows(rows, "table", columns=("experiment_id", "reason"), table=table, title="Failed")


def _outcome_rows(report: FetchReport | UnionizeSyncReport) -> list[dict[str, Any]]:
    outcomes = [(name, getattr(report, name, ())) for name in ("fetched", "recovered", "present")]
    rows = [{"experiment_id": each, "outcome": name} for name, ids in outcomes for each in ids]
    rows += [
        {"experiment_id": item.experiment_id, "outcome": "failed", "reason": item.reason} for item in report.failed
    ]
    rows += [
        {"experiment_id": each, "outcome": "not attempted", "reason": report.stopped} for each in report.not_attempted
    ]
    return sorted(rows, key=lambda row: int(row["experiment_id"]))
