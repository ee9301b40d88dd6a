"""``bsv-store ingest``."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from bsv_store_cli.help import Group
from bsv_store_cli.output.formats import format_option
from bsv_store_cli.output.messages import complain
from bsv_store_cli.output.progress import progress_bar
from bsv_store_cli.output.reports import annotation_row, print_annotations, print_ingested
from bsv_store_cli.session import opened_store

if TYPE_CHECKING:
    from bsv_store.catalog.ingest import IngestReport
    from bsv_store.store.store import Store

_FILES = click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
_BAD_INPUT = 2
_Answer = TypeVar("_Answer")


@click.group(cls=Group)
def ingest() -> None:
    """Take in structures, experiments, unionize tables or annotations from files.

    Each file is checked as a whole before anything of it is stored; taking the same file in again changes nothing. A
    bad file is reported and skipped, the others are taken in, and the exit code is 2.
    """


@ingest.command()
@_FILES
@format_option
def structures(files: tuple[Path, ...], output_format: str) -> None:
    """Take in the structure ontology.

    Known forms: AllenSDK's structures.json, the API's nested and flat structure graph, allenCCF's CSV.
    """
    _ingest(files, lambda store, file: store.ingest_structures(file), output_format)


@ingest.command()
@_FILES
@click.option(
    "--upstream-date",
    type=click.DateTime(["%Y-%m-%d"]),
    metavar="YYYY-MM-DD",
    help="Day the list was made upstream.  [default: a date in the file's name, else older than all dated lists]",
)
@format_option
def experiments(files: tuple[Path, ...], upstream_date: datetime | None, output_format: str) -> None:
    """Take in an experiment list.

    Known forms: ApiConnectivity JSON (as AllenSDK's experiments.json), the source search's JSON, the web site's CSV.
    """
    day: date | None = upstream_date.date() if upstream_date else None
    _ingest(files, lambda store, file: store.ingest_experiments(file, upstream_date=day), output_format)


@ingest.command()
@_FILES
@format_option
def unionizes(files: tuple[Path, ...], output_format: str) -> None:
    """Take in projection structure unionize tables.

    Known forms: the API's envelope, AllenSDK's structure_unionizes.csv, Brain Street View's injectionSummary_all.json.
    The numbers of added, changed and unchanged are experiments.
    """
    _ingest(files, lambda store, file: store.ingest_unionizes(file), output_format)


@ingest.command()
@_FILES
@click.option("--replace", is_flag=True, help="Put it in the place of another one of the same spacing.")
@format_option
def annotation(files: tuple[Path, ...], replace: bool, output_format: str) -> None:
    """Take in the annotation, which says of each voxel what structure it is in.

    Known form: the Allen Institute's annotation_10|25|50|100.nrrd, CCFv3 of 2017. The ontology must be there.
    """

    def take_in(store: Store, file: Path) -> dict[str, Any]:
        return annotation_row(store.ingest_annotation(file, replace=replace), source=str(file))

    _take_in(files, take_in, lambda rows: print_annotations(rows, output_format))


def _ingest(files: tuple[Path, ...], take_in: Callable[[Store, Path], IngestReport], output_format: str) -> None:
    _take_in(
        files,
        lambda store, file: (str(file), take_in(store, file)),
        lambda reports: print_ingested(reports, output_format),
    )


def _take_in(
    files: tuple[Path, ...],
    take_in: Callable[[Store, Path], _Answer],
    show: Callable[[list[_Answer]], None],
) -> None:
    from bsv_store.errors import InputError

    done: list[_Answer] = []
    refused: list[InputError] = []
    with opened_store() as store:
        try:
            with progress_bar() as progress:
                if progress is not None:
                    progress.start(len(files), "files")
                for file in files:
                    try:
                        done.append(take_in(store, file))
                    except InputError as error:
                        refused.append(error)
                    if progress is not None:
                        progress.advance()
        finally:
            # Also where the store itself fails: what was taken in stays, and is to be known.
            show(done)
    for each in refused:
        complain(each.message, each.hint)
    if refused:
        click.get_current_context().exit(_BAD_INPUT)
