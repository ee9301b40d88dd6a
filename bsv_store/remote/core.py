"""The copy of a server's catalog: prepare it after the download, so that it cannot answer without unionize rows."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import xxhash

from bsv_store.catalog.database.driver_errors import translated
from bsv_store.catalog.database.engine import Database
from bsv_store.catalog.database.sqlite import CatalogConnection, connect_sqlite
from bsv_store.catalog.seals import check_schema_seal, seal_schema
from bsv_store.catalog.sent_rows import SENT_ROWS
from bsv_store.errors import DamagedCatalogError

if TYPE_CHECKING:
    from sqlalchemy import Connection

PREPARED: Final = 1
"""Version of `prepare_core`; a copy of another version is downloaded again."""

CORE_PREFIX: Final = "catalog-"
ROWS_PREFIX: Final = "unionizes-"
ROW_TABLES: Final = ("unionize", "unionize_seal")
_EXPERIMENTS = "experiments"
# About users, jobs and the computer of the server.
_NOT_SENT = ("activity", "claim", "schema_history", "verification", "volume_use", "access_token")
_BLOCK = 1 << 20
# What prepare_core removed.
OBJECTS_TABLE = "mirror_object"
_SCHEMA = "unionizes"
_CREATE_VIEW = re.compile(r"\s*CREATE\s+VIEW\s+", re.IGNORECASE)


def prepare_core(file: Path) -> None:
    """Remove the tables of unionize rows, and the views on them, from a downloaded catalog; record how to make them.

    The rows that the server sends along, for the view ``experiments``, move to a table of their own. Tables of which
    the server sends no rows are removed, so that they cannot seem to be empty.

    Raises
    ------
    DamagedCatalogError
        If the definitions of tables and views are not those that were sealed.
    """
    with closing(Database(file, pooled=False)) as database, database.writing() as connection:
        check_schema_seal(connection)
        _prepare(connection)
        seal_schema(connection)


def _prepare(connection: Connection) -> None:
    run = connection.exec_driver_sql
    rows = run("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL").all()
    sql = {(str(kind), str(name)): str(text) for kind, name, text in rows}
    own_views = {name: text for (kind, name), text in sql.items() if kind == "view"}
    indexes = [name for kind, name in sql if kind == "index" and _names(sql[kind, name], ROW_TABLES)]
    for name in reversed(_dependent(own_views, ROW_TABLES)):
        run(f'DROP VIEW "{name}"')
    for name in indexes:
        run(f'DROP INDEX "{name}"')
    if run("SELECT EXISTS (SELECT 1 FROM unionize)").scalar():
        run(f"ALTER TABLE unionize RENAME TO {SENT_ROWS}")
        run(re.sub(r"\bunionize\b", SENT_ROWS, own_views.pop(_EXPERIMENTS)))
        dropped = _dependent(own_views, ROW_TABLES)
        for name in _dependent(own_views, (_EXPERIMENTS,)):
            if name not in dropped:
                run(own_views[name])
    else:
        run("DROP TABLE unionize")
        dropped = _dependent(own_views, ROW_TABLES)
    for name in ("unionize_seal", *_NOT_SENT):
        run(f"DROP TABLE IF EXISTS {name}")
    run(f"CREATE TABLE {OBJECTS_TABLE} (number INTEGER PRIMARY KEY, type TEXT, name TEXT, sql TEXT)")
    kept = [*(("table", name) for name in ROW_TABLES), *(("index", name) for name in indexes)]
    for kind, name in [*kept, *(("view", name) for name in dropped)]:
        values = (kind, name, sql[kind, name])
        run(f"INSERT INTO {OBJECTS_TABLE} (type, name, sql) VALUES (?, ?, ?)", values)


def row_objects(core: Path) -> Mapping[tuple[str, str], str]:
    """The statements that create the tables, indexes and views of unionize rows, by type and name."""
    with _reading(core) as driver:
        query = f"SELECT type, name, sql FROM {OBJECTS_TABLE} ORDER BY number"
        return {(kind, name): text for kind, name, text in driver.execute(query)}


Half = tuple[int, str]


def recorded_halves(core: Path) -> dict[Half, tuple[int, str]]:
    """Number and hash of the rows of each half of a unionize table, by experiment and part."""
    with _reading(core) as driver:
        query = "SELECT experiment_id, part, row_count, content_sha256 FROM unionize_coverage ORDER BY 1, 2"
        return {(row[0], row[1]): (row[2], row[3]) for row in driver.execute(query)}


def content_of(halves: Mapping[Half, tuple[int, str]]) -> str:
    """A hash of the unionize rows of all experiments, from the hashes of their halves."""
    return sha256(repr(sorted(halves.items())).encode()).hexdigest()


def file_hash(file: Path) -> str:
    """XXH3 (128 bit) of a file, hexadecimal, to notice damage."""
    hasher = xxhash.xxh3_128()
    with file.open("rb") as opened:
        while block := opened.read(_BLOCK):
            hasher.update(block)
    return hasher.hexdigest()


def named_with_hash(start: str, file: Path) -> str:
    """The name of a complete copy: how it starts, and the hash of its bytes."""
    return f"{start}-{file_hash(file)}.db"


def is_undamaged(file: Path) -> bool:
    """Whether the bytes of a complete copy have the hash in its name."""
    return file.stem.rpartition("-")[2] == file_hash(file)


def complete_copies(folder: Path) -> list[Path]:
    """The copies of the catalog and of its unionize rows in the folder of a server."""
    return sorted(file for prefix in (CORE_PREFIX, ROWS_PREFIX) for file in folder.glob(f"{prefix}*.db"))


def opened_core(file: Path) -> CatalogConnection:
    """A connection to a prepared catalog."""
    return connect_sqlite(file, read_only=True, immutable=True)


@contextmanager
def _reading(core: Path) -> Iterator[CatalogConnection]:
    try:
        with closing(opened_core(core)) as driver:
            yield driver
    except sqlite3.Error as error:
        raise translated(error, str(core)) from error


def _names(sql: str, names: Collection[str]) -> bool:
    return re.search(rf"\b({'|'.join(map(re.escape, names))})\b", sql, re.IGNORECASE) is not None


def _dependent(own_views: Mapping[str, str], names: Collection[str]) -> list[str]:
    """The views that name one of the tables, or a view that does; each after those that it names."""
    found: list[str] = []
    while True:
        new = [
            name
            for name, sql in own_views.items()
            if name not in found and _names(sql.partition(name)[2], [*names, *found])
        ]
        if not new:
            return found
        found += new


def is_attached(driver: sqlite3.Connection) -> bool:
    """Whether the unionize rows are attached to a connection."""
    return any(row[1] == _SCHEMA for row in driver.execute("PRAGMA database_list").fetchall())


def attach(driver: sqlite3.Connection, rows: Path) -> None:
    """Attach the unionize rows to a connection to the catalog, and create the views on them."""
    uri = f"file:{quote(os.fsencode(rows))}?mode=ro&immutable=1"
    query_only = driver.execute("PRAGMA query_only").fetchone()[0]
    driver.execute(f"ATTACH ? AS {_SCHEMA}", (uri,))
    # Temporary objects are in memory; the files stay read-only.
    driver.execute("PRAGMA query_only = OFF")
    try:
        for name, sql in views(driver):
            body, found = _CREATE_VIEW.subn("CREATE TEMP VIEW ", sql, count=1)
            if not found:
                raise DamagedCatalogError(f"the view {name} of the copy of the catalog is not valid")
            driver.execute(body)
    finally:
        driver.execute(f"PRAGMA query_only = {query_only}")


def views(driver: sqlite3.Connection) -> list[tuple[str, str]]:
    """The views that need unionize rows, each after those that it needs."""
    query = f"SELECT name, sql FROM {OBJECTS_TABLE} WHERE type = 'view' ORDER BY number"
    return [(name, sql) for name, sql in driver.execute(query)]
