"""A small store of every past revision is refused with the right command, upgraded, downgraded and compared."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from bsv_store import open_store
from bsv_store.catalog.database import schema
from bsv_store.config import SQLITE, read_store_config
from bsv_store.errors import DamagedCatalogError, SchemaTooOldError
from bsv_store.store.connection import connect
from bsv_store.store.opening import upgrade_store
from bsv_store.store.schema_changes import check_schema, downgrade_store, stamp_store
from tests.catalog.revisions.stores import MODULES, all_rows, build_on_postgres, build_on_sqlite, make_folder
from tests.conftest import DatabaseKind
from tests.postgres import PostgresServer

PAST = [revision for revision in MODULES if revision != schema.HEAD]
# Of the stores that a second test uses.
DAMAGED, STAMPED = "0012", "0007"
# Every upgrade and downgrade adds rows to them.
GROWING = {"activity", "catalog_change", "schema_history"}
# One worker builds the stores, once.
pytestmark = pytest.mark.xdist_group("revisions")


@pytest.fixture(scope="session")
def _sqlite_catalogs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return build_on_sqlite(tmp_path_factory.mktemp("revisions"))


@pytest.fixture(scope="session")
def _postgres_catalogs(postgres: PostgresServer) -> dict[str, list[str]]:
    return build_on_postgres(postgres, twice=(DAMAGED, STAMPED))


@pytest.fixture
def old_store(revision: str, database: DatabaseKind, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A store at the revision."""
    catalogs = request.getfixturevalue(f"_{database}_catalogs")
    location = tmp_path / "store"
    if database == "sqlite":
        make_folder(location, SQLITE)
        shutil.copyfile(catalogs[revision], location / "catalog.db")
        yield location
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    # Copying it again would take longer than the upgrade.
    name = catalogs[revision].pop()
    make_folder(location, server.url(name))
    yield location
    server.drop_database(name)


def rows(location: Path) -> dict[str, list[dict[str, Any]]]:
    with closing(connect(location, read_store_config(location), read_only=True)) as database:
        return all_rows(database)


def compared(found: dict[str, list[dict[str, Any]]], without: set[str]) -> dict[str, list[str]]:
    """The rows as text, sorted, without some columns."""
    return {
        table: sorted(
            repr({name: value for name, value in sorted(row.items()) if f"{table}.{name}" not in without})
            for row in contents
        )
        for table, contents in found.items()
    }


def test_every_revision_has_a_store() -> None:
    assert tuple(MODULES) == schema.KNOWN_REVISIONS, "add a module for the new revision to tests/catalog/revisions"
    assert not [revision for revision, module in MODULES.items() if not (module.STATEMENTS and module.AT_HEAD)]


@pytest.mark.parametrize("revision", PAST)
def test_a_store_of_a_past_revision_is_upgraded_and_downgraded_without_loss(old_store: Path, revision: str) -> None:
    before = rows(old_store)
    assert len(before) > 15
    with pytest.raises(SchemaTooOldError, match=f"at revision {revision}") as caught:
        open_store(old_store)
    assert caught.value.hint == f"Upgrade the store: bsv-store --store {old_store} db upgrade"

    report = upgrade_store(old_store)
    assert (report.before, report.after, report.damaged) == (revision, schema.HEAD, ())
    later = [module for number, module in MODULES.items() if number > revision]
    with open_store(old_store) as store, store.database.reading() as connection:
        for number, module in MODULES.items():
            if number > revision:
                continue
            for query, expected in module.AT_HEAD.items():
                assert [tuple(row) for row in connection.execute(text(query))] == expected, (number, query)
    if revision in (PAST[0], PAST[-1]):
        assert check_schema(old_store).differences == ()

    downgrade_store(old_store, revision=revision, make_backup=False)
    # Recorded on Postgres when the store is opened.
    without = {"store_link.folder", *(name for module in later for name in module.NOT_RESTORED)}
    expected_rows, found_rows = compared(before, without), compared(rows(old_store), without)
    assert found_rows.keys() == expected_rows.keys()
    for table, contents in expected_rows.items():
        if table in GROWING:
            assert not [row for row in contents if row not in found_rows[table]], table
        else:
            assert found_rows[table] == contents, table


@pytest.mark.parametrize("revision", [DAMAGED])
def test_a_damaged_store_is_not_upgraded_unless_told_to(old_store: Path) -> None:
    with closing(connect(old_store, read_store_config(old_store), read_only=False)) as database:
        with database.writing() as connection:
            connection.execute(text("UPDATE experiment SET injection_volume = 7 WHERE id = 102"))
            connection.execute(text("UPDATE unionize SET projection_volume = 7 WHERE structure_id = 672"))
        before = all_rows(database)
        with pytest.raises(DamagedCatalogError, match="was not upgraded") as caught:
            upgrade_store(old_store, make_backup=False)
        assert "about experiments" in caught.value.message
        assert "102" in caught.value.message
        assert "101 (projection)" in caught.value.message
        assert "--force" in str(caught.value.hint)
        assert all_rows(database) == before
    upgrade_store(old_store, make_backup=False, force=True)
    with open_store(old_store) as store:
        found = store.sql("SELECT injection_volume FROM experiments WHERE experiment_id = 102")
        assert found["injection_volume"].tolist() == [7.0]


@pytest.mark.parametrize("revision", [STAMPED])
def test_a_wrong_stamp_is_found_by_the_check(old_store: Path) -> None:
    stamp_store(old_store, revision=schema.HEAD)
    problems = {(each.kind, each.name, each.problem) for each in check_schema(old_store).differences}
    assert ("table", "activity", "is missing") in problems
    assert ("column", "annotation.origin", "is missing") in problems
    assert ("view", "measured_structures", "is missing") in problems
