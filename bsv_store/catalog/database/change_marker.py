"""Markers of a database: equal markers prove that nothing was committed in between. They cost one small query.

SQLite: ``PRAGMA data_version`` of one connection changes whenever another connection commits, in all journal modes;
numbers of different connections cannot be compared. Postgres: a snapshot determines which rows are visible, so two
transactions with equal snapshots see the same rows. A snapshot also changes by transactions in other databases of the
server, which makes a marker change without need, but never the reverse. Different databases have equal snapshots, so
each `Database` puts a name of its own before them. On a standby, snapshots as text are incomplete.
"""

from __future__ import annotations

import os
import secrets
import threading
from pathlib import Path

from bsv_store.catalog.database.sqlite import CatalogConnection, connect_sqlite
from bsv_store.catalog.database.sqlite_errors import CannotReadInPlaceError

# The start of the server: after a restore from a backup, the numbers of transactions repeat. Names are qualified by
# their schema, because the search path is only set in transactions, and this statement runs outside of one.
POSTGRES_MARKER = (
    "SELECT pg_catalog.concat_ws(' ', pg_catalog.pg_postmaster_start_time(),"
    " CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.gen_random_uuid()::pg_catalog.text"
    " ELSE pg_catalog.pg_current_snapshot()::pg_catalog.text END)"
)


class FileMarker:
    """The marker of a SQLite file. Safe to share between threads and to use after a fork.

    Parameters
    ----------
    path : pathlib.Path
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._connection: CatalogConnection | None = None
        self._opened: tuple[int, int, int] | None = None
        self._name = ""

    def read(self) -> str:
        """The current marker.

        Raises
        ------
        BusyError, StoreUnreachableError
            If the file stays locked, or cannot be read.
        sqlite3.Error
            Of the driver.
        """
        with self._lock:
            try:
                connection = self._current()
                versions: list[int] = []
                connection.wait_for(
                    lambda: versions.append(connection.execute("PRAGMA data_version").fetchone()[0]),
                )
            except CannotReadInPlaceError:
                # What a killed job left is undone in a copy of the file; nothing is known about it here.
                self._close()
                return secrets.token_hex(16)
            except BaseException:
                self._close()
                raise
            return f"{self._name} {versions[0]}"

    def _current(self) -> CatalogConnection:
        try:
            status = self._path.stat()
        except OSError:
            # The driver says what it cannot open.
            opened = (os.getpid(), 0, 0)
        else:
            opened = (os.getpid(), status.st_dev, status.st_ino)
        if self._connection is None or self._opened != opened:
            self._close()
            self._connection = connect_sqlite(self._path, read_only=True)
            self._opened = opened
            self._name = secrets.token_hex(8)
        return self._connection

    def _close(self) -> None:
        # A fork must not close a connection of its parent, which would release the parent's locks.
        if self._connection is not None and self._opened is not None and self._opened[0] == os.getpid():
            self._connection.close()
        self._connection = None

    def close(self) -> None:
        """Close the connection; reading opens another one."""
        with self._lock:
            self._close()
