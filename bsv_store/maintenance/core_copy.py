"""A copy of the catalog for others: a SQLite file without unionize rows, and without what is private or of one machine.

The rows are read in one transaction. Equal contents give equal bytes in one process.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import sqlite3
import tempfile
from collections.abc import Collection, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, insert, select

from bsv_store._version import __version__
from bsv_store.catalog import seals
from bsv_store.catalog.database import schema
from bsv_store.catalog.database.bulk import insert_rows, refresh_statistics, table_of
from bsv_store.catalog.database.engine import Database
from bsv_store.catalog.database.models import (
    CatalogChangeBase,
    Dataset,
    DatasetAnswer,
    DatasetCheck,
    DatasetGroup,
    DatasetMember,
    DatasetTag,
    DatasetVersion,
    Exclusion,
    Experiment,
    ExperimentInjectionStructure,
    ExperimentLine,
    ExperimentRevision,
    NamedSelection,
    Seal,
    SnapshotMember,
    SourceSnapshot,
    StoredAnnotation,
    StoredTemplate,
    StoredVolume,
    StoreInfo,
    Structure,
    StructureAncestor,
    StructureSet,
    StructureSetMember,
    TransgenicLine,
    Unionize,
    UnionizeCoverage,
    UnionizeRevision,
    VolumeBlockHashes,
)
from bsv_store.catalog.records import ROOT_STRUCTURE_ID
from bsv_store.datasets.answers import catalog_state
from bsv_store.errors import InputError, NoSpaceError, StoreError
from bsv_store.maintenance.backup.database_copy import new_sqlite_catalog
from bsv_store.maintenance.logical_copy import RowEdit, copied_tables, copy_rows
from bsv_store.temporary import TemporaryFolder
from bsv_store.volumes.files import is_no_space
from bsv_store.volumes.folders import sync_folder

if TYPE_CHECKING:
    from sqlalchemy import Connection, Table

    from bsv_store.catalog.database.models import Base

# The tables that are copied. Each other table is private, of this machine, or made from unionize rows; a new table must
# be put here or be left out on purpose.
_READ_WHOLE: tuple[type[Base], ...] = (
    Dataset,
    DatasetAnswer,
    DatasetCheck,
    DatasetTag,
    DatasetVersion,
    Seal,
    StoreInfo,
    StoredAnnotation,
    StoredTemplate,
    UnionizeCoverage,
    UnionizeRevision,
)
# Their rows are written together with rows of the tables above, and never change.
_COUNTED: tuple[type[Base], ...] = (
    DatasetGroup,
    DatasetMember,
    ExperimentRevision,
    SnapshotMember,
    VolumeBlockHashes,
)
# Each change of them is counted in the state of the catalog, or changes a seal.
_TRACKED: tuple[type[Base], ...] = (
    Exclusion,
    Experiment,
    ExperimentInjectionStructure,
    ExperimentLine,
    NamedSelection,
    SourceSnapshot,
    StoredVolume,
    Structure,
    StructureAncestor,
    StructureSet,
    StructureSetMember,
    TransgenicLine,
)
# Columns with text about files, or by users.
_TEXTS: dict[type[Base], str] = {
    DatasetCheck: "note",
    Exclusion: "reason",
    NamedSelection: "note",
    SourceSnapshot: "source",
    StoredAnnotation: "source",
    StoredTemplate: "source",
    StoredVolume: "source",
}
_ABSOLUTE_PATH = re.compile(
    r"""(?<![\w:/.~-])(?:file:/*)?/(?:[^/\s:'"]+/)+   # a folder, or its URL
      | (?<!\w)[A-Za-z]:[\\/](?:[^\\/:'"\n]+[\\/])*   # of Windows
      | (?<![\w\\])\\\\(?:[^\\/:'"\n]+[\\/])+         # of a server
    """,
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class CatalogCopy:
    """A copy of the catalog without unionize rows.

    Attributes
    ----------
    sha256 : str
        Of the file, hexadecimal.
    size_bytes : int
    schema_revision : str
    state : int
        Number of changes of the data that averages depend on.
    content : str
        Identifies the content, as `Catalog.content_digest` returns it.
    unionize_experiments, unionize_rows : int
        Numbers of experiments with unionize rows in the store, and of these rows.
    """

    sha256: str
    size_bytes: int
    schema_revision: str
    state: int
    content: str
    unionize_experiments: int
    unionize_rows: int


def core_tables() -> list[Table]:
    """The tables that are copied, in the order in which they are filled."""
    names = {model.__tablename__ for model in (*_READ_WHOLE, *_COUNTED, *_TRACKED)}
    return [table for table in copied_tables() if table.name in names]


def content_digest(connection: Connection) -> str:
    """A hash that changes with any row that `export_core` copies."""
    hasher = hashlib.sha256(f"{__version__} {schema.HEAD} {catalog_state(connection)}".encode())
    for model in _READ_WHOLE:
        table = table_of(model)
        rows = sorted(repr(tuple(row)) for row in connection.execute(select(table)))
        hasher.update(f"\n{table.name} {len(rows)}\n".encode())
        hasher.update("\n".join(rows).encode("utf-8", "surrogatepass"))
    for model in _COUNTED:
        table = table_of(model)
        key = next(iter(table.primary_key.columns))
        found = connection.execute(select(func.count(), func.min(key), func.max(key)).select_from(table)).one()
        hasher.update(f"\n{table.name} {tuple(found)}".encode())
    return hasher.hexdigest()


def export_core(database: Database, target: Path) -> CatalogCopy:
    """See `Catalog.export_copy`."""
    if target.exists():
        raise InputError(f"the file {target} exists already", hint="Name a new file.")
    try:
        with tempfile.TemporaryDirectory(prefix="bsv-store-", dir=target.parent, ignore_cleanup_errors=True) as folder:
            copy = Path(folder) / "catalog.db"
            copy.write_bytes(_empty_catalog())
            with new_sqlite_catalog(copy) as destination, database.reading() as source:
                found = _copy(source, destination)
            compact = Path(folder) / "compact.db"
            # Without the pages of the rows that a new catalog has, so that equal rows give equal bytes.
            with closing(sqlite3.connect(copy)) as connection:
                connection.execute("VACUUM INTO ?", (str(compact),))
            with compact.open("rb") as file:
                os.fsync(file.fileno())
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            size = compact.stat().st_size
            compact.rename(target)
            sync_folder(target.parent)
    except (OSError, sqlite3.Error) as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_FULL or (isinstance(error, OSError) and is_no_space(error)):
            raise NoSpaceError(f"no disk space left in {target.parent} for a copy of the catalog") from error
        raise StoreError(f"a copy of the catalog cannot be written to {target}: {error}") from error
    return CatalogCopy(sha256, size, *found)


@functools.cache
def _empty_catalog() -> bytes:
    """A new catalog, made once by a process: migrations do not always order the constraints of a table the same way."""
    with TemporaryFolder() as folder:
        path = folder / "catalog.db"
        path.touch()
        with closing(Database(path)) as database:
            schema.upgrade(database)
        return path.read_bytes()


def _copy(source: Connection, destination: Connection) -> tuple[str, int, str, int, int]:
    # The first statement takes the snapshot.
    state = catalog_state(source)
    content = content_digest(source)
    edited: dict[type[Base], list[int]] = {model: [] for model in _TEXTS}
    edits = {
        model.__tablename__: _without_paths(table_of(model), column, edited[model]) for model, column in _TEXTS.items()
    }
    copy_rows(source, destination, tables=core_tables(), edits=edits)
    destination.execute(insert(table_of(CatalogChangeBase)).values(id=1, changes=state))
    _copy_summary(source, destination)
    _reseal(source, destination, edited)
    refresh_statistics(destination)
    coverage = table_of(UnionizeCoverage)
    counts = select(func.count(coverage.c.experiment_id.distinct()), func.sum(coverage.c.row_count))
    experiments, rows = source.execute(counts).one()
    return schema.HEAD, state, content, int(experiments), int(rows or 0)


def _copy_summary(source: Connection, destination: Connection) -> None:
    """Copy the unionize rows that the view ``experiments`` reads: a few for each experiment."""
    table, experiment = table_of(Unionize), table_of(Experiment)
    is_of_primary = (table.c.structure_id == experiment.c.primary_structure_id) & table.c.is_injection
    query = (
        select(table)
        .join(experiment, experiment.c.id == table.c.experiment_id)
        .where((table.c.structure_id == ROOT_STRUCTURE_ID) | is_of_primary)
        .order_by(*table.primary_key.columns)
    )
    rows = [tuple(row) for row in source.execute(query)]
    insert_rows(destination, table, table.columns.keys(), rows)


def _without_paths(table: Table, column: str, edited: list[int]) -> RowEdit:
    """An edit that removes the folders of absolute paths from a text, and collects the ids of the changed rows."""
    names = table.columns.keys()
    place, key = names.index(column), names.index("id")

    def edit(row: Sequence[Any]) -> Sequence[Any]:
        text = row[place]
        short = text if text is None else _ABSOLUTE_PATH.sub("", text)
        if short == text:
            return row
        edited.append(row[key])
        return [*row[:place], short, *row[place + 1 :]]

    return edit


def _reseal(source: Connection, destination: Connection, edited: dict[type[Base], list[int]]) -> None:
    """Seal the rows that were edited, after a check of the originals: a damaged row is never sealed."""
    for model in seals.SEALED_BY_ID:
        if ids := edited[model]:
            seals.check_rows(source, model, ids)
            seals.seal_rows(destination, model, ids)
    if ids := edited[StoredVolume]:
        seals.check_volumes(source)
        seals.seal_volumes(destination, _volume_rows(destination, ids))


def _volume_rows(connection: Connection, ids: Collection[int]) -> list[dict[str, Any]]:
    table = table_of(StoredVolume)
    wanted = set(ids)
    return [dict(row) for row in connection.execute(select(table)).mappings() if row["id"] in wanted]
