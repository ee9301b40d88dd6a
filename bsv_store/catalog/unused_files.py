"""Files that no row names: moved to the trash or deleted without harming a process that is about to name them.

A file is published before its row is committed, so a file without a row may be about to get one. Two rules make it safe
to remove such a file at any time:

- It is removed in a transaction that excludes those that record files, after a check that no row names it
  (`trash_unused`, `delete_unused`).
- A transaction that records a file calls `keep_files`, and then checks that the file is there.

Whichever transaction comes first, the other one sees what it did.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import Connection, func, select

from bsv_store.catalog.database.models import DatasetVersion, StoredAnnotation, StoredTemplate, StoredVolume
from bsv_store.checkpoints import checkpoint
from bsv_store.volumes.files import store_errors

if TYPE_CHECKING:
    from bsv_store.catalog.database.engine import Database
    from bsv_store.vocabulary import TrashReason
    from bsv_store.volumes.files import StoreFiles
    from bsv_store.volumes.trash import TrashRecord

_TABLES = (StoredAnnotation, StoredTemplate, DatasetVersion, StoredVolume)
# Files moved in one transaction, which other writers wait for.
_BATCH = 64


def keep_files(connection: Connection) -> None:
    """Ensure that no file is removed by `trash_unused` or `delete_unused` until the transaction ends.

    Call this before checking that a file that is to be recorded is there.
    """
    _lock(connection, "ROW EXCLUSIVE")


def _lock(connection: Connection, mode: str) -> None:
    # On SQLite a writing transaction excludes all others.
    if connection.dialect.name != "sqlite":
        names = ", ".join(table.__tablename__ for table in _TABLES)
        connection.exec_driver_sql(f"LOCK TABLE {names} IN {mode} MODE")


def used_paths(connection: Connection, paths: Collection[str]) -> set[str]:
    """Those of the paths that a row names."""
    found: set[str] = set()
    listed = sorted(paths)
    for table in _TABLES:
        if connection.dialect.name == "sqlite":
            values = func.json_each(json.dumps(listed)).table_valued("value")
            condition = table.path.in_(select(values.c.value))
        else:
            condition = table.path.in_(listed)
        found.update(connection.scalars(select(table.path).where(condition)))
    return found


def trash_unused(
    database: Database,
    files: StoreFiles,
    paths: Sequence[str],
    reason: TrashReason,
    *,
    before: datetime | None = None,
) -> list[tuple[str, int]]:
    """Move those of the files to the trash that no row names.

    Parameters
    ----------
    before : datetime.datetime, optional
        Leave files that were modified at that time or later, by the clock of the file server.

    Returns
    -------
    list of (str, int)
        Path and size in bytes of each file that was moved.
    """
    moved: list[tuple[str, int]] = []
    for start in range(0, len(paths), _BATCH):
        moved += _trash_batch(database, files, paths[start : start + _BATCH], reason, before)
    return moved


def _trash_batch(
    database: Database, files: StoreFiles, paths: Sequence[str], reason: TrashReason, before: datetime | None
) -> list[tuple[str, int]]:
    # Records first, since other writers wait while the files are moved.
    items = {}
    for path in paths:
        size_bytes = _size_if_older(files, path, before)
        if size_bytes is not None:
            items[path] = size_bytes, files.record_trash(path, reason, size_bytes=size_bytes)
    if not items:
        return []
    moved = []
    with _excluding_others(database) as connection:
        used = used_paths(connection, items)
        for path, (size_bytes, item) in items.items():
            # Another process may have published it again.
            if path in used or _size_if_older(files, path, before) is None:
                files.forget_trash(item)
            elif files.move_to_trash(path, item):
                moved.append((path, size_bytes))
    return moved


def trash_recorded(database: Database, files: StoreFiles, path: str, item: str) -> bool:
    """Move a file whose record is written; if a row names the file, or it is gone, delete the record instead."""
    with _excluding_others(database) as connection:
        if used_paths(connection, [path]):
            files.forget_trash(item)
            return False
        return files.move_to_trash(path, item)


def forget_unmoved(database: Database, files: StoreFiles, record: TrashRecord) -> bool:
    """Delete the record of a file that was not moved, if a row names the file or it is gone; returns whether it did.

    A deletion writes the record before it commits.
    """
    with _excluding_others(database) as connection:
        is_moved = files.path(record.file_path).exists()
        is_needed = files.path(record.path).exists() and not used_paths(connection, [record.path])
        if is_moved or is_needed:
            return False
        files.forget_trash(record.item)
    return True


def delete_unused(database: Database, files: StoreFiles, path: str) -> bool:
    """Delete a file unless a row names it; returns whether it was deleted."""
    target = files.path(path)
    with _excluding_others(database) as connection, store_errors(target):
        if used_paths(connection, [path]) or not target.exists():
            return False
        target.unlink()
    return True


@contextmanager
def _excluding_others(database: Database) -> Iterator[Connection]:
    with database.writing() as connection:
        _lock(connection, "SHARE")
        yield connection
        checkpoint("unused:moved")


def _size_if_older(files: StoreFiles, path: str, before: datetime | None) -> int | None:
    try:
        found = files.path(path).stat()
    except FileNotFoundError:
        return None
    is_older = before is None or datetime.fromtimestamp(found.st_mtime, UTC) < before
    return found.st_size if is_older else None
