"""Connections to SQLite: how they are opened, and how transactions start."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Connection

from bsv_store.catalog.database.driver_errors import BUSY_TIMEOUT_S


def connect_sqlite(path: Path, read_only: bool) -> sqlite3.Connection:
    """A new connection to an existing file."""
    # mode=rw, not rwc: a missing file must be an error, not a new empty catalog.
    uri = f"file:{quote(os.fsencode(path))}?mode={'ro' if read_only else 'rw'}"
    connection = sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA cache_size = -65536")
    cursor.close()
    return connection


def begin_sqlite(connection: Connection) -> None:
    """Start a transaction with the execution options of the connection."""
    options = connection.get_execution_options()
    connection.exec_driver_sql(f"PRAGMA busy_timeout = {options.get('bsv_wait_s', BUSY_TIMEOUT_S) * 1000:.0f}")
    connection.exec_driver_sql(f"BEGIN {options.get('bsv_begin', 'DEFERRED')}")
