"""Ingest single files: structures, experiments, unionize tables."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from bsv_store.catalog.database.bulk import refresh_statistics_after
from bsv_store.catalog.database.sqlite import long_run
from bsv_store.catalog.ingest import IngestReport, ingest_experiments, ingest_structures, ingest_unionizes
from bsv_store.check import boolean, is_future, past_day
from bsv_store.errors import InputError
from bsv_store.formats.experiments import read_experiments
from bsv_store.formats.input_file import decompressed, read_input_file, shown_path
from bsv_store.formats.structures import read_structures
from bsv_store.formats.unionizes import read_unionizes

if TYPE_CHECKING:
    from bsv_store.catalog.database.engine import Database
    from bsv_store.vocabulary import OntologySourceKind

_DATE = re.compile(r"(?<!\d)(20\d\d)-(0[1-9]|1[0-2])(?:-(0[1-9]|[12]\d|3[01]))?(?!\d)")


@long_run()
def ingest_structure_file(
    database: Database, file: Path, *, upstream_date: date | None = None, allow_shrinking: bool = False
) -> IngestReport:
    """See `Store.ingest_structures`."""
    day = _upstream_day(file, upstream_date)
    # The CSV in circulation has damaged acronyms: it is only used for what no better source has.
    kind: OntologySourceKind = "csv" if file.suffix.lower() == ".csv" else "file"
    ontology = read_structures(file_bytes(file), what=shown_path(file))
    report = ingest_structures(
        database,
        ontology,
        source=storable(file.name),
        kind=kind,
        upstream_date=day,
        allow_shrinking=allow_shrinking,
        action="ingested",
    )
    return _with_statistics(database, report)


@long_run()
def ingest_experiment_file(
    database: Database, file: Path, *, upstream_date: date | None = None, allow_shrinking: bool = False
) -> IngestReport:
    """See `Store.ingest_experiments`."""
    day = _upstream_day(file, upstream_date)
    experiments = read_experiments(file_bytes(file), what=shown_path(file), upstream_date=day)
    report = ingest_experiments(
        database,
        experiments,
        source=storable(file.name),
        allow_shrinking=allow_shrinking,
        may_be_part=True,
        action="ingested",
    )
    return _with_statistics(database, report)


@long_run()
def ingest_unionize_file(
    database: Database, file: Path, *, upstream_date: date | None = None, replace: bool = False
) -> IngestReport:
    """See `Store.ingest_unionizes`."""
    day = _upstream_day(file, upstream_date)
    table = read_unionizes(file_bytes(file), what=shown_path(file))
    report = ingest_unionizes(
        database,
        table,
        source=storable(file.name),
        kind="file",
        upstream_date=day,
        replace=boolean("replace", replace),
        action="ingested",
    )
    return _with_statistics(database, report)


def _upstream_day(file: Path, upstream_date: date | None) -> date | None:
    """The date of a file's content: as given, or that in its name; None if neither is known.

    Raises
    ------
    InputError
        If it is in the future: such a list would stay the newest, and all later lists would count as history.
    """
    if upstream_date is not None:
        return past_day("upstream_date", upstream_date)
    day = date_in_name(file.name)
    if day is not None and is_future(day):
        raise InputError(
            f"the date in the name of {shown_path(file)} is in the future: {day}",
            hint="Specify the date of its content (--upstream-date, upstream_date=), or rename the file.",
        )
    return day


def _with_statistics(database: Database, report: IngestReport) -> IngestReport:
    refresh_statistics_after(database, report.written)
    return report


def file_bytes(file: Path) -> bytes:
    """The content of a file, decompressed if it is a gzip file.

    Raises
    ------
    InputError
        If it cannot be read, or is not a regular file.
    """
    return decompressed(read_input_file(file), what=shown_path(file))


def storable(name: str) -> str:
    """The name of a file as text that databases accept: bytes that are not UTF-8 are escaped."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def date_in_name(name: str) -> date | None:
    """The date in a file's name, or the first day of the month, as in ``experiments_2020-07.json``."""
    if match := _DATE.search(name):
        year, month, day = match.groups()
        try:
            return date(int(year), int(month), int(day or 1))
        except ValueError:
            return None
    return None
