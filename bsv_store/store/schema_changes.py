"""Administration of the schema of a store: check, downgrade, stamp, history, grants.

All but grants work on stores that cannot be opened, because their schema is too old.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bsv_store import check
from bsv_store.catalog.database import schema
from bsv_store.config import StoreConfig, locate_store, read_located_config
from bsv_store.errors import InputError, SchemaTooNewError
from bsv_store.store.connection import check_identity, connect
from bsv_store.text import shown, store_option

if TYPE_CHECKING:
    from bsv_store.catalog.database.engine import Database
    from bsv_store.catalog.database.roles import Grants
    from bsv_store.catalog.database.schema_check import SchemaCheck
    from bsv_store.catalog.schema_history import SchemaChange


@contextmanager
def _database(path: Path | str | None, *, read_only: bool) -> Iterator[tuple[Database, Path, StoreConfig]]:
    location = locate_store(path)
    config = read_located_config(location)
    with closing(connect(location.path, config, read_only=read_only)) as database:
        check_identity(location.path, config, database)
        yield database, location.path, config


def check_schema(path: Path | str | None = None) -> SchemaCheck:
    """Compare the schema of a store with the one that the migrations create.

    Tables are compared with the models of the package, and all tables, views, triggers, functions and comments with
    those of a new store. Objects that users added, such as their own views and indexes, are ignored.

    Parameters
    ----------
    path : path, optional
        See `open_store`.

    Returns
    -------
    SchemaCheck

    Raises
    ------
    SchemaTooOldError, SchemaTooNewError
        If the schema is not the one of this version. The hint is the next command.
    """
    from bsv_store.catalog.database.schema_check import check_definitions

    with _database(path, read_only=True) as (database, folder, _):
        with database.reading() as connection:
            # Not `check_store`, because tables may be missing.
            schema.check_schema(connection, f"bsv-store {store_option(folder)} db upgrade")
        return check_definitions(database)


def upgrade_statements(path: Path | str | None = None) -> list[str]:
    """The SQL statements of an upgrade of a store. Nothing is changed.

    The upgrade is carried out and rolled back: on SQLite in a copy of the catalog, on Postgres in the database, where
    the tables are locked meanwhile. Seals, which are computed afterwards, are not included.
    """
    with _database(path, read_only=False) as (database, _, _):
        return schema.upgrade_sql(database)


def downgrade_statements(path: Path | str | None = None, *, revision: str) -> list[str]:
    """The SQL statements of a downgrade of a store. Nothing is changed; see `upgrade_statements`.

    Raises
    ------
    InputError
        If the revision is not an earlier one.
    """
    with _database(path, read_only=False) as (database, _, _):
        _require_earlier(database, revision)
        return schema.downgrade_sql(database, revision)


def downgrade_store(
    path: Path | str | None = None,
    *,
    revision: str,
    backup: Path | str | None = None,
    make_backup: bool = True,
    on_backup: Callable[[Path], None] | None = None,
) -> str:
    """Downgrade the schema of a store in one transaction, for an earlier version of the package.

    What the earlier schema has no table or column for is deleted. A SQLite catalog is copied before, as by
    `upgrade_store`.

    Parameters
    ----------
    path : path, optional
        See `open_store`.
    revision : str
        An earlier revision, such as ``"0012"``.
    backup : path, optional
        A new file for the copy of the catalog.
    make_backup : bool
        False makes no copy.
    on_backup : callable, optional
        Called with the path of the copy before the downgrade starts.

    Returns
    -------
    str
        The revision before.

    Raises
    ------
    InputError
        If the revision is not an earlier one, or the file for the copy exists.
    SchemaTooNewError
        If a later version of the package created the store: only that version can downgrade it.
    AccessDeniedError
        If the database account may not change the schema.
    """
    from bsv_store.store.catalog_copy import copy_catalog
    from bsv_store.volumes.files import StoreFiles

    with _database(path, read_only=False) as (database, folder, config):
        before = _require_earlier(database, revision)
        if make_backup:
            files = StoreFiles(folder, config.file_mode, config.directory_mode)
            copy = copy_catalog(database, files, None if backup is None else check.path("backup", backup))
            if copy is not None and on_backup is not None:
                on_backup(copy)
        schema.downgrade(database, revision)
    return before


def _require_earlier(database: Database, revision: str) -> str:
    """The current revision, which must be known and later than another one."""
    _require_known(revision)
    with database.reading() as connection:
        current = schema.current_revision(connection)
        if current is None or current not in schema.KNOWN_REVISIONS:
            schema.check_schema(connection, "bsv-store db upgrade")
            raise SchemaTooNewError(f"the revision {shown(current)} is unknown to this version of bsv-store")
    if schema.KNOWN_REVISIONS.index(revision) >= schema.KNOWN_REVISIONS.index(current):
        raise InputError(
            f"the revision must be earlier than that of the store, {current}, got {revision}",
            hint="bsv-store db upgrade upgrades a store.",
        )
    return current


def _require_known(revision: str) -> None:
    if revision not in schema.KNOWN_REVISIONS:
        raise InputError(
            f"the revision {shown(revision)} is unknown to this version of bsv-store",
            hint=f"Valid revisions: {', '.join(schema.KNOWN_REVISIONS)}.",
        )


def stamp_store(path: Path | str | None = None, *, revision: str) -> str | None:
    """Record that the schema of a store is at a revision, without running a migration.

    For emergencies: after a backup without the table ``bsv_store_version`` was restored, or after the statements of a
    migration were run by hand. With a wrong revision, the store fails in unexpected ways; `check_schema` tells.

    Parameters
    ----------
    path : path, optional
        See `open_store`.
    revision : str
        A revision that this version of the package knows.

    Returns
    -------
    str or None
        The revision before.

    Raises
    ------
    InputError
        If the revision is unknown.
    NotAStoreError
        If the database has no catalog.
    AccessDeniedError
        If the database account may not change the schema.
    """
    _require_known(revision)
    with _database(path, read_only=False) as (database, _, _):
        with database.reading() as connection:
            before = schema.current_revision(connection)
            if before is None and not schema.has_tables(connection):
                schema.check_schema(connection, "bsv-store db upgrade")
        schema.stamp(database, revision)
    return before


def schema_history(path: Path | str | None = None) -> list[SchemaChange]:
    """What changed the schema of a store: when, by whom and with which release; oldest first.

    Recorded since revision 0016. Empty for a store at an earlier revision.
    """
    from bsv_store.catalog.database.models import SchemaHistory
    from bsv_store.catalog.schema_history import recorded_changes

    with _database(path, read_only=True) as (database, _, _), database.reading() as connection:
        return recorded_changes(connection) if schema.has_columns_of(connection, SchemaHistory) else []


def grant_access(
    path: Path | str | None = None,
    *,
    readers: Sequence[str] = (),
    writers: Sequence[str] = (),
    admins: Sequence[str] = (),
    apply: bool = False,
) -> Grants:
    """The statements that grant accounts of the Postgres server access to a store, and run them if told to.

    There is one role for readers and one for writers of a store, which have the privileges; accounts become members.
    Administrators become members of the role that owns the tables. Queries of `Store.sql` run as the role of readers
    once it exists. Existing members are not removed.

    Parameters
    ----------
    path : path, optional
        See `open_store`.
    readers, writers, admins : sequence of str
        Existing accounts or roles of the server. Writers can do everything except change the schema; administrators
        can do that too. The account that applies the statements always becomes a reader.
    apply : bool
        Run the statements, in one transaction. By default they are only returned.

    Returns
    -------
    Grants

    Raises
    ------
    InputError
        If the database is SQLite, or an account does not exist.
    StoreError
        If this account may not create roles or does not own the tables. The hint contains the statements that an
        administrator of the server must run.
    """
    from bsv_store.catalog.database.roles import grants
    from bsv_store.store.opening import open_store

    with closing(open_store(path)) as store:
        return grants(store.database, readers=readers, writers=writers, admins=admins, apply=apply)
