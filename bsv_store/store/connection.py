"""The database of a store: connect to it, and check that it belongs to the store's folder."""

from __future__ import annotations

import shlex
from pathlib import Path

from sqlalchemy import select

from bsv_store.catalog.database import schema
from bsv_store.catalog.database.engine import Database
from bsv_store.catalog.database.models import StoreInfo, StoreLink
from bsv_store.catalog.database.postgres import normalized_url
from bsv_store.config import CATALOG_FILE, SQLITE, STORE_FILE, StoreConfig
from bsv_store.errors import InputError, NotAStoreError, StoreMismatchError, StoreUnreachableError
from bsv_store.maintenance.folder_link import check_folder
from bsv_store.store.known_servers import warn_of_new_server
from bsv_store.text import store_option


def connect(path: Path, config: StoreConfig, *, read_only: bool) -> Database:
    """The database of a store.

    Raises
    ------
    StoreUnreachableError
        If the SQLite catalog is missing.
    NotAStoreError
        If the database URL is not valid.
    """
    if config.database != SQLITE:
        try:
            url = normalized_url(config.database)
        except InputError as error:
            raise NotAStoreError(f"{path / STORE_FILE}: {error.message}", hint=error.hint) from error
        warn_of_new_server(url, path)
        return Database(url, read_only=read_only)
    catalog = path / CATALOG_FILE
    if not catalog.is_file():
        raise StoreUnreachableError(
            f"the catalog {catalog} is missing",
            hint="Restore the store into a new folder: bsv-store backup restore TARGET FOLDER",
        )
    return Database(catalog, read_only=read_only)


def check_store(path: Path, config: StoreConfig, database: Database) -> None:
    """Check that a database belongs to the folder and that this version supports its schema.

    Raises
    ------
    StoreMismatchError
        If the database belongs to another store or another folder, or its catalog was moved to another database.
    NotAStoreError
        If the database has no catalog.
    SchemaTooOldError, SchemaTooNewError
        If the schema is not the one of this version. The hint is the next command.
    """
    with database.reading() as connection:
        schema.check_schema(connection, f"bsv-store {store_option(path)} db upgrade")
        query = select(StoreInfo.store_id, StoreLink.folder, StoreLink.moved_to).outerjoin(
            StoreLink.__table__, StoreLink.id == StoreInfo.id
        )
        store_id, folder, moved_to = connection.execute(query).first() or (None, None, None)
    _compare(path, config, store_id, folder, moved_to)


def check_identity(path: Path, config: StoreConfig, database: Database) -> None:
    """Check that a database belongs to the folder, whatever the revision of its schema.

    Raises
    ------
    StoreMismatchError
        As for `check_store`, as far as the revision records it.
    """
    with database.reading() as connection:
        if not schema.has_tables(connection):
            return
        store_id = connection.execute(select(StoreInfo.store_id)).scalar()
        folder, moved_to = None, None
        if schema.has_columns_of(connection, StoreLink):
            folder, moved_to = connection.execute(select(StoreLink.folder, StoreLink.moved_to)).first() or (None, None)
    _compare(path, config, store_id, folder, moved_to)


def _compare(path: Path, config: StoreConfig, store_id: str | None, folder: str | None, moved_to: str | None) -> None:
    if store_id != config.store_id:
        raise StoreMismatchError(
            f"the folder {path} is store {config.store_id}, but its database belongs to store {store_id}",
            hint="One of the two was restored or moved without the other.",
        )
    if moved_to is not None:
        raise StoreMismatchError(
            f"the catalog of the store {path} was moved to {moved_to}, but {STORE_FILE} names {config.database}",
            hint=f"Use the moved catalog: bsv-store {store_option(path)} store move --database {shlex.quote(moved_to)}",
        )
    check_folder(path, folder)
