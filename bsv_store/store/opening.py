"""Create and open stores; show and upgrade the schema of a store that is too old to be opened."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from bsv_store import check
from bsv_store.catalog.database import schema
from bsv_store.catalog.database.engine import Database
from bsv_store.config import STORE_FILE, has_checksum, locate_store, read_located_config, read_store_config
from bsv_store.errors import InputError
from bsv_store.progress import Progress, shown_progress
from bsv_store.store.connection import check_identity, check_store, connect
from bsv_store.store.store import Store, remote_store


@dataclass(frozen=True, slots=True)
class SchemaState:
    """The schema revision of a store, and the one that this version needs."""

    revision: str | None
    head: str


def create_store(
    path: Path | str, *, database: str | None = None, group: str | None = None, parents: bool = False
) -> Store:
    """Create an empty store and open it.

    Parameters
    ----------
    path : path
        A new or empty folder.
    database : str, optional
        Postgres URL without a password (set PGPASSWORD, or use ~/.pgpass). By default SQLite inside the folder.
    group : str, optional
        Name or number of the group of all files and folders, whose members share the store. By default the file system
        decides: a parent folder with the setgid bit passes on its group, else it is the group of this user.
    parents : bool
        Create missing parent folders. By default they are an error, because a path that is misspelled or on a disk that
        is not mounted would otherwise become a new store.

    Raises
    ------
    StoreExistsError
        If the folder is not empty, or the database has the catalog of another store.
    InputError
        If the path, the database URL or the group is not valid, this user is not a member of the group, or the parent
        folder does not exist.
    """
    from bsv_store.store.creation import make_store

    folder = locate_store(path).path
    make_store(folder, database=database, group=group, parents=parents)
    return open_store(folder)


def open_store(path: Path | str | None = None, *, read_only: bool = False, token: str | None = None) -> Store:
    """Open a store in a folder or on a server.

    Of a folder, it is checked that it and its database belong together and have a supported schema. A store on a server
    (``bsv-store serve``) can only be read. Its catalog is copied to a cache on this computer, and its files when they
    are first needed; what is in the cache can be used without the server.

    Parameters
    ----------
    path : path, optional
        The folder, or the address of a server, such as ``https://lab.example/bsv``. By default the variable
        ``BSV_STORE``, else the configuration file, else the platform's data folder.
    read_only : bool
        Never write anything to the store, not even a journal. A store on a server is always read-only.
    token : str, optional
        For a server that requires one. By default the variable ``BSV_STORE_TOKEN``, else the entry of the address in
        ``tokens.toml`` beside the user's configuration file, which only the user may read. It is only ever sent to the
        scheme, host and port of the address.

    Raises
    ------
    InputError
        If the path, address or token is not valid, or the address is not encrypted and not on this computer.
    NotAStoreError
        If the folder is not a store, or its ``store.toml`` is damaged.
    SchemaTooOldError, SchemaTooNewError
        If the schema is not the one of this version. The hint is the next command.
    StoreMismatchError
        If the database belongs to another store, or there is another store at the address than before.
    StoreUnreachableError
        If the folder or the database cannot be reached, or the server cannot and its catalog is not in the cache.
    TokenError
        If the server does not accept the token, or requires one.

    Warns
    -----
    BsvStoreWarning
        If the server cannot be reached, and the copy of its catalog is used.
    """
    location = locate_store(path)
    if location.url is not None:
        return _open_remote(location.url, location.origin, token)
    if token is not None:
        raise InputError("a token is for stores on servers, but this one is a folder", hint="Leave out token.")
    config = read_located_config(location)
    store = Store(location.path, config, read_only=read_only, origin=location.origin)
    try:
        check_store(store.path, config, store.database)
    except BaseException:
        store.close()
        raise
    return store


def _open_remote(url: str, origin: str, token: str | None) -> Store:
    from bsv_store.remote.client import Client
    from bsv_store.remote.folder import cache_folder, server_folder
    from bsv_store.remote.mirror import open_mirror
    from bsv_store.remote.token import token_for

    client = Client(url, token_for(url, token))
    try:
        mirror = open_mirror(client, server_folder(cache_folder(), url))
    except BaseException:
        client.close()
        raise
    return remote_store(mirror, origin)


def schema_state(path: Path | str | None = None) -> SchemaState:
    """The schema revision of a store, even of one that is too old or too new to be opened."""
    location = locate_store(path)
    with (
        closing(connect(location.path, read_located_config(location), read_only=True)) as database,
        database.reading() as connection,
    ):
        revision = schema.current_revision(connection)
    return SchemaState(revision, schema.HEAD)


def _is_linked(database: Database) -> bool:
    """Whether the database knows its folder. SQLite does not need to."""
    from bsv_store.maintenance.folder_link import recorded_identity

    if database.is_sqlite:
        return True
    with database.reading() as connection:
        return recorded_identity(connection) is not None


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
    backup : pathlib.Path or None
        The copy of the catalog from before the upgrade, if one was made.
    """

    before: str | None
    after: str
    hashed: int
    damaged: tuple[str, ...]
    backup: Path | None = None


def upgrade_store(
    path: Path | str | None = None,
    *,
    backup: Path | str | None = None,
    make_backup: bool = True,
    force: bool = False,
    progress: Progress | None = None,
    on_backup: Callable[[Path], None] | None = None,
) -> UpgradeReport:
    """Upgrade the schema of a store in one transaction, then compute missing block hashes of its volumes.

    Before the upgrade, a SQLite catalog is copied to ``backups/`` in the store's folder, and the copy is verified. It
    is not removed afterwards. On Postgres, a backup is made only if a file is named; it needs pg_dump.

    The last step reads all volumes at 25 and 10 um whose block hashes are not recorded. If it is interrupted, the
    store can be used, and the next upgrade continues. If ``store.toml`` has no checksum, one is written.

    Parameters
    ----------
    path : path, optional
        See `open_store`.
    backup : path, optional
        A new file for the copy of the catalog.
    make_backup : bool
        False makes no copy.
    force : bool
        Upgrade a catalog with damaged rows too, and accept them as they are. Damage cannot be detected afterwards.
    progress : Progress, optional
        Of the last step.
    on_backup : callable, optional
        Called with the path of the copy before the upgrade starts.

    Returns
    -------
    UpgradeReport

    Raises
    ------
    SchemaTooNewError
        If a later version of the package created the store.
    NotAStoreError
        If the database has no catalog.
    StoreMismatchError
        If the database belongs to another store.
    DamagedCatalogError
        If rows of the catalog differ from what was stored. Nothing is changed then.
    AccessDeniedError
        If the database account may not change the schema. The hint says how to permit it.
    InputError
        If the file for the copy exists, or pg_dump is needed and not installed.
    BusyError
        If the database stays locked.
    """
    from bsv_store.catalog.volumes import complete_block_hashes
    from bsv_store.maintenance.folder_link import link_folder
    from bsv_store.volumes.files import StoreFiles

    state = schema_state(path)
    if state.revision not in schema.KNOWN_REVISIONS:
        # Raises the error that says why.
        open_store(path).close()
    folder = locate_store(path).path
    config = read_store_config(folder)
    files = StoreFiles(folder, config.file_mode, config.directory_mode)
    copy = None
    with closing(connect(folder, config, read_only=False)) as database:
        check_identity(folder, config, database)
        if make_backup and state.revision != schema.HEAD:
            from bsv_store.store.catalog_copy import copy_catalog

            copy = copy_catalog(database, files, None if backup is None else check.path("backup", backup))
            if copy is not None and on_backup is not None:
                on_backup(copy)
        # Accounts that may not change the schema can compute missing hashes.
        if state.revision != schema.HEAD:
            schema.upgrade(database, force=force)
        # Also if an upgrade was killed before this step.
        if not _is_linked(database):
            with database.writing() as connection:
                link_folder(connection, files)
    if not has_checksum(folder):
        files.publish(STORE_FILE, config.to_toml().encode())
    with closing(open_store(folder)) as store:
        hashed, damaged = complete_block_hashes(store.database, store.files, progress=shown_progress(progress))
    return UpgradeReport(state.revision, schema.HEAD, hashed, tuple(damaged), copy)
