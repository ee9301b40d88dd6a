"""The database of a store: connect to it, and check that it belongs to the store's folder."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import select

from bsv_store.catalog.database import schema
from bsv_store.catalog.database.engine import Database
from bsv_store.catalog.database.models import StoreInfo
from bsv_store.catalog.database.postgres import normalized_url
from bsv_store.config import CATALOG_FILE, SQLITE, STORE_FILE, StoreConfig
from bsv_store.errors import InputError, NotAStoreError, StoreMismatchError, StoreUnreachableError
from bsv_store.store.known_servers import warn_of_new_server


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
        raise StoreUnreachableError(f"the catalog {catalog} is missing", hint="Restore it from a backup.")
    return Database(catalog, read_only=read_only)


def check_store(path: Path, config: StoreConfig, database: Database) -> None:
    """Check that a database belongs to the folder and that this version supports its schema.

    Raises
    ------
    StoreMismatchError
        If the database belongs to another store.
    NotAStoreError
        If the database has no catalog.
    SchemaTooOldError, SchemaTooNewError
        If the schema is not the one of this version. The hint is the next command.
    """
    with database.reading() as connection:
        schema.check_schema(connection, f"bsv-store --store {path} db upgrade")
        store_id = connection.execute(select(StoreInfo.store_id)).scalar()
    if store_id != config.store_id:
        raise StoreMismatchError(
            f"the folder {path} is store {config.store_id}, but its database belongs to store {store_id}",
            hint="One of the two was restored or moved without the other.",
        )
