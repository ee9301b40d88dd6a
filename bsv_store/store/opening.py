"""Create and open stores; show and upgrade the schema of a store that is too old to be opened."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from bsv_store.catalog.database import schema
from bsv_store.config import STORE_FILE, has_checksum, locate_store, read_located_config, read_store_config
from bsv_store.progress import NO_PROGRESS, Progress
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


@dataclass(frozen=True, slots=True)
class UpgradeReport:
    """Result of an upgrade.

    Attributes
    ----------
    before : str or None
        Schema revision before.
    after : str
        Schema revision after.
    hashed : int
        Number of volumes at 25 and 10 um whose block hashes were computed and recorded.
    damaged : tuple of str
        Paths of volumes at 25 and 10 um that are missing or damaged.
    """

    before: str | None
    after: str
    hashed: int
    damaged: tuple[str, ...]


def grant_reading(path: Path | str | None = None, *, accounts: Sequence[str] = ()) -> str:
    """Create a role on the Postgres server that can only read the catalog, and make accounts members of it.

    Queries of `Store.sql` run as this role. Accounts that are members can read the catalog with other programs. Call it
    again to add more accounts; existing members are not removed.

    Parameters
    ----------
    path : path, optional
        See `open_store`.
    accounts : sequence of str
        Existing accounts of the server. The account of the store always becomes a member.

    Returns
    -------
    str
        The name of the role.

    Raises
    ------
    InputError
        If the database is SQLite, or an account does not exist.
    StoreError
        If the account of the store may not create roles or does not own the catalog. The hint contains the statements
        that an administrator must run.
    """
    from bsv_store.catalog.database import reader

    with closing(open_store(path)) as store:
        return reader.grant_reading(store.database, accounts)


def upgrade_store(path: Path | str | None = None, *, progress: Progress = NO_PROGRESS) -> UpgradeReport:
    """Upgrade the schema of a store in one transaction, then compute missing block hashes of its volumes.

    The second step reads all volumes at 25 and 10 um whose block hashes are not recorded. If it is interrupted, the
    store can be used, and the next upgrade continues. If ``store.toml`` has no checksum, one is written.

    Parameters
    ----------
    path : path, optional
        See `open_store`.
    progress : Progress
        Of the second step.

    Returns
    -------
    UpgradeReport

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
    from bsv_store.catalog.volumes import complete_block_hashes
    from bsv_store.maintenance.folder_link import link_folder
    from bsv_store.volumes.files import StoreFiles

    folder = locate_store(path).path
    config = read_store_config(folder)
    with closing(connect(folder, config, read_only=False)) as database:
        schema.upgrade(database)
        with database.writing() as connection:
            link_folder(connection, StoreFiles(folder, config.file_mode, config.directory_mode))
    if not has_checksum(folder):
        files = StoreFiles(folder, config.file_mode, config.directory_mode)
        files.publish(STORE_FILE, config.to_toml().encode())
    with closing(open_store(folder)) as store:
        hashed, damaged = complete_block_hashes(store.database, store.files, progress=progress)
    return UpgradeReport(state.revision, schema.HEAD, hashed, tuple(damaged))
