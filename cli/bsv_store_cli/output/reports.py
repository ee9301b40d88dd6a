"""Rows for the reports that several commands print, and the address that they name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from bsv_store_cli.output.formats import print_json, print_rows
from bsv_store_cli.output.messages import note
from bsv_store_cli.output.tables import Column, count

if TYPE_CHECKING:
    from bsv_store.acquisition.annotation import AnnotationReport
    from bsv_store.acquisition.fetch import FetchReport
    from bsv_store.acquisition.sync import UnionizeSyncReport
    from bsv_store.acquisition.work.outcome import Failure
    from bsv_store.catalog.ingest import IngestReport

API_URL = click.option(
    "--api-url",
    metavar="URL",
    help="Server that speaks the Allen API.  [default: $BSV_STORE_API_URL, then https://api.brain-map.org]",
)

DOWNLOAD_URL = click.option(
    "--download-url",
    metavar="URL",
    help="Server that has the annotation.  [default: $BSV_STORE_DOWNLOAD_URL, then https://download.alleninstitute.org]",
)

_INGEST_COLUMNS = ("source", "what", "kind", "rows", "added", "changed", "unchanged", "withdrawn")
# Rarely anything: for people, a remark says so.
_REMARKABLE = ("merged", "newer_list")
_ANNOTATION_COLUMNS = ("source", "spacing_um", "outcome", "structures", "annotated_voxels", "size_bytes")
_OUTCOME_COLUMNS = ("experiment_id", "outcome", "reason")


def host(url: str) -> str:
    """The host and port of an address; what is none stays as it is."""
    return urlsplit(url).netloc or url


def note_remarks(report: IngestReport, *, source: str) -> None:
    """Say what the numbers of a list do not tell."""
    for remark in report.remarks():
        note(f"{source}: {remark}")


def print_ingested(reports: Sequence[tuple[str, IngestReport]], output_format: str) -> None:
    """Print what taking in lists did, one row for each; each report comes after its source."""
    for source, report in reports:
        note_remarks(report, source=source)
    names = (*_INGEST_COLUMNS[1:], *_REMARKABLE)
    rows = [{"source": source, **{name: getattr(report, name) for name in names}} for source, report in reports]
    table = [Column(name, name, count if name in _INGEST_COLUMNS[3:] else str) for name in _INGEST_COLUMNS]
    print_rows(rows, output_format, columns=(*_INGEST_COLUMNS, *_REMARKABLE), table=table)


def annotation_row(report: AnnotationReport, *, source: str) -> dict[str, Any]:
    """What taking in an annotation did."""
    return {"source": source, **{name: getattr(report, name) for name in _ANNOTATION_COLUMNS[1:]}}


def print_annotations(rows: Sequence[dict[str, Any]], output_format: str) -> None:
    """Print what taking in annotations did, one row for each."""
    table = [
        Column("source", "source"),
        Column("spacing_um", "um"),
        Column("outcome", "outcome"),
        Column("structures", "structures", count),
        Column("annotated_voxels", "voxels", count),
    ]
    print_rows(rows, output_format, columns=_ANNOTATION_COLUMNS, table=table)


def print_outcome(reports: Sequence[FetchReport | UnionizeSyncReport], output_format: str) -> None:
    """Print what became of each experiment: all of them for programs, what failed for people."""
    if output_format == "json":
        print_json(reports[0] if len(reports) == 1 else reports)
    elif output_format == "csv":
        several = len(reports) > 1
        rows = [{"what": report.what, **row} for report in reports for row in _outcome_rows(report)]
        print_rows(rows, "csv", columns=("what", *_OUTCOME_COLUMNS) if several else _OUTCOME_COLUMNS)
    else:
        print_failed([failure for report in reports for failure in report.failed])


def print_failed(failed: Sequence[Failure]) -> None:
    """Print which experiments failed, and why."""
    rows = [{"experiment_id": item.experiment_id, "reason": item.reason} for item in failed]
    table = [Column("experiment_id", "experiment"), Column("reason", "reason")]
    print_rows(rows, "table", columns=("experiment_id", "reason"), table=table, title="Failed")


def _outcome_rows(report: FetchReport | UnionizeSyncReport) -> list[dict[str, Any]]:
    outcomes = [(name, getattr(report, name, ())) for name in ("fetched", "recovered", "present")]
    rows = [{"experiment_id": each, "outcome": name} for name, ids in outcomes for each in ids]
    rows += [
        {"experiment_id": item.experiment_id, "outcome": "failed", "reason": item.reason} for item in report.failed
    ]
    return sorted(rows, key=lambda row: int(row["experiment_id"]))
