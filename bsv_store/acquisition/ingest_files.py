"""Single files that a user hands in: read, recognized, checked, and given to the catalog."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from bsv_store.catalog.database.bulk import refresh_statistics_after
from bsv_store.catalog.ingest import IngestReport, ingest_experiments, ingest_structures, ingest_unionizes
from bsv_store.check import past_day
from bsv_store.errors import InputError
from bsv_store.formats.experiments import read_experiments
from bsv_store.formats.structures import read_structures
from bsv_store.formats.unionizes import read_unionizes

if TYPE_CHECKING:
    from bsv_store.catalog.database.engine import Database

_DATE = re.compile(r"(?<!\d)(20\d\d)-(0[1-9]|1[0-2])(?:-(0[1-9]|[12]\d|3[01]))?(?!\d)")


def ingest_structure_file(database: Database, file: Path) -> IngestReport:
    """Take in a structure ontology; `FormatError` if it is none."""
    # The CSV in circulation has damaged acronyms, so that it only stands in where nothing better is known.
    kind = "csv" if file.suffix.lower() == ".csv" else "file"
    ontology = read_structures(file_bytes(file), what=str(file))
    return _counted(database, ingest_structures(database, ontology, source=file.name, kind=kind))


def ingest_experiment_file(database: Database, file: Path, *, upstream_date: date | None = None) -> IngestReport:
    """Take in an experiment list; `FormatError` if it is none, `InputError` if its date lies in the future."""
    # One of the future would stay the newest, and every list to come only history.
    day = date_in_name(file.name) if upstream_date is None else past_day("upstream_date", upstream_date)
    experiments = read_experiments(file_bytes(file), what=str(file), upstream_date=day)
    return _counted(database, ingest_experiments(database, experiments, source=file.name))


def ingest_unionize_file(database: Database, file: Path) -> IngestReport:
    """Take in unionize rows; `FormatError` if the file holds none."""
    table = read_unionizes(file_bytes(file), what=str(file))
    return _counted(database, ingest_unionizes(database, table, source=file.name, kind="file"))


def _counted(database: Database, report: IngestReport) -> IngestReport:
    refresh_statistics_after(database, report.written)
    return report


def file_bytes(file: Path) -> bytes:
    """The content of a user's file.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    try:
        return file.read_bytes()
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}") from error


def date_in_name(name: str) -> date | None:
    """The day, or the first of the month, that a file's name carries, as in ``experiments_2020-07.json``."""
    if match := _DATE.search(name):
        year, month, day = match.groups()
        try:
            return date(int(year), int(month), int(day or 1))
        except ValueError:
            return None
    return None
