"""Create a store: a folder, and a database that carries the folder's id.

A store exists once its ``store.toml`` does, which is the last step. Until then ``init.toml`` holds the chosen id: the
next initialization of the folder completes one that was killed, and simultaneous ones create a single store.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import uuid
import warnings
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import URL, Connection, insert, select

from bsv_store._version import __version__
from bsv_store.catalog.activity import record_activity
from bsv_store.catalog.database import privileges, schema
from bsv_store.catalog.database.engine import Database
from bsv_store.catalog.database.libpq import DEFAULT_SCHEMA, environment_settings
from bsv_store.catalog.database.models import StoreInfo
from bsv_store.catalog.database.postgres import normalized_url, schema_in_url, with_schema
from bsv_store.check import boolean
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
from bsv_store.config.values import checked_value
from bsv_store.errors import (
    AccessDeniedError,
    BsvStoreWarning,
    InputError,
    NoSpaceError,
    NotAStoreError,
    ReadOnlyStoreError,
    StoreError,
    StoreExistsError,
)
from bsv_store.file_systems import file_system_of
from bsv_store.maintenance.folder_link import TOKEN_FILE, link_folder
from bsv_store.store.known_servers import remember_server
from bsv_store.text import listed, masked, shown, store_option
from bsv_store.vocabulary import SETTINGS
from bsv_store.volumes.files import StoreFiles, is_no_space
from bsv_store.volumes.folders import sync_folder
from bsv_store.volumes.groups import group_name, has_groups, require_membership, set_group

_INIT_FILE = "init.toml"
# Raised on file systems without hard links, such as exFAT and some network mounts, on Linux and macOS.
_NO_HARD_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


def make_store(
    path: Path, *, database: str | None = None, group: str | None = None, parents: bool = False
) -> StoreConfig:
    """Create a store in a new or empty folder.

    Parameters
    ----------
    path : pathlib.Path
    database : str, optional
        Postgres URL without a password. By default SQLite in the folder.
    group : str, optional
        Group of all files and folders.
    parents : bool
        Create missing parent folders.

    Raises
    ------
    StoreExistsError
        If the folder is not empty, or the database has the catalog of another store.
    InputError
        If the URL is not a valid Postgres URL or contains a password; if the group does not exist, or this user is not
        a member; if the parent folder does not exist.
    AccessDeniedError
        If the account may not create tables. The hint contains the statement that grants it.
    StoreError
        If folder or database cannot be written.
    """
    target = None if database is None else normalized_url(database)
    group_id = None if group is None else _checked_group(group)
    try:
        if not (boolean("parents", parents) or path.parent.exists()):
            missing = next(each for each in (*reversed(path.parents),) if not each.exists())
            raise InputError(
                f"the folder {missing} does not exist",
                hint="Check the path; parents=True creates missing parent folders.",
            )
        _refuse_occupied(path)
    except OSError as error:
        raise StoreError(f"cannot create the store {path}: {error.strerror}") from error
    if target is not None:
        remember_server(target)
        target = _with_schema(target)
        # Before anything is written, so that a refused database leaves no incomplete folder behind.
        with closing(Database(target)) as server:
            _refuse_occupied_database(server, path)
    url = SQLITE if target is None else target.render_as_string()
    config = StoreConfig(store_id=str(uuid.uuid4()), database=url, group=group)
    files = StoreFiles(path, config.file_mode, config.directory_mode)
    is_new = not path.exists()
    try:
        files.make_folder(path)
        for name in FOLDERS:
            files.make_folder(path / name)
        if group_id is not None:
            _share_with(group_id, [path, *(path / name for name in FOLDERS)], config.directory_mode)
        config = _chosen_config(path, files, config)
        checkpoint("init:chosen")
        if config.database == SQLITE:
            _make_sqlite_catalog(path, files, config)
        else:
            try:
                with closing(Database(normalized_url(config.database))) as server:
                    _fill_catalog(server, path, config)
                    with server.writing() as connection:
                        link_folder(connection, files)
            except (AccessDeniedError, ReadOnlyStoreError, StoreExistsError):
                # Not after other errors, which a second attempt may survive: it completes what is there.
                _remove_unfinished(path, is_new=is_new)
                raise
        checkpoint("init:catalog")
        _finish(path)
        _warn_of_group(path)
        _warn_of_file_system(path, config)
    except PermissionError as error:
        raise ReadOnlyStoreError(f"cannot write to {error.filename or path}: {error.strerror}") from error
    except OSError as error:
        if is_no_space(error):
            raise NoSpaceError(
                f"no disk space left to create the store {path}", hint="Free some space and run the command again."
            ) from error
        raise StoreError(f"cannot create the store {path}: {error}") from error
    return config


def _checked_group(group: str) -> int:
    checked_value(SETTINGS["group"], group, origin="the argument")
    return require_membership(group)


def _share_with(group_id: int, folders: list[Path], mode: int) -> None:
    for folder in folders:
        # First the group, because a change of it clears the setgid bit.
        set_group(folder, group_id)
        folder.chmod(mode)


def _warn_of_group(path: Path) -> None:
    """Warn if the parent folder is shared by a group to which the new folder does not belong."""
    made, parent = path.stat(), path.parent.stat()
    if not has_groups() or made.st_gid == parent.st_gid or not parent.st_mode & stat.S_IWGRP:
        return
    name = group_name(parent.st_gid)
    if read_store_config(path).group is None:
        warnings.warn(
            BsvStoreWarning(
                f"the store belongs to the group {group_name(made.st_gid)}, not to {name} as {path.parent}, which does "
                "not have the setgid bit",
                hint=f"If {name} is to share it: bsv-store {store_option(path)} config set group {name}, "
                f"then bsv-store {store_option(path)} store permissions --apply",
            ),
            stacklevel=4,
        )


def _warn_of_file_system(path: Path, config: StoreConfig) -> None:
    """Warn of a SQLite catalog on a network file system."""
    found = file_system_of(path)
    if config.database == SQLITE and found is not None and found.is_shared:
        warnings.warn(
            BsvStoreWarning(
                f"{path} is on {found.words}: SQLite's locks may not reach all hosts, and its database may be damaged",
                hint="Use the store from a single host, or create it with --database URL (Postgres).",
            ),
            stacklevel=4,
        )


def _remove_unfinished(path: Path, *, is_new: bool) -> None:
    """Remove what an initialization has created in a folder that has no store."""
    if (path / STORE_FILE).exists():
        return
    for name in (_INIT_FILE, TOKEN_FILE):
        (path / name).unlink(missing_ok=True)
    for folder in (*(path / name for name in FOLDERS), *([path] if is_new else [])):
        # A folder with the files of another process stays.
        with contextlib.suppress(OSError):
            folder.rmdir()


def _refuse_occupied(path: Path) -> None:
    if (path / STORE_FILE).exists():
        hint = f"Show it: bsv-store {store_option(path)} status. From Python, open it with open_store()."
        raise StoreExistsError(f"{path} is already a bsv-store", hint=hint)
    if (path / CATALOG_FILE).exists() and not (path / _INIT_FILE).exists():
        raise StoreExistsError(
            f"{path} has the catalog of a store, but no {STORE_FILE}",
            hint=f"Write {STORE_FILE} again: bsv-store store attach {path}; or use a new folder.",
        )
    if path.exists() and not path.is_dir():
        raise StoreExistsError(f"{path} is a file", hint="Use a new or empty folder.")
    ours = {_INIT_FILE, CATALOG_FILE, TOKEN_FILE, *FOLDERS}
    foreign = sorted(entry.name for entry in path.iterdir() if entry.name not in ours) if path.is_dir() else []
    if foreign:
        raise StoreExistsError(
            f"{path} is not empty: it contains {', '.join(foreign[:3])}{' ...' if len(foreign) > 3 else ''}",
            hint="Use a new or empty folder.",
        )


def _with_schema(url: URL) -> URL:
    """The URL with the schema of this account, if it is not the default: other accounts may have another one."""
    if schema_in_url(url) is not None:
        return url
    path = environment_settings().get("search_path")
    with closing(Database(url)) as server, server.reading() as connection:
        if path is None:
            connection.exec_driver_sql("SET LOCAL search_path TO DEFAULT")
        else:
            connection.exec_driver_sql("SELECT set_config('search_path', %(path)s, true)", {"path": path})
        found = connection.exec_driver_sql("SELECT current_schema()").scalar()
    if found is None and path is not None:
        raise InputError(
            f"no schema in the search_path of PGOPTIONS, {shown(path)}, exists in the database",
            hint="Create it: CREATE SCHEMA name;",
        )
    return url if found in (None, DEFAULT_SCHEMA) else with_schema(url, found)


def _refuse_occupied_database(database: Database, path: Path) -> None:
    with database.reading() as connection:
        if schema.current_revision(connection) is None:
            privileges.require_creation(connection)
            if taken := privileges.taken_names(connection, schema.relation_names()):
                raise StoreExistsError(
                    f"the schema {privileges.current_schema(connection)} of the database {database} has tables of"
                    f" another application with names that the store needs: {listed(taken)}",
                    hint="Use a new database (createdb creates one), or a schema of its own: CREATE SCHEMA atlas; and"
                    " ?options=-csearch_path=atlas at the end of the URL.",
                )
            return
        owner = connection.execute(select(StoreInfo.store_id)).scalar()
    if owner is not None and owner != _unfinished_id(path):
        raise _owned_by_another(database, owner)


def _unfinished_id(path: Path) -> str | None:
    """The store id chosen by an incomplete initialization of the folder."""
    try:
        return read_store_config(path, _INIT_FILE).store_id
    except NotAStoreError:
        return None


def _owned_by_another(database: Database, owner: str) -> StoreExistsError:
    return StoreExistsError(
        f"the database {database} already has the catalog of store {owner}",
        hint="Open the folder of that store, or use a new database.",
    )


def _chosen_config(path: Path, files: StoreFiles, config: StoreConfig) -> StoreConfig:
    """The configuration chosen by the first of several initializations, or by an earlier one that was killed."""
    chosen = path / _INIT_FILE
    with files.temporary() as temporary:
        with temporary.open("x", encoding="utf-8") as file:
            file.write(config.to_toml())
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(config.file_mode)
        _put_once(chosen, temporary)
        # Before the catalog, which is taken for that of another store without it.
        sync_folder(path)
    if (path / STORE_FILE).exists():
        # Another process finished between the check and the link; this file is a leftover.
        chosen.unlink(missing_ok=True)
        raise StoreExistsError(f"another process has just created a bsv-store in {path}", hint="Open it.")
    first = read_store_config(path, _INIT_FILE)
    if first.database != config.database:
        raise StoreExistsError(
            f"an earlier initialization of {path} chose the database {masked(first.database)!r}, not"
            f" {masked(config.database)!r}",
            hint=f"Use the same database, or remove {chosen}.",
        )
    return first


def _put_once(path: Path, made: Path) -> None:
    """Link a complete file to its final name, unless another process has done so."""
    try:
        path.hardlink_to(made)
    except FileExistsError:
        return
    except OSError as error:
        if error.errno in _NO_HARD_LINKS:
            raise StoreError(
                f"the file system of {path.parent} has no hard links, so simultaneous initializations could create "
                "two stores there",
                hint="Create the store on a local disk, or on a shared file system with hard links, such as NFS.",
            ) from error
        raise


def _make_sqlite_catalog(path: Path, files: StoreFiles, config: StoreConfig) -> None:
    catalog = path / CATALOG_FILE
    if not catalog.exists():
        with files.temporary() as temporary:
            temporary.touch()
            with closing(Database(temporary)) as fresh:
                _fill_catalog(fresh, path, config)
            temporary.chmod(config.file_mode)
            _put_once(catalog, temporary)
        sync_folder(path)
    with closing(Database(catalog)) as existing:
        _fill_catalog(existing, path, config)


def _fill_catalog(database: Database, path: Path, config: StoreConfig) -> None:
    with database.reading() as connection:
        fresh = schema.current_revision(connection) is None
    if fresh:
        create_tables(database)
    with database.writing() as connection:
        _claim_catalog(connection, path, config, database)


def create_tables(database: Database) -> None:
    """Run all migrations on an empty database."""
    schema.upgrade(database)


def _claim_catalog(connection: Connection, path: Path, config: StoreConfig, database: Database) -> None:
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
        details = {"database": "SQLite" if database.is_sqlite else "Postgres", "schema": schema.HEAD}
        record_activity(connection, "created", str(path), details)
    elif owner != config.store_id:
        raise _owned_by_another(database, owner)


def _finish(path: Path) -> None:
    try:
        (path / _INIT_FILE).rename(path / STORE_FILE)
    except FileNotFoundError as error:
        if not (path / STORE_FILE).exists():
            raise NotAStoreError(f"another process removed the initialization of {path}") from error
    sync_folder(path)
