"""``bsv-store ingest``."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from bsv_store_cli.help import Group
from bsv_store_cli.output.formats import format_option
from bsv_store_cli.output.messages import complain, note
from bsv_store_cli.output.progress import progress_bar
from bsv_store_cli.output.reports import (
    ALLOW_SHRINKING,
    annotation_row,
    is_confirmed_complete,
    print_annotations,
    print_ingested,
    print_templates,
    template_row,
)
from bsv_store_cli.session import opened_store

if TYPE_CHECKING:
    from bsv_store.catalog.ingest import IngestReport
    from bsv_store.store.store import Store

_FILES = click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
_BAD_INPUT = 2
_Result = TypeVar("_Result")


@click.group(cls=Group)
def ingest() -> None:
    """Store structures, experiments, unionize tables, annotations or templates from files.

    Each file is checked completely before any of it is stored; ingesting the same file again changes nothing. Invalid
    files are reported and skipped, the others are stored, and the exit code is 2.
    """


@ingest.command()
@_FILES
@click.option(
    "--upstream-date",
    type=click.DateTime(["%Y-%m-%d"]),
    metavar="YYYY-MM-DD",
    help="Date of the ontology.  [default: the date in the file's name, else older than all ontologies with a date]",
)
@ALLOW_SHRINKING
@format_option
def structures(
    files: tuple[Path, ...], upstream_date: datetime | None, allow_shrinking: bool, output_format: str
) -> None:
    """Store the structure ontology.

    Known formats: AllenSDK's structures.json, the API's nested and flat structure graph, allenCCF's CSV. An ontology
    that is older than the current one is kept as history. One that seems to be a part is refused; on a terminal you are
    asked.
    """
    day: date | None = upstream_date.date() if upstream_date else None
    _ingest(
        files,
        lambda store, file, allowed: store.ingest_structures(file, upstream_date=day, allow_shrinking=allowed),
        output_format,
        allow_shrinking=allow_shrinking,
    )


@ingest.command()
@_FILES
@click.option(
    "--upstream-date",
    type=click.DateTime(["%Y-%m-%d"]),
    metavar="YYYY-MM-DD",
    help="Date of the list.  [default: the date in the file's name, else older than all lists with a date]",
)
@ALLOW_SHRINKING
@format_option
def experiments(
    files: tuple[Path, ...], upstream_date: datetime | None, allow_shrinking: bool, output_format: str
) -> None:
    """Store an experiment list.

    Known formats: ApiConnectivity JSON (as AllenSDK's experiments.json), the source search's JSON, the web site's CSV;
    optionally compressed with gzip. A list that seems to be incomplete is refused; on a terminal, the command asks
    first.
    """
    day: date | None = upstream_date.date() if upstream_date else None
    _ingest(
        files,
        lambda store, file, allowed: store.ingest_experiments(file, upstream_date=day, allow_shrinking=allowed),
        output_format,
        allow_shrinking=allow_shrinking,
    )


@ingest.command()
@_FILES
@click.option(
    "--upstream-date",
    type=click.DateTime(["%Y-%m-%d"]),
    metavar="YYYY-MM-DD",
    help="Date of the tables.  [default: the date in the file's name, else unknown]",
)
@click.option(
    "--replace",
    is_flag=True,
    help="Replace tables that may be newer; store rows whose injection volume differs from the experiment list.",
)
@format_option
def unionizes(files: tuple[Path, ...], upstream_date: datetime | None, replace: bool, output_format: str) -> None:
    """Store projection structure unionize tables.

    Known formats: replies of the API, AllenSDK's structure_unionizes.csv, Brain Street View's
    injectionSummary_all.json; optionally compressed with gzip. The columns added, changed and unchanged count
    experiments.

    Incomplete tables are refused. A stored table is replaced only by one with a later date, or with --replace.
    """
    day: date | None = upstream_date.date() if upstream_date else None
    _ingest(
        files,
        lambda store, file, _allowed: store.ingest_unionizes(file, upstream_date=day, replace=replace),
        output_format,
    )


@ingest.command()
@_FILES
@click.option("--replace", is_flag=True, help="Replace an annotation of the same spacing that differs.")
@format_option
def annotation(files: tuple[Path, ...], replace: bool, output_format: str) -> None:
    """Store the annotation, which assigns each voxel to a structure.

    Known format: the Allen Institute's annotation_10|25|50|100.nrrd, CCFv3 of 2017. Run `bsv-store sync structures`
    first.
    """
    summaries: list[str] = []

    def ingest_one(store: Store, file: Path, _allowed: bool) -> dict[str, Any]:
        report = store.ingest_annotation(file, replace=replace)
        summaries.append(report.summary())
        return annotation_row(report, source=str(file))

    def show(rows: list[dict[str, Any]]) -> None:
        print_annotations(rows, output_format)
        for summary in summaries:
            note(summary)

    _ingest_each(files, ingest_one, show)


@ingest.command()
@_FILES
@click.option("--replace", is_flag=True, help="Replace a template of the same spacing that differs.")
@format_option
def template(files: tuple[Path, ...], replace: bool, output_format: str) -> None:
    """Store the average template, an image of the average brain.

    Known format: the Allen Institute's average_template_10|25|50|100.nrrd, or an NRRD image with the same axes and
    grid. It is compared with the annotation, if the store has one.
    """
    summaries: list[str] = []

    def ingest_one(store: Store, file: Path, _allowed: bool) -> dict[str, Any]:
        report = store.ingest_template(file, replace=replace)
        summaries.append(report.summary())
        return template_row(report, source=str(file))

    def show(rows: list[dict[str, Any]]) -> None:
        print_templates(rows, output_format)
        for summary in summaries:
            note(summary)

    _ingest_each(files, ingest_one, show)


def _ingest(
    files: tuple[Path, ...],
    ingest_one: Callable[[Store, Path, bool], IngestReport],
    output_format: str,
    *,
    allow_shrinking: bool = False,
) -> None:
    """Ingest files and print a row for each."""
    _ingest_each(
        files,
        lambda store, file, allowed: (str(file), ingest_one(store, file, allowed)),
        lambda reports: print_ingested(reports, output_format),
        allow_shrinking=allow_shrinking,
    )


def _ingest_each(
    files: tuple[Path, ...],
    ingest_one: Callable[[Store, Path, bool], _Result],
    show: Callable[[list[_Result]], None],
    *,
    allow_shrinking: bool = False,
) -> None:
    """Ingest files; on a terminal, ask about lists that seem to be incomplete.

    ``ingest_one`` takes the store, a file, and whether an incomplete list is allowed.
    """
    from bsv_store.errors import IncompleteListError, InputError

    done: list[_Result] = []
    refused: list[InputError] = []
    parts: list[tuple[Path, IncompleteListError]] = []
    with opened_store() as store:
        try:
            with progress_bar() as progress:
                progress.start(len(files), "files")
                for file in files:
                    try:
                        done.append(ingest_one(store, file, allow_shrinking))
                    except IncompleteListError as error:
                        parts.append((file, error))
                    except InputError as error:
                        refused.append(error)
                    progress.advance()
            # Asked after the progress bar is closed, which would hide the question.
            for file, part in parts:
                if is_confirmed_complete(part):
                    done.append(ingest_one(store, file, True))
                else:
                    refused.append(part)
        finally:
            # Also if the store fails: files ingested before that remain and must be reported.
            show(done)
    for each in refused:
        complain(each.message, each.hint)
    if refused:
        click.get_current_context().exit(_BAD_INPUT)
