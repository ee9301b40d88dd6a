"""A copy of the catalog as a SQLite file, consistent while others write.

The catalog of a store on Postgres is copied to SQLite too, in one transaction that sees a single state. Every snapshot
can therefore be verified without a server, and restored to either database. Copies of large catalogs by ``pg_dump`` are
neither: they need a server of the same or a later version.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import event, func, select
from sqlalchemy.exc import DatabaseError

from bsv_store.catalog import seals
from bsv_store.catalog.database import schema
from bsv_store.catalog.database.bulk import table_of
from bsv_store.catalog.database.engine import Database
from bsv_store.catalog.database.models import Unionize
from bsv_store.catalog.database.sqlite_copy import copy_sqlite
from bsv_store.errors import BackupError, DamagedCatalogError, NoSpaceError, StoreUnreachableError
from bsv_store.maintenance.logical_copy import copied_tables, copy_rows
from bsv_store.progress import do_nothing

if TYPE_CHECKING:
    from sqlalchemy import Connection


def copy_catalog(
    database: Database,
    path: Path,
    *,
    on_snapshot: Callable[[Connection], None],
    check_abort: Callable[[], None] = do_nothing,
) -> tuple[str, ...]:
    """Copy the catalog to a new SQLite file; returns the statements for the indexes that the copy does not have.

    Parameters
    ----------
    database : Database
    path : pathlib.Path
    on_snapshot : callable
        Called with a connection that sees the state to be copied, before the rows are copied, which takes much longer
        on Postgres than on SQLite. Not called on SQLite.
    check_abort : callable
        Called regularly; may raise to stop.

    Raises
    ------
    NoSpaceError, StoreUnreachableError, DamagedCatalogError
        If the catalog cannot be copied.
    """
    if isinstance(database.target, Path):
        _copy_sqlite(database.target, path, read_only=database.read_only, check_abort=check_abort)
        return ()
    return _copy_postgres(database, path, on_snapshot, check_abort)


def _copy_sqlite(source: Path, path: Path, *, read_only: bool, check_abort: Callable[[], None]) -> None:
    try:
        copy_sqlite(source, path, read_only=read_only, lets_others_write=True, is_temporary=True, on_block=check_abort)
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            raise NoSpaceError(f"no disk space left for a copy of the catalog {source}") from error
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise DamagedCatalogError(
                f"the catalog {source} is damaged: {error}",
                hint="Restore an earlier snapshot: bsv-store backup restore TARGET FOLDER --snapshot ID",
            ) from error
        raise StoreUnreachableError(f"the catalog {source} cannot be copied: {error}") from error


def _copy_postgres(
    database: Database, path: Path, on_snapshot: Callable[[Connection], None], check_abort: Callable[[], None]
) -> tuple[str, ...]:
    path.touch()
    with new_sqlite_catalog(path) as copy:
        large = table_of(Unionize).name
        query = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = ? AND sql IS NOT NULL"
        indexes = [(str(name), str(sql)) for name, sql in copy.exec_driver_sql(query, (large,))]
        for name, _ in indexes:
            copy.exec_driver_sql(f'DROP INDEX "{name}"')
        with database.reading() as connection:
            on_snapshot(connection)
            copy_rows(connection, copy, check_abort=check_abort)
    return tuple(sql for _, sql in indexes)


@contextmanager
def new_sqlite_catalog(path: Path) -> Iterator[Connection]:
    """A transaction in a new SQLite catalog with the newest schema, fast and without foreign keys.

    ``path`` must exist and be empty. After a crash the file is not usable.
    """
    schema.upgrade(Database(path))
    with closing(Database(path, pooled=False)) as database:
        event.listen(database.engine, "connect", _fast)
        with database.writing() as connection:
            yield connection


def _fast(connection: Any, _record: object) -> None:
    for pragma in ("foreign_keys = OFF", "synchronous = OFF", "journal_mode = MEMORY", "locking_mode = EXCLUSIVE"):
        connection.execute(f"PRAGMA {pragma}")


def create_indexes(path: Path, statements: Sequence[str]) -> None:
    """Create the indexes that a copy was made without.

    Parameters
    ----------
    path : pathlib.Path
        The copy.
    statements : sequence of str
        From the manifest of a snapshot, which may come from others. Statements of other kinds are refused.

    Raises
    ------
    BackupError
        If a statement does anything other than create an index.
    """
    if not statements:
        return
    with closing(Database(path, pooled=False)) as database:
        event.listen(database.engine, "connect", _fast)
        with database.writing() as connection:
            driver: Any = connection.connection.driver_connection
            driver.set_authorizer(_authorize_index)
            try:
                for statement in statements:
                    connection.exec_driver_sql(statement)
            except DatabaseError as error:
                if getattr(error.orig, "sqlite_errorcode", None) not in _NOT_AN_INDEX:
                    # Such as a full disk.
                    raise
                raise BackupError(
                    "the snapshot is damaged: a statement that should create an index does something else",
                    hint="Use another snapshot: bsv-store backup list TARGET",
                ) from error
            finally:
                driver.set_authorizer(None)
            seals.seal_schema(connection)


# Refused by the function below, or not valid SQL. Python's own errors, such as of two statements, have no code.
_NOT_AN_INDEX = (sqlite3.SQLITE_AUTH, sqlite3.SQLITE_ERROR, None)
_SCHEMA_TABLES = ("sqlite_master", "sqlite_schema")


def _authorize_index(
    action: int, first: str | None, _second: str | None, database: str | None, _view: str | None
) -> int:
    """Permit the actions with which SQLite creates an index, including changes of its internal tables."""
    is_allowed = action in (
        *(sqlite3.SQLITE_CREATE_INDEX, sqlite3.SQLITE_REINDEX, sqlite3.SQLITE_READ),
        *(sqlite3.SQLITE_SELECT, sqlite3.SQLITE_FUNCTION),
    ) or (action in (sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE) and first in _SCHEMA_TABLES)
    return sqlite3.SQLITE_OK if is_allowed and database in (None, "main") else sqlite3.SQLITE_DENY


def row_counts(connection: Connection) -> dict[str, int]:
    """The number of rows of each table that copies have."""
    return {
        table.name: int(connection.scalar(select(func.count()).select_from(table)) or 0) for table in copied_tables()
    }
