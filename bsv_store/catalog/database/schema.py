"""The schema of the catalog: check, upgrade, downgrade. Alembic is imported only to change it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, text

from bsv_store.catalog.database.engine import Database
from bsv_store.errors import NotAStoreError, SchemaTooNewError, SchemaTooOldError, StoreError

if TYPE_CHECKING:
    from alembic.config import Config

# The newest revision; a test compares it with the migrations.
HEAD = "0018"
# Revisions of earlier releases. A store at one of them can be upgraded.
KNOWN_REVISIONS: tuple[str, ...] = (*(f"{number:04}" for number in range(1, 14)), HEAD)
VERSION_TABLE = "bsv_store_version"

_PACKAGE = Path(__file__).resolve().parents[2]
# An arbitrary number, the same in all processes, for the advisory lock that lets one migration run at a time.
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
    """
    revision = current_revision(connection)
    if revision == HEAD:
        return
    if revision is None:
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
        hint="Upgrade the package: pip install --upgrade bsv-store",
    )


def current_revision(connection: Connection) -> str | None:
    """The revision of the database, None if it has no catalog."""
    # Not SQLAlchemy's inspection, whose queries take longer to compile than all else in opening a store.
    lookup = f"SELECT to_regclass('{VERSION_TABLE}')"
    if connection.dialect.name == "sqlite":
        lookup = f"SELECT name FROM sqlite_master WHERE type = 'table' AND name = '{VERSION_TABLE}'"
    if connection.exec_driver_sql(lookup).scalar() is None:
        return None
    revision: str | None = connection.exec_driver_sql(f"SELECT version_num FROM {VERSION_TABLE}").scalar()
    return revision


def upgrade(database: Database, revision: str = "head") -> None:
    """Upgrade the schema to a revision, in one transaction. On Postgres, the newest one includes comments on the views.

    Raises
    ------
    StoreError
        If a foreign key would refer to a missing row afterwards. Nothing is changed then.
    """
    from alembic import command

    def run(config: Config) -> None:
        command.upgrade(config, revision)
        connection = config.attributes["connection"]
        if revision == "head" and connection.dialect.name == "postgresql":
            _comment_on_views(connection)

    _migrate(database, run)


def _comment_on_views(connection: Connection) -> None:
    """Store descriptions of the views and columns as comments, for other programs. SQLite does not have comments."""
    from bsv_store.catalog.tables.views import VIEWS

    def statement(target: str, description: str) -> None:
        # COMMENT does not accept bound parameters.
        literal = description.replace("'", "''")
        connection.execute(text(f"COMMENT ON {target} IS '{literal}'".replace(":", r"\:")))

    for view in VIEWS.values():
        statement(f"VIEW {view.name}", view.description)
        for column in view.columns:
            statement(f"COLUMN {view.name}.{column.name}", column.description)


def downgrade(database: Database, revision: str) -> None:
    """Downgrade the schema to a revision, in one transaction; 'base' removes it."""
    from alembic import command

    _migrate(database, lambda config: command.downgrade(config, revision))


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


def _migrate(database: Database, run: Callable[[Config], None]) -> None:
    # A separate connection, because foreign keys must be off before the transaction starts: rebuilding a table with
    # ON DELETE rules would otherwise delete the rows of its children.
    with (
        _one_migration_at_a_time,
        closing(Database(database.target, pooled=False)) as private,
        private.engine.connect() as connection,
    ):
        if private.is_sqlite:
            driver: Any = connection.connection.driver_connection
            driver.execute("PRAGMA foreign_keys = OFF")
        with _locked_transaction(private, connection):
            before = current_revision(connection)
            run(alembic_config(connection))
            if HEAD == current_revision(connection) != before:
                # Migrations may have rewritten rows, and the rules for derived values may have changed.
                from bsv_store.catalog.ingest.hemisphere import update_injected_hemispheres
                from bsv_store.catalog.sealing import seal_everything

                update_injected_hemispheres(connection)
                seal_everything(connection, HEAD)
            if private.is_sqlite:
                _refuse_dangling_rows(connection)


@contextmanager
def _locked_transaction(database: Database, connection: Connection) -> Iterator[None]:
    with connection.execution_options(bsv_begin="IMMEDIATE").begin():
        if not database.is_sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _ADVISORY_LOCK})
        yield


def _refuse_dangling_rows(connection: Connection) -> None:
    dangling = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchmany(3)
    if dangling:
        raise StoreError(
            f"the migration would leave rows that refer to missing rows: {dangling}", hint="Nothing was changed."
        )
