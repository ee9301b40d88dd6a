"""Empty catalogs, created by migrations once and then copied: the migrations take half a second of CPU.

On SQLite the file is copied. On Postgres the statements of the first run are executed again, as one. The checks
before them and the grants after them still run.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from alembic.config import Config
from sqlalchemy import delete

from bsv_store.catalog.database import schema
from bsv_store.catalog.database.engine import Database
from bsv_store.catalog.database.models import SchemaHistory
from bsv_store.catalog.database.statements import recorded
from bsv_store.catalog.schema_history import record_schema_change
from bsv_store.store import creation


@pytest.fixture(scope="session", autouse=True)
def _tables_are_copied() -> Iterator[Callable[[Database], None]]:
    """Copy the tables of the first new catalog into the others."""
    original = creation.create_tables
    statements: list[str] = []

    def run(change: schema._Upgrade, config: Config) -> None:
        """Replaces the migrations on Postgres, and the comments on views."""
        connection = config.attributes["connection"]
        if not statements:
            found: list[str] = []
            with recorded(connection, found):
                run_migrations(change, config)
            statements.extend(found)
            return
        # The driver, since SQLAlchemy would look for parameters.
        with connection.connection.cursor() as cursor:
            cursor.execute("\n".join(statements).encode())

    run_migrations = schema._Upgrade.run
    with closing(sqlite3.connect(":memory:", check_same_thread=False)) as first:
        is_filled = False

        def copy(database: Database) -> None:
            nonlocal is_filled
            if not database.is_sqlite:
                with pytest.MonkeyPatch.context() as patch:
                    patch.setattr(schema._Upgrade, "run", run)
                    original(database)
                return
            if not is_filled:
                original(database)
            with closing(database.engine.raw_connection()) as connection:
                other = connection.driver_connection
                assert isinstance(other, sqlite3.Connection)
                if not is_filled:
                    other.backup(first)
                    is_filled = True
                    return
                first.backup(other)
            # By this user, now.
            with database.writing() as writing:
                writing.execute(delete(SchemaHistory))
                record_schema_change(writing, "created", None, schema.HEAD)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(creation, "create_tables", copy)
            yield original


@pytest.fixture
def tables_by_migrations(monkeypatch: pytest.MonkeyPatch, _tables_are_copied: Callable[[Database], None]) -> None:
    """Run the migrations in this test."""
    monkeypatch.setattr(creation, "create_tables", _tables_are_copied)
