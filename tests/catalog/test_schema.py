"""The migrations: one head, the models' schema, whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, make_url

from bsv_store import Store
from bsv_store.catalog.database import schema
from bsv_store.catalog.database.engine import Database
from bsv_store.catalog.database.models import Base


@pytest.fixture
def empty(new_database: Callable[[], str | None], tmp_path: Path) -> Database:
    url = new_database()
    if url is not None:
        return Database(make_url(url).set(drivername="postgresql+psycopg"))
    (tmp_path / "empty.db").touch()
    return Database(tmp_path / "empty.db")


def tables(connection: Connection) -> set[str]:
    found = inspect(connection)
    return {*found.get_table_names(), *found.get_view_names()}


def test_there_is_one_head_and_the_package_knows_it() -> None:
    scripts = ScriptDirectory.from_config(schema.alembic_config())
    assert scripts.get_heads() == [schema.HEAD]
    assert tuple(sorted(revision.revision for revision in scripts.walk_revisions())) == schema.KNOWN_REVISIONS


def test_migrations_make_what_the_models_say(store: Store) -> None:
    def only_tables(_object: object, name: str | None, kind: str, _reflected: bool, _compare: object) -> bool:
        return not (kind == "table" and name == schema.VERSION_TABLE)

    with store.database.engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "include_object": only_tables, "target_metadata": Base.metadata}
        )
        assert compare_metadata(context, Base.metadata) == []


def test_down_and_up_again_leave_the_same(empty: Database) -> None:
    schema.upgrade(empty)
    with empty.reading() as connection:
        full = tables(connection)
    schema.downgrade(empty, "base")
    with empty.reading() as connection:
        assert tables(connection) <= {schema.VERSION_TABLE}
    schema.upgrade(empty)
    with empty.reading() as connection:
        assert tables(connection) == full
    empty.close()


def test_failing_migration_leaves_nothing(empty: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def dangling(_connection: Connection) -> None:
        raise RuntimeError("stop before the commit")

    monkeypatch.setattr(schema, "_refuse_dangling_rows", dangling)
    if not empty.is_sqlite:
        monkeypatch.setattr("alembic.op.execute", lambda *_: dangling(None))  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="stop"):
        schema.upgrade(empty)
    with empty.reading() as connection:
        assert tables(connection) == set()
    empty.close()
