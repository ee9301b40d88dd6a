"""Attach a folder to its database: write a lost ``store.toml`` again, or link a folder that was moved or copied."""

from __future__ import annotations

import shlex
import stat
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import literal, select

from bsv_store.catalog.activity import record_activity
from bsv_store.catalog.database import schema
from bsv_store.catalog.database.engine import Database
from bsv_store.catalog.database.models import StoreInfo, StoreLink
from bsv_store.catalog.database.postgres import normalized_url
from bsv_store.config import (
    CATALOG_FILE,
    FOLDERS,
    SQLITE,
    STORE_FILE,
    StoreConfig,
    read_store_config,
    salvage_settings,
)
from bsv_store.errors import InputError, NotAStoreError, StoreMismatchError, StoreUnreachableError
from bsv_store.maintenance.folder_link import link_folder
from bsv_store.maintenance.inventory import expected_objects
from bsv_store.text import store_option
from bsv_store.volumes.files import StoreFiles

if TYPE_CHECKING:
    from sqlalchemy import Connection


@dataclass(frozen=True, slots=True)
class AttachReport:
    """Result of attaching a folder.

    Attributes
    ----------
    path : pathlib.Path
    database : str
        ``sqlite`` or the URL of the Postgres database.
    store_id : str
    was_written : bool
        Whether ``store.toml`` was written.
    expected, missing : int
        Number of files that the database expects, and of those that the folder does not have with the right size.
    """

    path: Path
    database: str
    store_id: str
    was_written: bool
    expected: int
    missing: int


def attach_folder(folder: Path, *, database: str | None = None, force: bool = False) -> AttachReport:
    """See `bsv_store.store.restoring.attach_store`."""
    if not folder.is_dir():
        raise NotAStoreError(
            f"there is no folder {folder}", hint="Name the folder that contains volumes/ and datasets/."
        )
    config = _readable_config(folder)
    url = _wanted_database(folder, config, database)
    if config is not None and url != config.database:
        raise InputError(
            f"{folder / STORE_FILE} is intact and names {config.database}, not {url}",
            hint=f"To move the catalog: bsv-store {store_option(folder)} store move --database URL",
        )
    target = folder / CATALOG_FILE if url == SQLITE else normalized_url(url)
    with closing(Database(target)) as catalog:
        with catalog.reading() as connection:
            revision = schema.current_revision(connection)
            if revision not in schema.KNOWN_REVISIONS:
                schema.check_schema(connection, "bsv-store db upgrade")
            # A catalog that is too old is attached as well, since it can be upgraded only afterwards.
            is_current = revision == schema.HEAD
            store_id, moved_to = _identity(connection, catalog, is_current=is_current)
            expected, missing = _count_missing(connection, folder) if is_current else (0, 0)
        if config is not None and config.store_id != store_id:
            raise StoreMismatchError(
                f"the folder {folder} is store {config.store_id}, but its database belongs to store {store_id}"
            )
        if moved_to is not None:
            raise StoreMismatchError(
                f"the catalog of the store was moved from {url} to {moved_to}",
                hint="Attach the folder to that one: "
                f"bsv-store store attach {shlex.quote(str(folder))} --database {shlex.quote(moved_to)}",
            )
        if missing * 2 > expected and not force:
            raise StoreMismatchError(
                f"{missing:,} of {expected:,} files that the database expects are not in {folder}",
                hint="It seems to be the folder of another store. If it is the right one, use --force, then repair it.",
            )
        if config is None:
            file_mode, directory_mode = _modes(folder)
            new = salvage_settings(
                folder, StoreConfig(store_id, database=url, file_mode=file_mode, directory_mode=directory_mode)
            )
        else:
            new = config
        files = StoreFiles(folder, new.file_mode, new.directory_mode)
        if is_current:
            with catalog.writing() as connection:
                link_folder(connection, files, replace=True)
                record_activity(connection, "attached", str(folder), {"missing": missing, "written": config is None})
        if config is None:
            files.publish(STORE_FILE, new.to_toml().encode())
    return AttachReport(folder, url, store_id, config is None, expected, missing)


def _readable_config(folder: Path) -> StoreConfig | None:
    try:
        return read_store_config(folder)
    except NotAStoreError:
        # Missing or damaged; it is written again.
        return None


def _wanted_database(folder: Path, config: StoreConfig | None, database: str | None) -> str:
    if database is not None:
        return database if database == SQLITE else normalized_url(database).render_as_string()
    if config is not None:
        return config.database
    if (folder / CATALOG_FILE).exists():
        return SQLITE
    raise InputError(
        f"{folder} has neither a valid {STORE_FILE} nor a {CATALOG_FILE}",
        hint=f"Name its Postgres database: bsv-store store attach {folder} --database postgresql://user@host/database",
    )


def _identity(connection: Connection, database: Database, *, is_current: bool) -> tuple[str, str | None]:
    """The id of the store in a database, and the database to which its catalog was moved."""
    if is_current:
        query = select(StoreInfo.store_id, StoreLink.moved_to).outerjoin(
            StoreLink.__table__, StoreLink.id == StoreInfo.id
        )
    else:
        query = select(StoreInfo.store_id, literal(None).label("moved_to"))
    row = connection.execute(query).first()
    if row is None:
        raise StoreUnreachableError(
            f"the database {database} has an empty catalog, which belongs to no store", hint="Check the URL."
        )
    return str(row.store_id), row.moved_to


def _count_missing(connection: Connection, folder: Path) -> tuple[int, int]:
    files = StoreFiles(folder)
    expected = missing = 0
    for each in expected_objects(connection):
        expected += 1
        path = files.path(each.path)
        missing += not (path.is_file() and path.stat().st_size == each.size_bytes)
    return expected, missing


def _modes(folder: Path) -> tuple[int, int]:
    """The permissions of files and folders of a store, as its files and folders show them, or else the default."""
    default = StoreConfig("")
    file_mode, directory_mode = default.file_mode, default.directory_mode
    folders = [folder / name for name in FOLDERS if (folder / name).is_dir()]
    if folders:
        directory_mode = stat.S_IMODE(folders[0].stat().st_mode) & 0o3077 | 0o700
    for path in (folder / "volumes", folder / "datasets"):
        file = next((each for each in sorted(path.rglob("*")) if each.is_file()), None)
        if file is not None:
            file_mode = stat.S_IMODE(file.stat().st_mode) & 0o066 | 0o600
            break
    return file_mode, directory_mode
