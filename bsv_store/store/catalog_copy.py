"""A copy of the catalog before its schema changes: of the SQLite file, or a dump of the Postgres schema."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import URL

from bsv_store.catalog.database.driver_errors import translated
from bsv_store.catalog.database.engine import Database
from bsv_store.catalog.database.postgres import connect_arguments, connection_url, quoted, schema_of
from bsv_store.catalog.database.schema import current_revision
from bsv_store.catalog.database.sqlite_copy import copy_sqlite
from bsv_store.errors import DamagedCatalogError, InputError, NoSpaceError, StoreError
from bsv_store.text import listed, masked, size_text
from bsv_store.volumes.files import StoreFiles, store_errors
from bsv_store.volumes.folders import sync_folder

BACKUP_FOLDER = "backups"


def copy_catalog(database: Database, files: StoreFiles, target: Path | None) -> Path | None:
    """Copy the catalog, verify the copy, and return its path.

    Parameters
    ----------
    database : Database
    files : StoreFiles
    target : pathlib.Path, optional
        A new file. By default, a SQLite catalog is copied to ``backups/`` in the store's folder, and a Postgres
        database is not copied.

    Raises
    ------
    InputError
        If the file exists, or pg_dump is not installed.
    NoSpaceError, ReadOnlyStoreError, StoreError
        If it cannot be written.
    DamagedCatalogError
        If the copy of a SQLite catalog is damaged, because the catalog is.
    """
    if target is not None and target.exists():
        raise InputError(f"the file {target} exists already", hint="Name a new file for the backup.")
    if isinstance(database.target, URL):
        return None if target is None else _dump_postgres(database.target, files, target)
    source = database.target
    with database.reading() as connection:
        revision = current_revision(connection)
    made = target or _unused_name(files.root / BACKUP_FOLDER, f"catalog-{revision}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
    with store_errors(made):
        if target is None:
            files.make_folder(made.parent)
        needed = source.stat().st_size
        if shutil.disk_usage(made.parent).free < needed:
            raise NoSpaceError(
                f"no space left in {made.parent} for a copy of the catalog ({size_text(needed)})",
                hint="Free some disk space, or name a file on another disk with --backup FILE.",
            )
        _write(made, files, lambda path: _copied(source, path, str(database)))
    return made


def _unused_name(folder: Path, stem: str) -> Path:
    names = (f"{stem}{'' if number == 1 else f'-{number}'}.db" for number in range(1, 1000))
    return next(folder / name for name in names if not (folder / name).exists())


def _write(made: Path, files: StoreFiles, write: Callable[[Path], None]) -> None:
    """Write a file under another name, and rename it when it is complete and verified."""
    partial = made.with_name(f"{made.name}.partial")
    try:
        write(partial)
        descriptor = os.open(partial, os.O_RDWR)
        try:
            os.fchmod(descriptor, files.file_mode)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        partial.rename(made)
        sync_folder(made.parent)
    finally:
        partial.unlink(missing_ok=True)


def _copied(source: Path, copy: Path, where: str) -> None:
    copy.unlink(missing_ok=True)
    try:
        copy_sqlite(source, copy)
        with closing(sqlite3.connect(copy)) as connection:
            found = [row[0] for row in connection.execute("PRAGMA integrity_check")]
    except sqlite3.Error as error:
        raise translated(error, where) from error
    if found != ["ok"]:
        raise DamagedCatalogError(
            f"the catalog {where} is damaged: {listed(found)}", hint="Restore the database from a backup."
        )


def _dump_postgres(url: URL, files: StoreFiles, target: Path) -> Path:
    """Write a dump of the store's schema with pg_dump, and read its table of contents."""
    program = shutil.which("pg_dump")
    reader = shutil.which("pg_restore")
    if program is None or reader is None:
        raise InputError(
            "pg_dump and pg_restore are not installed here, so no backup can be made",
            hint="Install the Postgres client programs, or make a backup on the server and use --yes.",
        )
    with store_errors(target):

        def dump(partial: Path) -> None:
            address = connection_url(url).set(drivername="postgresql").render_as_string()
            options = ["--format=custom", "--no-password", f"--schema={quoted(schema_of(url))}"]
            _run([program, *options, f"--file={partial}", f"--dbname={address}"], url)
            _run([reader, "--list", str(partial)], url)

        _write(target, files, dump)
    return target


def _run(command: list[str], url: URL) -> None:
    required = connect_arguments(url).get("require_auth")
    environment = {**os.environ, **({} if required is None else {"PGREQUIREAUTH": str(required)})}
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, env=environment)
    if done.returncode:
        raise StoreError(
            f"{Path(command[0]).name} failed: {masked(done.stderr.strip())}",
            hint="The schema was not changed. pg_dump must not be older than the server.",
        )
