"""Ways to a store: make one, open one, see and upgrade the schema of one that is too old to be opened."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from bsv_store.catalog.database import schema
from bsv_store.config import locate_store, read_store_config
from bsv_store.store.creation import check_store, connect, make_store
from bsv_store.store.store import Store


@dataclass(frozen=True, slots=True)
class SchemaState:
    """The schema revision of a store, and the one that this version of the package works with."""

    revision: str | None
    head: str


def create_store(path: Path | str, *, database: str | None = None) -> Store:
    """A new, empty store, open for use.

    Parameters
    ----------
    path : path
        A new or empty folder.
    database : str, optional
        Postgres URL without password (set PGPASSWORD, or use ~/.pgpass); SQLite inside the folder by default.

    Raises
    ------
    StoreExistsError
        If a store, or anything else, stands there.
    InputError
        If the database URL cannot be used.
    """
    folder = locate_store(path).path
    make_store(folder, database=database)
    return open_store(folder)


def open_store(path: Path | str | None = None, *, read_only: bool = False) -> Store:
    """The store in a folder, checked to be whole and of a schema that this version works with.

    Parameters
    ----------
    path : path, optional
        Default: the variable ``BSV_STORE``, the configuration file, the platform's data folder.
    read_only : bool
        Never write a byte, not even a journal.

    Raises
    ------
    NotAStoreError
        If the folder is no store.
    SchemaTooOldError, SchemaTooNewError
        With the exact next step.
    StoreMismatchError
        If the database belongs to another store.
    StoreUnreachableError
        If folder or database does not answer.
    """
    location = locate_store(path)
    config = read_store_config(location.path)
    store = Store(location.path, config, read_only=read_only)
    try:
        check_store(store.path, config, store.database)
    except BaseException:
        store.close()
        raise
    return store


def schema_state(path: Path | str | None = None) -> SchemaState:
    """The schema revision of a store, which may be too old or too new to be opened."""
    folder = locate_store(path).path
    with (
        closing(connect(folder, read_store_config(folder), read_only=True)) as database,
        database.reading() as connection,
    ):
        revision = schema.current_revision(connection)
    return SchemaState(revision, schema.HEAD)


def upgrade_store(path: Path | str | None = None) -> tuple[str | None, str]:
    """Bring a store's schema up to this version's, in one transaction; the revisions before and after.

    Raises
    ------
    SchemaTooNewError
        If a later version of the package made the store.
    BusyError
        If others keep the database locked.
    """
    state = schema_state(path)
    if state.revision is not None and state.revision not in schema.KNOWN_REVISIONS:
        open_store(path).close()
    folder = locate_store(path).path
    with closing(connect(folder, read_store_config(folder), read_only=False)) as database:
        schema.upgrade(database)
    open_store(folder).close()
    return state.revision, schema.HEAD
