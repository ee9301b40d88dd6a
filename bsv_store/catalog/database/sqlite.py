"""Connections to SQLite: how they are opened, how transactions start, and how long they wait for other jobs.

In rollback-journal mode, a reader blocks the commit of a writer, and a writer that waits to commit blocks new readers.
So the time that a reader may take is a part of the time that all others wait, and long runs wait for an hour.
"""

from __future__ import annotations

import os
import sqlite3
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, event

from bsv_store.catalog.database.driver_errors import BUSY_TIMEOUT_S
from bsv_store.catalog.database.sqlite_errors import (
    busy_error,
    cannot_read_in_place,
    is_busy,
    refuse_unsafe_wal,
)
from bsv_store.errors import WaitingWarning

READ_LIMIT_S = BUSY_TIMEOUT_S * 2 / 3
"""Maximum duration of a user's query on the catalog file itself, unless readers do not block writers."""

LONG_RUN_TIMEOUT_S = 3600.0
"""How long the transactions of a long run wait for other jobs."""

# A waiting transaction says so after this time.
_NOTE_AFTER_S = 10.0
# Waits inside SQLite are split, so that Ctrl-C is noticed.
_STEP_S = 1.0
_PAUSE_S = 0.01

_is_long_run: ContextVar[bool] = ContextVar("is_long_run", default=False)


@contextmanager
def long_run() -> Iterator[None]:
    """Let transactions wait for other jobs for an hour instead of 30 s. For work that must not be lost to a wait."""
    token = _is_long_run.set(True)
    try:
        yield
    finally:
        _is_long_run.reset(token)


def connect_sqlite(path: Path, read_only: bool, *, immutable: bool = False) -> CatalogConnection:
    """A new connection to an existing file; an immutable one is read without locks."""
    # mode=rw, not rwc: a missing file must be an error, not a new empty catalog.
    uri = f"file:{quote(os.fsencode(path))}?mode={'ro' if read_only else 'rw'}{'&immutable=1' * immutable}"
    connection = sqlite3.connect(
        uri, uri=True, isolation_level=None, check_same_thread=False, factory=CatalogConnection
    )
    try:
        connection.prepare(path, wait_s=_usual_wait_s())
    except BaseException:
        connection.close()
        raise
    return connection


def listen_sqlite(engine: Engine) -> None:
    """Register the event listeners of a SQLite engine: `begin_sqlite` and `native_numbers`."""
    event.listen(engine, "begin", begin_sqlite)
    event.listen(engine, "before_cursor_execute", native_numbers, retval=True)


def begin_sqlite(connection: Connection) -> None:
    """Start a transaction with the execution options of the connection."""
    options = connection.get_execution_options()
    driver: Any = connection.connection.driver_connection
    driver.begin(options.get("bsv_begin", "DEFERRED"), wait_s=options.get("bsv_wait_s", _usual_wait_s()))


def native_numbers(
    _connection: Connection, _cursor: Any, statement: str, parameters: Any, _context: Any, executemany: bool
) -> tuple[str, Any]:
    """The statement and its parameters, with NumPy scalars converted to Python numbers.

    Python's driver would pass NumPy scalars to SQLite as bytes, which equal no number; the driver for Postgres converts
    them itself. The rows of ``executemany`` are not converted here but where they are made.
    """
    if executemany or not any(type(value).__module__ == "numpy" for value in _values(parameters)):
        return statement, parameters
    if isinstance(parameters, dict):
        return statement, {name: _native(value) for name, value in parameters.items()}
    return statement, tuple(_native(value) for value in parameters)


def _values(parameters: Any) -> Iterable[Any]:
    return parameters.values() if isinstance(parameters, dict) else parameters or ()


def _native(value: Any) -> Any:
    return value.item() if type(value).__module__ == "numpy" and value.ndim == 0 else value


def _usual_wait_s() -> float:
    return LONG_RUN_TIMEOUT_S if _is_long_run.get() else BUSY_TIMEOUT_S


class _ObservedCursor(sqlite3.Cursor):
    """A cursor of a `CatalogConnection` with a `before_statement`."""

    def execute(self, sql: str, parameters: Any = (), /) -> _ObservedCursor:
        connection = self.connection
        assert isinstance(connection, CatalogConnection)
        if connection.before_statement is not None:
            connection.before_statement(connection, sql)
        return super().execute(sql, parameters)


class CatalogConnection(sqlite3.Connection):
    """A connection whose transactions wait for other jobs, and report a long wait with a warning."""

    path = Path()
    is_wal = False
    wait_s = BUSY_TIMEOUT_S
    before_statement: Callable[[CatalogConnection, str], None] | None = None
    _timeout_ms = -1

    def cursor(self, factory: Any = None) -> Any:
        """A cursor that calls `before_statement` before each statement."""
        if self.before_statement is None:
            return super().cursor() if factory is None else super().cursor(factory)
        return super().cursor(_ObservedCursor)

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        """Execute a statement after calling `before_statement`."""
        if self.before_statement is None:
            return super().execute(sql, parameters)
        # The method of the base class would create an ordinary cursor.
        cursor: sqlite3.Cursor = self.cursor().execute(sql, parameters)
        return cursor

    def prepare(self, path: Path, *, wait_s: float) -> None:
        """Set up a new connection to a file; see `begin` for the errors."""
        self.path = path
        self.wait_s = wait_s
        with self._translating():
            self.wait_for(lambda: self.execute("PRAGMA foreign_keys = ON"))
            # These read the file.
            # FULL does not flush the removal of the journal, which is what commits. After a power failure the journal
            # would undo the last transaction.
            self.wait_for(lambda: self.execute("PRAGMA synchronous = EXTRA"))
            self.wait_for(lambda: self.execute("PRAGMA cache_size = -65536"))

    def begin(self, mode: str, *, wait_s: float) -> None:
        """Start a transaction that has its lock: a shared one, or with IMMEDIATE the only one of a writer.

        Raises
        ------
        BusyError
            If other jobs use the catalog for longer.
        CannotReadInPlaceError
            If a killed job left a journal that this connection cannot roll back.
        StoreUnreachableError
            If the catalog uses WAL, and this version of SQLite could corrupt it.
        """
        self.wait_s = wait_s
        with self._translating():
            self.wait_for(lambda: self.execute(f"BEGIN {mode}"))
            # BEGIN DEFERRED takes no lock. Reading takes it, and rolls back what a killed writer left.
            self.wait_for(lambda: self.execute("SELECT count(*) FROM sqlite_master WHERE rowid = 1").fetchall())
        self.is_wal = self.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        if self.is_wal:
            refuse_unsafe_wal(self.path)

    def commit(self) -> None:
        """Commit, after waiting for readers."""
        self.wait_for(super().commit)

    @contextmanager
    def _translating(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if (refusal := cannot_read_in_place(error, self.path)) is not None:
                raise refusal from error
            raise

    def wait_for(self, step: Callable[[], object]) -> None:
        """Repeat a step while other jobs lock the catalog.

        Raises
        ------
        BusyError
            If they do so for longer than this connection waits.
        """
        start = time.monotonic()
        is_noted = False
        while True:
            waited_s = time.monotonic() - start
            timeout_ms = round(1000 * max(0.0, min(_STEP_S, self.wait_s - waited_s)))
            # Nothing else sets the timeout.
            if timeout_ms != self._timeout_ms:
                self.execute(f"PRAGMA busy_timeout = {timeout_ms}")
                self._timeout_ms = timeout_ms
            try:
                step()
            except sqlite3.OperationalError as error:
                if not is_busy(error):
                    raise
                waited_s = time.monotonic() - start
                if waited_s >= self.wait_s:
                    raise busy_error(str(self.path), waited_s) from error
                # SQLite does not always wait.
                time.sleep(min(_PAUSE_S, self.wait_s - waited_s))
            else:
                return
            if waited_s >= _NOTE_AFTER_S and not is_noted:
                is_noted = True
                warnings.warn(
                    WaitingWarning(f"waiting for another job that is reading or writing the catalog {self.path}"),
                    stacklevel=2,
                )
