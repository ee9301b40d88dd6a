"""The schema of the catalog: check, upgrade, downgrade. Alembic is imported only to change it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import OperationalError

from bsv_store.catalog.database import privileges
from bsv_store.catalog.database.engine import Database
from bsv_store.catalog.database.sqlite_copy import copy_sqlite
from bsv_store.catalog.database.statements import recorded
from bsv_store.checkpoints import checkpoint
from bsv_store.errors import (
    UPGRADE_HINT,
    DamagedCatalogError,
    NotAStoreError,
    SchemaTooNewError,
    SchemaTooOldError,
    StoreError,
)
from bsv_store.temporary import TemporaryFolder
from bsv_store.text import listed

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import Table

    from bsv_store.catalog.database.models import Base
    from bsv_store.vocabulary import SchemaAction

# The newest revision; a test compares it with the migrations.
HEAD = "0021"
# Revisions of earlier releases. A store at one of them can be upgraded.
KNOWN_REVISIONS: tuple[str, ...] = (*(f"{number:04}" for number in range(1, 21)), HEAD)
VERSION_TABLE = "bsv_store_version"
# A table that all revisions have.
_MARKER = "store_info"

# How long an upgrade looks for a moment without writers, and at which intervals. Then it waits for one table at a time.
_QUIET_S = 20.0
_RETRY_S = 0.05
# SQLSTATE of Postgres.
_LOCK_NOT_AVAILABLE = "55P03"

_PACKAGE = Path(__file__).resolve().parents[2]
# An arbitrary number, the same in all processes, for the advisory lock of `lock_schema`.
_ADVISORY_LOCK = 0x62737673746F7265
# Alembic has one context per process; two threads in it crashed the interpreter.
_one_migration_at_a_time = threading.Lock()


def check_schema(connection: Connection, upgrade_command: str) -> None:
    """Check that this version of the package supports the schema.

    Raises
    ------
    SchemaTooOldError, SchemaTooNewError
        If it does not. The hint is the next command.
    NotAStoreError
        If the database has no catalog.
    AccessDeniedError
        If this account may not use the schema.
    """
    revision = current_revision(connection)
    if revision == HEAD:
        return
    if revision is None:
        if connection.dialect.name == "postgresql":
            privileges.require_usage(connection)
        if has_tables(connection):
            raise NotAStoreError(
                f"the database has the tables of a catalog, but not {VERSION_TABLE} with their schema revision",
                hint="Restore the database from a backup; or record the revision, if you know it: bsv-store db stamp "
                "REVISION, then bsv-store db check",
            )
        raise NotAStoreError(
            "the database has no bsv-store catalog", hint="Create a store with `bsv-store init`, or check the URL."
        )
    if revision in KNOWN_REVISIONS:
        raise SchemaTooOldError(
            f"the store's schema is at revision {revision}; this version of bsv-store needs {HEAD}",
            hint=f"Upgrade the store: {upgrade_command}",
        )
    raise SchemaTooNewError(
        f"the store's schema is at revision {revision}, unknown to this version of bsv-store (it needs {HEAD})",
        hint=UPGRADE_HINT,
    )


def current_revision(connection: Connection) -> str | None:
    """The revision of the database, None if it has no catalog."""
    # Not SQLAlchemy's inspection, whose queries take longer to compile than all else in opening a store.
    if not _has_table(connection, VERSION_TABLE):
        return None
    revision: str | None = connection.exec_driver_sql(f"SELECT version_num FROM {VERSION_TABLE}").scalar()
    return revision


def has_tables(connection: Connection) -> bool:
    """Whether the database has the tables of a catalog, of whatever revision."""
    return _has_table(connection, _MARKER)


def _has_table(connection: Connection, name: str) -> bool:
    lookup = f"SELECT to_regclass('{name}')"
    if connection.dialect.name == "sqlite":
        lookup = f"SELECT name FROM sqlite_master WHERE type = 'table' AND name = '{name}'"
    return connection.exec_driver_sql(lookup).scalar() is not None


def relation_names() -> frozenset[str]:
    """The names of all tables, views, indexes and constraints of the newest schema."""
    from bsv_store.catalog.database.models import Base
    from bsv_store.catalog.tables.views import VIEWS

    names = {VERSION_TABLE, *Base.metadata.tables, *VIEWS}
    for table in Base.metadata.tables.values():
        names |= {str(each.name) for each in table.indexes}
        names |= {str(each.name) for each in table.constraints if each.name is not None}
    return frozenset(names)


def upgrade(database: Database, revision: str = "head", *, force: bool = False) -> None:
    """Upgrade the schema to a revision, in one transaction. On Postgres, the newest one includes comments on the views.

    Rows that are sealed are checked before, because an upgrade to the newest revision seals all rows as they are.

    Parameters
    ----------
    database : Database
    revision : str
    force : bool
        Upgrade a damaged catalog too, and accept its rows as they are.

    Raises
    ------
    DamagedCatalogError
        If rows differ from what was stored. Nothing is changed then.
    AccessDeniedError
        If this account may not change the tables. The hint says how to permit it.
    StoreError
        If a foreign key would refer to a missing row afterwards. Nothing is changed then.
    """
    _migrate(database, _Upgrade(revision, force))


def create_in(connection: Connection) -> None:
    """Create the newest schema, without rows, in the schema and transaction of a connection."""
    with _one_migration_at_a_time:
        _Upgrade("head", force=True).run(alembic_config(connection))


def downgrade(database: Database, revision: str) -> None:
    """Downgrade the schema to a revision, in one transaction; 'base' removes it."""
    _migrate(database, _Downgrade(revision))


def stamp(database: Database, revision: str) -> None:
    """Record that the schema is at a revision, without running a migration."""
    _migrate(database, _Stamp(revision))


def upgrade_sql(database: Database) -> list[str]:
    """The statements of an upgrade to the newest revision. It is carried out and rolled back, on SQLite in a copy."""
    return _rehearse(database, _Upgrade("head", force=True))


def downgrade_sql(database: Database, revision: str) -> list[str]:
    """The statements of a downgrade. It is carried out and rolled back, on SQLite in a copy."""
    return _rehearse(database, _Downgrade(revision))


@dataclass(frozen=True, slots=True)
class _Upgrade:
    revision: str
    force: bool
    action: SchemaAction = "upgraded"

    def run(self, config: Config) -> None:
        from alembic import command

        connection = config.attributes["connection"]
        before = current_revision(connection)
        command.upgrade(config, self.revision)
        if before != HEAD and self.revision in ("head", HEAD) and connection.dialect.name == "postgresql":
            _update_comments(connection)


@dataclass(frozen=True, slots=True)
class _Downgrade:
    revision: str
    force: bool = True
    action: SchemaAction = "downgraded"

    def run(self, config: Config) -> None:
        from alembic import command

        command.downgrade(config, self.revision)


@dataclass(frozen=True, slots=True)
class _Stamp:
    revision: str
    force: bool = True
    action: SchemaAction = "stamped"

    def run(self, config: Config) -> None:
        connection = config.attributes["connection"]
        # The table may have been lost.
        connection.exec_driver_sql(
            f"CREATE TABLE IF NOT EXISTS {VERSION_TABLE} (version_num VARCHAR(32) NOT NULL,"
            f" CONSTRAINT {VERSION_TABLE}_pkc PRIMARY KEY (version_num))"
        )
        connection.exec_driver_sql(f"DELETE FROM {VERSION_TABLE}")
        connection.execute(text(f"INSERT INTO {VERSION_TABLE} VALUES (:revision)"), {"revision": self.revision})


_Change = _Upgrade | _Downgrade | _Stamp


_STORED_COMMENTS = """
    SELECT 'VIEW ' || c.relname, obj_description(c.oid, 'pg_class')
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = current_schema() AND c.relkind = 'v'
    UNION ALL
    SELECT 'COLUMN ' || c.relname || '.' || a.attname, col_description(c.oid, a.attnum)
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'v')
"""


def _update_comments(connection: Connection) -> None:
    """Store descriptions of tables and views as comments, for other programs. SQLite does not have comments.

    Migrations comment on what they create. Tables that an earlier version created have the comments of that version.
    """
    from bsv_store.catalog.database.models import Base
    from bsv_store.catalog.tables.views import VIEWS

    stored: dict[str, str | None] = dict(connection.exec_driver_sql(_STORED_COMMENTS).all())
    wanted: dict[str, str | None] = {}
    for view in VIEWS.values():
        wanted[f"VIEW {view.name}"] = view.description
        wanted.update({f"COLUMN {view.name}.{column.name}": column.description for column in view.columns})
    for table in Base.metadata.sorted_tables:
        wanted.update({f"COLUMN {table.name}.{column.name}": column.comment for column in table.columns})
    for target, description in wanted.items():
        if stored.get(target) != description:
            # COMMENT does not accept bound parameters.
            literal = "NULL" if description is None else "'" + description.replace("'", "''") + "'"
            connection.execute(text(f"COMMENT ON {target} IS {literal}".replace(":", r"\:")))


def alembic_config(connection: Connection | None = None) -> Config:
    """Alembic's configuration for the migrations in a checkout or an installed wheel."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("path_separator", "newline")
    config.set_main_option("script_location", str(_folder("alembic")).replace("%", "%%"))
    config.set_main_option("version_locations", str(_folder("migrations")).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _folder(name: str) -> Path:
    installed = _PACKAGE / f"_{name}"
    beside = _PACKAGE.parent / name
    for folder in (installed, beside):
        if folder.is_dir():
            return folder
    raise StoreError(f"the installation of bsv-store is incomplete: the folder {name!r} with the migrations is missing")


class _RehearsedError(Exception):
    """Rolls a rehearsal back."""


def _rehearse(database: Database, change: _Change) -> list[str]:
    statements: list[str] = []
    with contextlib.ExitStack() as stack:
        if isinstance(database.target, Path):
            # In the original, others would have to wait, and a crash would leave a journal.
            folder = stack.enter_context(TemporaryFolder())
            copy = folder / "catalog.db"
            with database.translating():
                copy_sqlite(database.target, copy)
            database = stack.enter_context(closing(Database(copy)))
        with contextlib.suppress(_RehearsedError):
            _migrate(database, change, statements)
    return statements


def _migrate(database: Database, change: _Change, statements: list[str] | None = None) -> None:
    """Change the schema in one transaction; with a list for statements, collect these and roll back."""
    # A separate connection, because foreign keys must be off before the transaction starts: rebuilding a table with
    # ON DELETE rules would otherwise delete the rows of its children.
    with (
        _one_migration_at_a_time,
        closing(Database(database.target, pooled=False)) as private,
        private.translating(),
        private.engine.connect() as connection,
    ):
        if private.is_sqlite:
            driver: Any = connection.connection.driver_connection
            driver.execute("PRAGMA foreign_keys = OFF")
        with _locked_transaction(private, connection):
            before = current_revision(connection)
            if before is None and isinstance(change, _Upgrade) and has_tables(connection):
                check_schema(connection, "")
            with _access_kept(private, connection, creates=not isinstance(change, _Stamp)):
                if not change.force and before is not None:
                    _refuse_damage(connection, before)
                with contextlib.nullcontext() if statements is None else recorded(connection, statements):
                    change.run(alembic_config(connection))
                after = current_revision(connection)
                _update_derived(connection, change, before, after)
                if private.is_sqlite:
                    _refuse_dangling_rows(connection)
            if statements is not None:
                raise _RehearsedError
            checkpoint("migrate:changed")
    checkpoint("migrate:committed")


@contextmanager
def _access_kept(database: Database, connection: Connection, *, creates: bool) -> Iterator[None]:
    """Act as the owner of the tables on Postgres, and grant again what other roles had before the change."""
    if database.is_sqlite:
        yield
        return
    if has_tables(connection):
        privileges.become_owner(connection, _MARKER)
        _exclude_writers(connection)
    if creates:
        privileges.require_creation(connection)
    had = privileges.access(connection)
    yield
    privileges.restore_access(connection, had, relation_names())


def _update_derived(connection: Connection, change: _Change, before: str | None, after: str | None) -> None:
    """Update what depends on the schema: derived values, seals, and the records of the change."""
    from bsv_store.catalog import seals
    from bsv_store.catalog.activity import record_activity
    from bsv_store.catalog.database.models import Activity, SchemaHistory, Seal
    from bsv_store.catalog.schema_history import record_schema_change

    is_stamp = isinstance(change, _Stamp)
    if after == before and not is_stamp:
        return
    if has_columns_of(connection, Activity) and before is not None:
        record_activity(connection, change.action, after, {"from": before})
    if has_columns_of(connection, SchemaHistory):
        record_schema_change(connection, "created" if before is None else change.action, before, after)
    if after == HEAD and not is_stamp:
        # Migrations may have rewritten rows, and the rules for derived values may have changed.
        from bsv_store.catalog.ingest.hemisphere import update_injected_hemispheres
        from bsv_store.catalog.sealing import seal_everything

        update_injected_hemispheres(connection)
        seal_everything(connection, HEAD)
    elif after is not None and has_columns_of(connection, Seal):
        seals.seal_schema(connection)


def has_columns_of(connection: Connection, model: type[Base]) -> bool:
    """Whether the database has the table of a model, with the columns that this version of the package expects."""
    return _has_columns(connection, model.__table__)


def _has_columns(connection: Connection, table: Table) -> bool:
    found = inspect(connection)
    if not found.has_table(table.name):
        return False
    return {column["name"] for column in found.get_columns(table.name)} == {column.name for column in table.columns}


def _refuse_damage(connection: Connection, revision: str) -> None:
    from bsv_store.catalog.database.models import Base, Seal
    from bsv_store.catalog.verify import damage_before_upgrade

    if revision == HEAD or not has_columns_of(connection, Seal):
        return
    changed = {name for name, table in Base.metadata.tables.items() if not _has_columns(connection, table)}
    damage = damage_before_upgrade(connection, changed)
    if damage:
        raise DamagedCatalogError(
            "the catalog is damaged, so it was not upgraded: "
            + listed([f"{each.what}: {each.problem}" for each in damage]),
            hint="Restore the database from a backup. `bsv-store db upgrade --force` accepts the rows as they are;"
            " damage cannot be detected afterwards.",
        )


def lock_schema(connection: Connection) -> None:
    """Wait until no other process changes the schema or its grants, until the end of the transaction. On Postgres."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _ADVISORY_LOCK})


def _exclude_writers(connection: Connection) -> None:
    """Let other processes wait before they write, until the end of the transaction. On Postgres.

    Rows are checked, rewritten and sealed in several statements, which must see a single state of them.
    """
    from bsv_store.catalog.database.models import Base

    there = inspect(connection).get_table_names()
    names = sorted(set(there) & set(Base.metadata.tables))
    if not names:
        return
    lock = f"LOCK TABLE {', '.join(names)} IN SHARE ROW EXCLUSIVE MODE"
    deadline = time.monotonic() + _QUIET_S
    while time.monotonic() < deadline:
        # All or none: waiting for one table, with locks on others, would be a deadlock with a writer of both.
        try:
            with connection.begin_nested():
                connection.exec_driver_sql(f"{lock} NOWAIT")
        except OperationalError as error:
            if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
                raise
            time.sleep(_RETRY_S)
        else:
            return
    connection.exec_driver_sql(lock)


@contextmanager
def _locked_transaction(database: Database, connection: Connection) -> Iterator[None]:
    with connection.execution_options(bsv_begin="IMMEDIATE").begin():
        if not database.is_sqlite:
            lock_schema(connection)
        yield


def _refuse_dangling_rows(connection: Connection) -> None:
    dangling = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchmany(3)
    if dangling:
        raise StoreError(
            f"the migration would leave rows that refer to missing rows: {dangling}", hint="Nothing was changed."
        )
