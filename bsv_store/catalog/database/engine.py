"""The database connection: how transactions start on SQLite and Postgres, and which errors users see.

SQLAlchemy's default way to start transactions on SQLite silently loses updates between processes (888 of 960 in a
measurement), so transactions begin explicitly here: BEGIN DEFERRED to read, BEGIN IMMEDIATE to write. SQLite uses its
rollback journal by default, because WAL had a corruption bug up to SQLite 3.51.2 and does not work over network file
systems; see `bsv_store.catalog.database.journal_mode`.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, PendingRollbackError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import NullPool, QueuePool

from bsv_store.catalog.database.change_marker import POSTGRES_MARKER, FileMarker
from bsv_store.catalog.database.driver_errors import BUSY_TIMEOUT_S, READER_HINT, translated
from bsv_store.catalog.database.postgres import (
    begin_with_settings,
    connect_arguments,
    connection_url,
    quoted,
    schema_of,
)
from bsv_store.catalog.database.running import RunningQueries
from bsv_store.catalog.database.sqlite import CatalogConnection, connect_sqlite, listen_sqlite
from bsv_store.catalog.database.sqlite_errors import CannotReadInPlaceError
from bsv_store.errors import (
    BusyError,
    DamagedCatalogError,
    InputError,
    PrivateCopyWarning,
    ReadOnlyStoreError,
    StoreUnreachableError,
)
from bsv_store.file_systems import require_write_access
from bsv_store.text import masked

if TYPE_CHECKING:
    from bsv_store.catalog.database.private_copy import RecoveredCopy
    from bsv_store.catalog.local_versions import LocalVersionRow
    from bsv_store.catalog.tables.table import Table

_engines: weakref.WeakSet[Engine] = weakref.WeakSet()


@dataclass(frozen=True, slots=True)
class ReadableFile:
    """The SQLite file that a reader can read.

    Attributes
    ----------
    path : pathlib.Path
        The catalog, or a private copy of it.
    blocks_writers : bool
        Whether other jobs cannot commit while it is read.
    is_immutable : bool
        Whether nothing ever writes to it.
    prepare : callable
        Called with each new connection to it.
    """

    path: Path
    blocks_writers: bool
    is_immutable: bool = False
    prepare: Callable[[sqlite3.Connection], None] = lambda _driver: None


class Database:
    """The catalog's database of one store.

    Parameters
    ----------
    target : pathlib.Path or sqlalchemy.URL
        The SQLite file, or a Postgres URL.
    read_only : bool
        Never write, not even a journal.
    pooled : bool
        False opens a new connection for each transaction, as migrations need.

    Notes
    -----
    Safe to share between threads and to use after a fork: a child process opens its own connections.
    """

    def __init__(self, target: Path | URL, *, read_only: bool = False, pooled: bool = True) -> None:
        self.target = target
        self.read_only = read_only
        self.pooled = pooled
        self.is_sqlite = isinstance(target, Path)
        # Whether this account is known to have write access, so that the check is made only once.
        self._may_insert = False
        self._copy: _CopyInUse | None = None
        self._copy_lock = threading.Lock()
        self.queries = RunningQueries()
        self._file_marker = FileMarker(target) if isinstance(target, Path) else None
        # The databases of a server share the numbers of transactions.
        self._marker_name = secrets.token_hex(8)
        self.engine = self._new_engine(target)

    def _new_engine(self, target: Path | URL) -> Engine:
        pool: dict[str, Any] = {
            "poolclass": QueuePool,
            "pool_pre_ping": not self.is_sqlite,
            "pool_timeout": BUSY_TIMEOUT_S,
        }
        if not self.pooled:
            pool = {"poolclass": NullPool}
        if isinstance(target, Path):
            engine = create_engine("sqlite://", creator=lambda: self._connect(target), **pool)
            listen_sqlite(engine)
        else:
            engine = create_engine(connection_url(target), connect_args=connect_arguments(target), **pool)
            event.listen(engine, "begin", begin_with_settings(target))
        _engines.add(engine)
        return engine

    def _connect(self, target: Path) -> CatalogConnection:
        return connect_sqlite(target, self.read_only)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A read-only transaction, which sees a single state of the database.

        Raises
        ------
        StoreUnreachableError, BusyError
            If the database cannot be reached, or stays locked.
        """
        options: dict[str, Any] = {"bsv_begin": "DEFERRED"}
        if not self.is_sqlite:
            options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        with self._transaction(options) as connection:
            if self.is_sqlite:
                driver: Any = connection.connection.driver_connection
                driver.execute("PRAGMA query_only = ON")
                try:
                    yield connection
                finally:
                    driver.execute("PRAGMA query_only = OFF")
            else:
                yield connection

    @contextmanager
    def writing(self, *, patient: bool = True) -> Iterator[Connection]:
        """A transaction that may write, committed at the end. On SQLite it waits until it is the only writer.

        Parameters
        ----------
        patient : bool
            False raises BusyError instead of waiting for others.

        Raises
        ------
        ReadOnlyStoreError
            If the store was opened read-only, or cannot be written to.
        StoreUnreachableError, BusyError, NoSpaceError
            If the database cannot be reached, stays locked, or its disk is full.
        """
        self._refuse_reader()
        options: dict[str, Any] = {}
        if self.is_sqlite:
            options = {"bsv_begin": "IMMEDIATE"} if patient else {"bsv_begin": "IMMEDIATE", "bsv_wait_s": 0.0}
        with self._transaction(options) as connection:
            if not (self.is_sqlite or patient):
                # 0 means no timeout.
                connection.exec_driver_sql("SET LOCAL lock_timeout = 1")
            yield connection

    def require_writable(self) -> None:
        """Check that this user may write to the database, before work is done that could not be stored.

        Raises
        ------
        ReadOnlyStoreError
            If it was opened read-only, its file or folder is not writable, or the account may not insert rows.
        StoreUnreachableError, BusyError
            If the database cannot be reached, or stays locked.
        """
        self._refuse_reader()
        if not (self.is_sqlite or self._may_insert):
            with self.reading() as connection:
                may_insert = connection.exec_driver_sql(
                    "SELECT NOT pg_is_in_recovery() AND has_table_privilege('experiment', 'INSERT')"
                ).scalar()
            if not may_insert:
                raise ReadOnlyStoreError(f"this account has no write access to the database {self}", hint=READER_HINT)
            self._may_insert = True

    def _refuse_reader(self) -> None:
        if self.read_only:
            raise ReadOnlyStoreError("the store is open read-only", hint="Open it without read_only to change it.")
        # SQLite begins a write transaction on a read-only file too, and fails only when a row changes. Its journal is
        # beside the file.
        if isinstance(self.target, Path):
            for path in (self.target, self.target.parent):
                require_write_access(path, hint=READER_HINT)

    def vacuum(self, table: str) -> None:
        """Vacuum a Postgres table, so that queries covered by an index need not visit the table.

        A table that another session has locked is not vacuumed.

        Raises
        ------
        StoreUnreachableError, NoSpaceError
            If the database cannot be reached, or its disk is full.
        """
        assert isinstance(self.target, URL)
        # VACUUM cannot run inside a transaction, and so has neither our search path nor our timeout for locks.
        name = f"{quoted(schema_of(self.target))}.{quoted(table)}"
        engine = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        with self.translating(), engine.connect() as connection:
            connection.exec_driver_sql(f"VACUUM (SKIP_LOCKED) {name}")

    def change_marker(self) -> str:
        """A string that differs after any commit of another connection; see `Catalog.change_marker`.

        Raises
        ------
        StoreUnreachableError, BusyError
            If the database cannot be reached, or stays locked.
        """
        if self._file_marker is not None:
            with self.translating():
                return self._file_marker.read()
        # A transaction would take three more round trips.
        engine = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        with self.translating(), engine.connect() as connection:
            return f"{self._marker_name} {connection.exec_driver_sql(POSTGRES_MARKER).scalar_one()}"

    def readable_file(self, *, wait_s: float) -> ReadableFile:
        """The SQLite file that can be read now. What a killed writer left in it is undone first.

        Parameters
        ----------
        wait_s : float
            How long to wait for a writer.

        Raises
        ------
        StoreUnreachableError, BusyError, ReadOnlyStoreError
            If the catalog cannot be read.
        """
        with self._transaction({"bsv_begin": "DEFERRED", "bsv_wait_s": wait_s}) as connection:
            driver: Any = connection.connection.driver_connection
            assert isinstance(driver, CatalogConnection)
            return ReadableFile(driver.path, blocks_writers=driver.path == self.target and not driver.is_wal)

    def require_original(self) -> None:
        """Check that this is the database of the store itself, and not a copy of a part of it.

        Raises
        ------
        ReadOnlyStoreError
        """

    def answer_elsewhere(
        self,
        statement: str,
        parameters: Mapping[str, Any],
        *,
        row_limit: int | None,
        time_limit_s: float,
        max_bytes: int,
    ) -> Table | None:
        """The rows of a query of a user, from the server that this database is a copy of; None to run it here."""
        return None

    def local_versions(self) -> tuple[LocalVersionRow, ...]:
        """The dataset versions that were computed on this computer, if this is a copy of a server's catalog."""
        return ()

    @contextmanager
    def _transaction(self, options: dict[str, Any]) -> Iterator[Connection]:
        with self.translating(), ExitStack() as stack:
            try:
                connection = stack.enter_context(self.engine.execution_options(**options).begin())
            except CannotReadInPlaceError as error:
                if options["bsv_begin"] != "DEFERRED":
                    raise
                engine = self._recovered(error)
                connection = stack.enter_context(engine.execution_options(**options).begin())
            yield connection

    def _recovered(self, error: CannotReadInPlaceError) -> Engine:
        """A private copy of the catalog, for a reader that cannot read the file itself.

        Raises
        ------
        CannotReadInPlaceError
            If it cannot be copied.
        """
        from bsv_store.catalog.database.private_copy import recovered_copy

        assert isinstance(self.target, Path)
        with self._copy_lock:
            if self._copy is None or not self._copy.files.is_current():
                copied = recovered_copy(self.target)
                if copied is None:
                    raise error
                if self._copy is not None:
                    self._copy.close()
                self._copy = _CopyInUse(copied)
                warnings.warn(
                    PrivateCopyWarning(f"{error.message}; reading a private copy without it", hint=error.hint),
                    stacklevel=2,
                )
            return self._copy.engine

    @contextmanager
    def translating(self) -> Iterator[None]:
        """Raise the errors of bsv-store for errors of the driver."""
        try:
            yield
        except PoolTimeoutError as error:
            raise BusyError(
                f"all connections of this process to the database {self} have been in use for {BUSY_TIMEOUT_S:.0f} s",
                hint="Use fewer threads, or try again when other jobs that write have finished.",
            ) from error
        except PendingRollbackError as error:
            # The first statement that failed was handled, such as by a migration, and the next one was tried.
            raise StoreUnreachableError(
                f"the connection to the database {self} was lost",
                hint="Check that the server is running, and run the command again.",
            ) from error
        except (DBAPIError, self.engine.dialect.loaded_dbapi.Error) as error:
            raise translated(error, str(self)) from error
        except (UnicodeEncodeError, OverflowError) as error:
            # The drivers raise these for lone surrogates and for integers of more than 64 bits.
            raise InputError(f"a text or number cannot be passed to the database: {error}") from error
        except UnicodeDecodeError as error:
            # SQLite's error message repeats damaged bytes.
            raise DamagedCatalogError(
                f"the database {self} is damaged: {error}", hint="Restore the database from a backup."
            ) from error

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()
        if self._file_marker is not None:
            self._file_marker.close()
        with self._copy_lock:
            if self._copy is not None:
                self._copy.close()
                self._copy = None

    def __reduce__(self) -> tuple[Callable[..., Database], tuple[Path | URL, bool, bool]]:
        # A copy opens its own connections, even in another process.
        return _reopened, (self.target, self.read_only, self.pooled)

    def __str__(self) -> str:
        return masked(str(self.target))


class _CopyInUse:
    """A private copy of a catalog, with its connections; removed with the `Database` or at the end of the process."""

    def __init__(self, files: RecoveredCopy) -> None:
        self.files = files
        self.engine = create_engine(
            "sqlite://", creator=lambda: connect_sqlite(files.path, read_only=False), poolclass=QueuePool
        )
        listen_sqlite(self.engine)
        _engines.add(self.engine)
        self._remove = weakref.finalize(self, files.remove)

    def close(self) -> None:
        self.engine.dispose()
        self._remove()


def _reopened(target: Path | URL, read_only: bool, pooled: bool) -> Database:
    return Database(target, read_only=read_only, pooled=pooled)


def _forget_inherited_connections() -> None:
    # Two processes must not share a connection: the child drops the parent's without closing them, and opens its own.
    for engine in list(_engines):
        engine.dispose(close=False)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_inherited_connections)
