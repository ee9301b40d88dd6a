"""The database connection: how transactions start on SQLite and Postgres, and whose errors a user sees.

SQLAlchemy's default start of a transaction on SQLite silently loses updates between processes (measured: 888 of 960),
so transactions begin explicitly here: BEGIN DEFERRED to read, BEGIN IMMEDIATE to write. The rollback journal is
kept, since WAL had a corruption bug up to SQLite 3.51.2 and does not work over network file systems.
"""

from __future__ import annotations

import os
import sqlite3
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import NullPool, QueuePool

from bsv_store.errors import (
    BsvStoreError,
    BusyError,
    InputError,
    NoSpaceError,
    ReadOnlyStoreError,
    StoreUnreachableError,
)

BUSY_TIMEOUT_S = 30.0

_engines: weakref.WeakSet[Engine] = weakref.WeakSet()


def normalized_url(url: str) -> URL:
    """The database URL with our driver named and without a password.

    Raises
    ------
    InputError
        If it is no URL, not Postgres, or carries a password.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise InputError(f"{url!r} is not a database URL", hint=_URL_HINT) from error
    if parsed.get_backend_name() not in {"postgresql", "postgres"}:
        raise InputError(f"the database {parsed.get_backend_name()!r} is not supported", hint=_URL_HINT)
    if parsed.password:
        raise InputError(
            "the database URL carries a password, which would be stored readable for everybody",
            hint="Leave it out and set PGPASSWORD, or use a ~/.pgpass file.",
        )
    return parsed._replace(drivername="postgresql+psycopg", password=None)


_READER_HINT = (
    "Ask whoever keeps the store for the right to write to its folder and database. Without it, all that the store has "
    "can be read; to add something, make a store of your own: bsv-store init FOLDER."
)

_URL_HINT = "Use postgresql://user@host/database, or nothing for SQLite inside the store's folder."


class Database:
    """The catalog's database of one store.

    Parameters
    ----------
    target : pathlib.Path or sqlalchemy.URL
        The SQLite file, or a Postgres URL.
    read_only : bool
        Never write, not even a journal.
    pooled : bool
        False opens a connection for each transaction, as migrations need it.

    Notes
    -----
    Safe to share between threads, and across a fork: a child process opens connections of its own.
    """

    def __init__(self, target: Path | URL, *, read_only: bool = False, pooled: bool = True) -> None:
        self.target = target
        self.read_only = read_only
        self.is_sqlite = isinstance(target, Path)
        # Who has written may write: the server need not be asked.
        self._has_written = False
        pool: dict[str, Any] = {"poolclass": QueuePool, "pool_pre_ping": not self.is_sqlite}
        if not pooled:
            pool = {"poolclass": NullPool}
        if isinstance(target, Path):
            self.engine = create_engine("sqlite://", creator=lambda: _connect_sqlite(target, read_only), **pool)
            event.listen(self.engine, "begin", _begin_sqlite)
        else:
            waiting = f"-c lock_timeout={int(BUSY_TIMEOUT_S * 1000)}"
            self.engine = create_engine(target, connect_args={"connect_timeout": 10, "options": waiting}, **pool)
        _engines.add(self.engine)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state of the database throughout and cannot write.

        Raises
        ------
        StoreUnreachableError, BusyError
            If the database does not answer, or stays locked.
        """
        options: dict[str, Any] = {"bsv_begin": "DEFERRED"}
        if not self.is_sqlite:
            options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        with self._transaction(options) as connection:
            if self.is_sqlite and not self.read_only:
                connection.exec_driver_sql("PRAGMA query_only = ON")
                try:
                    yield connection
                finally:
                    connection.exec_driver_sql("PRAGMA query_only = OFF")
            else:
                yield connection

    @contextmanager
    def writing(self, *, patient: bool = True) -> Iterator[Connection]:
        """A transaction that may write; on SQLite it waits until it is the only writer. Commits on leaving.

        Parameters
        ----------
        patient : bool
            False gives up with a BusyError where others would have to be waited for.

        Raises
        ------
        ReadOnlyStoreError
            If the store was opened, or lies, read-only.
        StoreUnreachableError, BusyError, NoSpaceError
            If the database does not answer, stays locked, or has no room.
        """
        self._refuse_reader()
        wait_s = BUSY_TIMEOUT_S if patient else 0.0
        options = {"bsv_begin": "IMMEDIATE", "bsv_wait_s": wait_s} if self.is_sqlite else {}
        with self._transaction(options) as connection:
            if not (self.is_sqlite or patient):
                # 0 would be for ever.
                connection.exec_driver_sql("SET LOCAL lock_timeout = 1")
            yield connection
        self._has_written = True

    def require_writable(self) -> None:
        """Accept a database that this user may write to, so that no work is done that could not be kept.

        Raises
        ------
        ReadOnlyStoreError
            If it was opened read-only, its file or folder may not be written to, or the account may not insert.
        StoreUnreachableError, BusyError
            If the database does not answer, or stays locked.
        """
        self._refuse_reader()
        if not (self.is_sqlite or self._has_written):
            with self.reading() as connection:
                may_insert = connection.exec_driver_sql(
                    "SELECT NOT pg_is_in_recovery() AND has_table_privilege('experiment', 'INSERT')"
                ).scalar()
            if not may_insert:
                raise ReadOnlyStoreError(f"the database {self} may only be read by this account", hint=_READER_HINT)

    def _refuse_reader(self) -> None:
        if self.read_only:
            raise ReadOnlyStoreError("the store is open read-only", hint="Open it without read_only to change it.")
        # On a file that may not be written SQLite begins a transaction all the same, and says nothing until a row
        # changes; its journal lies beside the file.
        if isinstance(self.target, Path):
            for path in (self.target, self.target.parent):
                if path.exists() and not os.access(path, os.W_OK):
                    raise ReadOnlyStoreError(f"{path} may only be read by this account", hint=_READER_HINT)

    def vacuum(self, table: str) -> None:
        """Mark the pages of a Postgres table that everybody may see, so that an index alone answers queries it covers.

        Rows of others that are being written stay as they are.

        Raises
        ------
        StoreUnreachableError, BusyError, NoSpaceError
            If the database does not answer, the table stays locked, or there is no room.
        """
        # No transaction may be open around it.
        engine = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        with self._translating(), engine.connect() as connection:
            connection.exec_driver_sql(f"VACUUM {connection.dialect.identifier_preparer.quote(table)}")

    @contextmanager
    def _transaction(self, options: dict[str, Any]) -> Iterator[Connection]:
        with self._translating(), self.engine.execution_options(**options).begin() as connection:
            yield connection

    @contextmanager
    def _translating(self) -> Iterator[None]:
        try:
            yield
        except (DBAPIError, self.engine.dialect.loaded_dbapi.Error) as error:
            raise translated(error, str(self)) from error

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    def __str__(self) -> str:
        return str(self.target)


def _connect_sqlite(path: Path, read_only: bool) -> sqlite3.Connection:
    # mode=rw, not rwc: a missing file must be an error, not a new empty catalog.
    uri = f"file:{quote(str(path))}?mode={'ro' if read_only else 'rw'}"
    connection = sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA cache_size = -65536")
    cursor.close()
    return connection


def _begin_sqlite(connection: Connection) -> None:
    options = connection.get_execution_options()
    connection.exec_driver_sql(f"PRAGMA busy_timeout = {options.get('bsv_wait_s', BUSY_TIMEOUT_S) * 1000:.0f}")
    connection.exec_driver_sql(f"BEGIN {options.get('bsv_begin', 'DEFERRED')}")


def translated(error: Exception, where: str) -> BsvStoreError:
    """Our error for one of the database driver's, by what it means to the user."""
    original = error.orig if isinstance(error, DBAPIError) else error
    text = str(original).lower()
    if "deadlock" in text:
        return BusyError(f"two jobs waited for each other in the database {where}", hint="Run the same again.")
    if "locked" in text or "lock timeout" in text:
        return BusyError(
            f"the database {where} stayed locked for {BUSY_TIMEOUT_S:.0f} s",
            hint="Another job is writing; try again when it is done.",
        )
    if "readonly" in text or "read-only" in text or "permission denied for" in text:
        return ReadOnlyStoreError(f"the database {where} may not be written to: {original}", hint=_READER_HINT)
    if "full" in text or "no space" in text:
        return NoSpaceError(f"no space left for the database {where}", hint="Free some room and run the same again.")
    kind = type(original).__name__
    if kind in {"OperationalError", "InterfaceError", "DatabaseError", "AdminShutdown"} or "connection" in text:
        return StoreUnreachableError(
            f"the database {where} does not answer as it should: {original}",
            hint="Check that the server or file is there and may be read.",
        )
    return InputError(f"the database refused what was asked for: {original}")


def _forget_inherited_connections() -> None:
    # A connection must not be used by two processes; the child leaves the parent's alone and opens its own.
    for engine in list(_engines):
        engine.dispose(close=False)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_inherited_connections)
