"""Run migrations on the connection that ``bsv_store.catalog.database.schema`` passes, inside its transaction.

From the command line, in a checkout, ``alembic revision --autogenerate -m "what changes"`` and ``alembic check``
compare the models with the schema that the migrations create in an empty scratch database. Stores are upgraded only by
bsv-store, in one transaction and under a lock.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from alembic import context
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.pool import StaticPool

from bsv_store.catalog.database.models import Base
from bsv_store.catalog.database.models.base import UtcDateTime
from bsv_store.catalog.database.schema import VERSION_TABLE
from bsv_store.checkpoints import checkpoint

# Commands that need a database, but not a store.
_CHECKOUT_COMMANDS = {"revision", "check"}


def _render_item(kind: str, item: Any, _autogenerate_context: Any) -> str | bool:
    """Render our column types as plain SQLAlchemy types, so that migrations do not depend on the models."""
    if kind == "type" and isinstance(item, UtcDateTime):
        return "sa.DateTime(timezone=True)"
    return False


def _number_revision(migration_context: MigrationContext, _revision: Any, directives: list[Any]) -> None:
    """Give a new revision the next number, unless --rev-id says otherwise."""
    options = context.config.cmd_opts
    if options is None or getattr(options, "rev_id", None) is not None:
        return
    head = context.script.get_current_head()
    for directive in directives:
        directive.rev_id = f"{int(head or 0) + 1:04d}"


@contextmanager
def _scratch_database(script: ScriptDirectory) -> Iterator[Connection]:
    """A database in memory at the newest revision."""

    def to_head(revision: Any, _context: Any) -> Any:
        return script._upgrade_revs("head", revision)

    options = {"fn": to_head, "version_table": VERSION_TABLE, "transactional_ddl": True, "script": script}
    with create_engine("sqlite://", poolclass=StaticPool).connect() as connection:
        migration_context = MigrationContext.configure(connection, opts=options)
        # Not an EnvironmentContext, because one is active already and a process can have only one.
        with Operations.context(migration_context), connection.begin():
            migration_context.run_migrations()
        yield connection


@contextmanager
def _connection() -> Iterator[Connection]:
    given = context.config.attributes.get("connection")
    if isinstance(given, Connection):
        yield given
    elif isinstance(given, Engine):
        with given.begin() as connection:
            yield connection
    else:
        options = context.config.cmd_opts
        command = options.cmd[0].__name__ if options is not None else "?"
        if command not in _CHECKOUT_COMMANDS:
            raise CommandError(f"no store to run {command!r} on: upgrade stores with bsv-store, not with alembic")
        with _scratch_database(context.script) as connection:
            yield connection


def _on_version_apply(**_facts: Any) -> None:
    """Called after each step of an upgrade or downgrade."""
    checkpoint("migrate:step")


def _run() -> None:
    if context.is_offline_mode():
        raise CommandError("offline mode is not supported: migrations cannot be written as a SQL script")
    with _connection() as connection:
        context.configure(
            connection=connection,
            target_metadata=Base.metadata,
            version_table=VERSION_TABLE,
            # All revisions run in the caller's transaction, on SQLite too.
            transactional_ddl=True,
            transaction_per_migration=False,
            # On SQLite, Alembic changes a table by creating a new one.
            render_as_batch=connection.dialect.name == "sqlite",
            render_item=_render_item,
            process_revision_directives=_number_revision,
            on_version_apply=_on_version_apply,
        )
        with context.begin_transaction():
            context.run_migrations()


_run()
