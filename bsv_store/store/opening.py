"""Create and open stores; show and upgrade the schema of a store that is too old to be opened."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from bsv_store.catalog.database import schema
from bsv_store.config import STORE_FILE, has_checksum, locate_store, read_located_config, read_store_config
from bsv_store.store.connection import check_store, connect
from bsv_store.store.store import Store


@dataclass(frozen=True, slots=True)
class SchemaState:
    """The schema revision of a store, and the one that this version needs."""

    revision: str | None
    head: str


def create_store(path: Path | str, *, database: str | None = None) -> Store:
    """Create an empty store and open it.

    Parameters
    ----------
    path : path
        A new or empty folder.
    database : str, optional
        Postgres URL without a password (set PGPASSWORD, or use ~/.pgpass). By default SQLite inside the folder.

    Raises
    ------
    StoreExistsError
        If the folder is not empty, or the database has the catalog of another store.
    InputError
        If the path or the database URL is not valid.
    """
    from bsv_store.store.creation import make_store

    folder = locate_store(path).path
    make_store(folder, database=database)
    return open_store(folder)


def open_store(path: Path | str | None = None, *, read_only: bool = False) -> Store:
    """Open a store, after checking that folder and database belong together and have a supported schema.

    Parameters
    ----------
    path : path, optional
        The folder. By default the variable ``BSV_STORE``, else the configuration file, else the platform's data folder.
    read_only : bool
        Never write anything, not even a journal.

    Raises
    ------
    InputError
        If the path is not valid.
    NotAStoreError
        If the folder is not a store, or its ``store.toml`` is damaged.
    SchemaTooOldError, SchemaTooNewError
        If the schema is not the one of this version. The hint is the next command.
    StoreMismatchError
        If the database belongs to another store.
    StoreUnreachableError
        If the folder or the database cannot be reached.
    """
    location = locate_store(path)
    config = read_located_config(location)
    store = Store(location.path, config, read_only=read_only)
    try:
        check_store(store.path, config, store.database)
    except BaseException:
        store.close()
        raise
    return store


def schema_state(path: Path | str | None = None) -> SchemaState:
    """The schema revision of a store, also of one that is too old or too new to be opened."""
    location = locate_store(path)
    with (
        closing(connect(location.path, read_located_config(location), read_only=True)) as database,
        database.reading() as connection,
    ):
        revision = schema.current_revision(connection)
    return SchemaState(revision, schema.HEAD)


def upgrade_store(path: Path | str | None = None) -> tuple[str | None, str]:
    """Upgrade the schema of a store in one transaction. Returns the revisions before and after.

    A ``store.toml`` without a checksum gets one.

    Raises
    ------
    SchemaTooNewError
        If a later version of the package created the store.
    BusyError
        If the database stays locked.
    """
    state = schema_state(path)
    if state.revision is not None and state.revision not in schema.KNOWN_REVISIONS:
        open_store(path).close()
    from bsv_store.volumes.files import StoreFiles

    folder = locate_store(path).path
    config = read_store_config(folder)
    with closing(connect(folder, config, read_only=False)) as database:
        schema.upgrade(database)
    if not has_checksum(folder):
        files = StoreFiles(folder, config.file_mode, config.directory_mode)
        files.publish(STORE_FILE, config.to_toml().encode())
    open_store(folder).close()
    return state.revision, schema.HEAD
