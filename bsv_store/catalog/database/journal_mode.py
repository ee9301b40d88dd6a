"""The journal of a catalog on SQLite: the rollback journal, or the write-ahead log (WAL).

In WAL mode, readers and writers do not block each other. It needs a version of SQLite without the bug that could
corrupt databases, and a local file system, because all connections share memory. Readers need write access to the
folder; accounts without it read private copies. The mode is stored in the catalog file itself.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from bsv_store import check
from bsv_store.catalog.activity import record_activity
from bsv_store.catalog.database.driver_errors import translated
from bsv_store.catalog.database.engine import Database
from bsv_store.catalog.database.sqlite import CatalogConnection, connect_sqlite
from bsv_store.catalog.database.sqlite_errors import refuse_unsafe_wal
from bsv_store.errors import InputError, StoreError
from bsv_store.file_systems import file_system_of
from bsv_store.vocabulary import JOURNAL_MODES, JournalMode


def journal_mode(database: Database) -> JournalMode | None:
    """The journal of a catalog; None on Postgres.

    Raises
    ------
    StoreUnreachableError, BusyError
        If the catalog cannot be read.
    """
    if not database.is_sqlite:
        return None
    with database.reading() as connection:
        driver: Any = connection.connection.driver_connection
        return "wal" if driver.is_wal else "rollback"


def set_journal_mode(database: Database, mode: JournalMode) -> None:
    """See `bsv_store.store.admin.Admin.set_journal_mode`. Waits until no other connection uses the catalog."""
    name = check.choice("journal", mode, JOURNAL_MODES).name
    if not isinstance(database.target, Path):
        raise InputError("the database of this store is Postgres, which has no journal mode")
    database.require_writable()
    if name == "wal":
        refuse_unsafe_wal(database.target)
        _refuse_remote(database.target)
    if journal_mode(database) == name:
        return
    # Pooled connections of this process would keep the mode from changing.
    database.close()
    try:
        with closing(connect_sqlite(database.target, read_only=False)) as connection:
            _set(connection, "wal" if name == "wal" else "delete")
    except sqlite3.Error as error:
        raise translated(error, str(database)) from error
    with database.writing() as transaction:
        record_activity(transaction, "configured", "journal", {"journal": name})


def _set(connection: CatalogConnection, wanted: str) -> None:
    def step() -> None:
        # Outside a transaction; raises SQLITE_BUSY while other connections use the catalog.
        found = connection.execute(f"PRAGMA journal_mode = {wanted}").fetchone()[0]
        if found != wanted:
            raise StoreError(f"SQLite kept the journal mode {found} of the catalog {connection.path}")

    connection.wait_for(step)


def _refuse_remote(path: Path) -> None:
    found = file_system_of(path)
    if found is None or not found.is_local:
        where = "on an unknown file system" if found is None else f"on the file system {found.kind}"
        raise InputError(
            f"{path} is {where}; SQLite's write-ahead log (WAL) corrupts databases on file systems that are not local",
            hint="Keep the rollback journal, or use Postgres.",
        )
