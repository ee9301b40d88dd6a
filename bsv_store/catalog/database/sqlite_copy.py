"""A consistent copy of a SQLite database that others may be writing to."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from bsv_store.catalog.database.driver_errors import BUSY_TIMEOUT_S

# Pages copied at a time. All at once: others could write between two steps, and the copy would start over.
_ALL_PAGES = -1


def copy_sqlite(source: Path, target: Path) -> None:
    """Copy a database with SQLite's own means: one state of it, including what is in its journal.

    Raises
    ------
    sqlite3.Error
        If the source cannot be read, or the target cannot be written.
    """
    uri = f"file:{quote(os.fsencode(source))}?mode=ro"
    with (
        closing(sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S)) as original,
        closing(sqlite3.connect(target)) as copy,
    ):
        original.backup(copy, pages=_ALL_PAGES)
