"""Making a store, and opening one: the folder and the database must belong together.

A store exists from the moment that its ``store.toml`` appears, which is the last step. Until then ``init.toml`` holds
the id that was chosen, so that an initialization that was killed is finished by the next one, and several at once make
one store.
"""

from __future__ import annotations

import errno
import os
import tempfile
import uuid
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection, insert, inspect, select

from bsv_store._version import __version__
from bsv_store.catalog.database import schema
from bsv_store.catalog.database.engine import Database, normalized_url
from bsv_store.catalog.database.models import StoreInfo
from bsv_store.checkpoints import checkpoint
from bsv_store.config import (
    CATALOG_FILE,
    FOLDERS,
    FORMAT_VERSION,
    SQLITE,
    STORE_FILE,
    StoreConfig,
    read_store_config,
)
from bsv_store.errors import (
    NotAStoreError,
    ReadOnlyStoreError,
    StoreError,
    StoreExistsError,
    StoreMismatchError,
    StoreUnreachableError,
)
from bsv_store.volumes.files import StoreFiles, sync_folder

_INIT_FILE = "init.toml"
# What Linux and macOS say of file systems such as exFAT, and of some that are mounted from elsewhere.
_NO_HARD_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


def make_store(path: Path, *, database: str | None = None) -> StoreConfig:
    """Make a store in a new or empty folder.

    Parameters
    ----------
    path : pathlib.Path
    database : str, optional
        Postgres URL without password; SQLite in the folder by default.

    Raises
    ------
    StoreExistsError
        If a store, or anything else, stands there, or the database holds another store's catalog.
    InputError
        If the URL is none, not Postgres, or carries a password.
    StoreError
        If folder or database cannot be written.
    """
    url = SQLITE if database is None else normalized_url(database).render_as_string()
    _refuse_occupied(path)
    if url != SQLITE:
        # Before anything is written: a database that is refused must leave no half-made folder behind.
        with closing(Database(normalized_url(url))) as server:
            _refuse_occupied_database(server, path)
    config = StoreConfig(store_id=str(uuid.uuid4()), database=url)
    files = StoreFiles(path, config.file_mode, config.directory_mode)
    try:
        files.make_folder(path)
        for name in FOLDERS:
            files.make_folder(path / name)
        config = _chosen_config(path, config)
        checkpoint("init:chosen")
        if config.database == SQLITE:
            _make_sqlite_catalog(path, config)
        else:
            with closing(Database(normalized_url(config.database))) as server:
                _fill_catalog(server, config)
        checkpoint("init:catalog")
        _finish(path)
    except PermissionError as error:
        raise ReadOnlyStoreError(f"{error.filename or path} may not be written: {error.strerror}") from error
    except OSError as error:
        raise StoreError(f"the store {path} could not be made: {error}") from error
    return config


def connect(path: Path, config: StoreConfig, *, read_only: bool) -> Database:
    """The database of a store.

    Raises
    ------
    StoreUnreachableError
        If the SQLite catalog is missing.
    """
    if config.database != SQLITE:
        return Database(normalized_url(config.database), read_only=read_only)
    catalog = path / CATALOG_FILE
    if not catalog.is_file():
        raise StoreUnreachableError(f"the catalog {catalog} is missing", hint="Restore it from a backup.")
    return Database(catalog, read_only=read_only)


def check_store(path: Path, config: StoreConfig, database: Database) -> None:
    """Accept a database as the one of this folder, with a schema that we work with.

    Raises
    ------
    StoreMismatchError
        If the database belongs to another store.
    NotAStoreError, SchemaTooOldError, SchemaTooNewError
        If there is no catalog in it, or one of another age; with the next step.
    """
    with database.reading() as connection:
        schema.check_schema(connection, f"bsv-store --store {path} db upgrade")
        store_id = connection.execute(select(StoreInfo.store_id)).scalar()
    if store_id != config.store_id:
        raise StoreMismatchError(
            f"the folder {path} is store {config.store_id}, but its database belongs to store {store_id}",
            hint="One of the two was restored or moved without the other.",
        )


def _refuse_occupied(path: Path) -> None:
    if (path / STORE_FILE).exists():
        raise StoreExistsError(
            f"{path} is a bsv-store already", hint=f"Look at it with `bsv-store --store {path} status`."
        )
    if (path / CATALOG_FILE).exists() and not (path / _INIT_FILE).exists():
        raise StoreExistsError(
            f"{path} holds the catalog of a store, but its {STORE_FILE} is gone",
            hint=f"Restore {STORE_FILE} from a backup, or name a new folder.",
        )
    if path.exists() and not path.is_dir():
        raise StoreExistsError(f"{path} is a file", hint="Name a new or empty folder.")
    ours = {_INIT_FILE, CATALOG_FILE, *FOLDERS}
    foreign = sorted(entry.name for entry in path.iterdir() if entry.name not in ours) if path.is_dir() else []
    if foreign:
        raise StoreExistsError(
            f"{path} is not empty: it holds {', '.join(foreign[:3])}{' ...' if len(foreign) > 3 else ''}",
            hint="Name a new or empty folder.",
        )


def _refuse_occupied_database(database: Database, path: Path) -> None:
    with database.reading() as connection:
        if schema.current_revision(connection) is None:
            if inspect(connection).get_table_names():
                raise StoreExistsError(
                    f"the database {database} is not empty", hint="Name a new database; createdb makes one."
                )
            return
        owner = connection.execute(select(StoreInfo.store_id)).scalar()
    if owner is not None and owner != _unfinished_id(path):
        raise _owned_by_another(database, owner)


def _unfinished_id(path: Path) -> str | None:
    """The store id that an unfinished initialization of the folder chose."""
    try:
        return read_store_config(path, _INIT_FILE).store_id
    except NotAStoreError:
        return None


def _owned_by_another(database: Database, owner: str) -> StoreExistsError:
    return StoreExistsError(
        f"the database {database} already holds the catalog of store {owner}",
        hint="Open that store's folder, or name a new database.",
    )


def _chosen_config(path: Path, config: StoreConfig) -> StoreConfig:
    """The configuration of the first of several initializations, or of an earlier one that was killed."""
    chosen = path / _INIT_FILE
    with tempfile.NamedTemporaryFile("w", dir=path / "tmp", suffix=".tmp", encoding="utf-8") as file:
        file.write(config.to_toml())
        file.flush()
        os.fsync(file.fileno())
        Path(file.name).chmod(config.file_mode)
        _put_once(chosen, file.name)
    if (path / STORE_FILE).exists():
        # Somebody finished between our look and our link: the file is ours, and superfluous.
        chosen.unlink(missing_ok=True)
        raise StoreExistsError(f"{path} became a bsv-store just now", hint="Open it.")
    first = read_store_config(path, _INIT_FILE)
    if first.database != config.database:
        raise StoreExistsError(
            f"an earlier initialization of {path} chose the database {first.database!r}, not {config.database!r}",
            hint=f"Ask for the same, or remove {chosen}.",
        )
    return first


def _put_once(path: Path, made: str) -> None:
    """Give a finished file its name, unless another process was first."""
    try:
        path.hardlink_to(made)
    except FileExistsError:
        return
    except OSError as error:
        if error.errno in _NO_HARD_LINKS:
            raise StoreError(
                f"the file system of {path.parent} has no hard links, without which several initializations at once "
                "could make two stores of it",
                hint="Make the store on a local disk, or on a shared file system that has them, such as NFS.",
            ) from error
        raise


def _make_sqlite_catalog(path: Path, config: StoreConfig) -> None:
    catalog = path / CATALOG_FILE
    if not catalog.exists():
        with tempfile.NamedTemporaryFile(dir=path / "tmp", suffix=".tmp") as file:
            with closing(Database(Path(file.name))) as fresh:
                _fill_catalog(fresh, config)
            Path(file.name).chmod(config.file_mode)
            _put_once(catalog, file.name)
        sync_folder(path)
    with closing(Database(catalog)) as existing:
        _fill_catalog(existing, config)


def _fill_catalog(database: Database, config: StoreConfig) -> None:
    with database.reading() as connection:
        fresh = schema.current_revision(connection) is None
    if fresh:
        schema.upgrade(database)
    with database.writing() as connection:
        _claim_catalog(connection, config, database)


def _claim_catalog(connection: Connection, config: StoreConfig, database: Database) -> None:
    if not database.is_sqlite:
        connection.exec_driver_sql("LOCK TABLE store_info")
    owner = connection.execute(select(StoreInfo.store_id)).scalar()
    if owner is None:
        connection.execute(
            insert(StoreInfo).values(
                id=1,
                store_id=config.store_id,
                format_version=FORMAT_VERSION,
                created_at=datetime.now(UTC),
                created_with=__version__,
            )
        )
    elif owner != config.store_id:
        raise _owned_by_another(database, owner)


def _finish(path: Path) -> None:
    try:
        (path / _INIT_FILE).rename(path / STORE_FILE)
    except FileNotFoundError as error:
        if not (path / STORE_FILE).exists():
            raise NotAStoreError(f"the initialization of {path} was undone by somebody else") from error
    sync_folder(path)
