"""Moving a catalog to the other database and back, also if it is killed at any step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from bsv_store import Selection, Store, open_store
from bsv_store.errors import (
    BsvStoreError,
    BusyError,
    DamagedCatalogError,
    InputError,
    StoreExistsError,
    StoreMismatchError,
)
from bsv_store.maintenance import move as move_module
from bsv_store.store.restoring import move_store
from tests.conftest import DatabaseKind
from tests.databases import sqlite_first
from tests.datasets.world import ask
from tests.maintenance.backup import checks

NewDatabase = Callable[[DatabaseKind], str | None]


@pytest.fixture
def elsewhere(database: DatabaseKind, empty_database: NewDatabase) -> str:
    """The argument ``database`` of a move to the other kind of database."""
    return empty_database("postgres") or "" if database == "sqlite" else "sqlite"


def test_a_moved_catalog_has_the_same_rows(filled_location: Path, elsewhere: str) -> None:
    with open_store(filled_location) as store:
        ask(store, Selection(ids=[1, 2]))
        before = checks.rows(store)
        was_sqlite = store.database.is_sqlite
    report = move_store(filled_location, database=elsewhere)
    with open_store(filled_location) as store:
        assert store.database.is_sqlite != was_sqlite
        assert checks.rows(store) == before
        action = store.admin.activity(limit=1).iloc[0]
        assert (action.action, action.details["rows"]) == ("moved", report.rows)
    checks.assert_intact(filled_location)
    checks.assert_usable(filled_location)


@sqlite_first
def test_a_catalog_moves_back_to_where_it_was(filled_location: Path, elsewhere: str) -> None:
    with open_store(filled_location) as store:
        first = store.config.database
    move_store(filled_location, database=elsewhere)
    with open_store(filled_location) as store:
        ask(store, Selection(ids=[1, 2]))
        before = checks.rows(store)
    move_store(filled_location, database=first)
    move_store(filled_location, database=elsewhere)
    move_store(filled_location, database=first)
    with open_store(filled_location) as store:
        assert store.config.database == first
        assert checks.rows(store) == before
    checks.assert_intact(filled_location)
    checks.assert_usable(filled_location)


def test_of_two_moves_at_once_the_later_one_changes_nothing(
    filled_location: Path,
    elsewhere: str,
    empty_database: NewDatabase,
    database: DatabaseKind,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if database != "sqlite":
        pytest.skip("there is one catalog on SQLite in a folder")
    found_before = move_module._moved_to

    def slow(*arguments: Any) -> str | None:
        moved_to = found_before(*arguments)
        monkeypatch.setattr(move_module, "_moved_to", found_before)
        # Another administrator moves it elsewhere.
        move_store(filled_location, database=elsewhere)
        return moved_to

    monkeypatch.setattr(move_module, "_moved_to", slow)
    with pytest.raises(StoreMismatchError, match="another process has moved the catalog to postgresql"):
        move_store(filled_location, database=empty_database("postgres") or "")
    with open_store(filled_location) as store:
        assert not store.database.is_sqlite
        ask(store, Selection(ids=[1, 2]))
    checks.assert_usable(filled_location)


def test_a_journal_of_the_former_catalog_is_not_applied_to_the_new_one(
    filled_location: Path, elsewhere: str, database: DatabaseKind
) -> None:
    if database == "sqlite":
        pytest.skip("moves to Postgres")
    (filled_location / "catalog.db-journal").write_bytes(b"of a catalog that is gone")
    move_store(filled_location, database=elsewhere)
    assert not (filled_location / "catalog.db-journal").exists()
    checks.assert_intact(filled_location)


def test_a_process_with_the_former_database_open_is_told(filled: Store, elsewhere: str) -> None:
    move_store(filled.path, database=elsewhere)
    for change in (lambda: filled.catalog.exclude([1], reason="late"), lambda: ask(filled, Selection(ids=[1, 2]))):
        with pytest.raises(StoreMismatchError, match="was moved to another one while this process had it open"):
            change()
    # What it had published is not lost, but stored where it belongs by the next run.
    with open_store(filled.path) as store:
        assert 1 in store.select()
        ask(store, Selection(ids=[1, 2]))


def test_the_former_database_is_not_opened_by_an_old_store_toml(filled_location: Path, elsewhere: str) -> None:
    old = (filled_location / "store.toml").read_bytes()
    move_store(filled_location, database=elsewhere)
    (filled_location / "store.toml").write_bytes(old)
    with pytest.raises(StoreMismatchError, match=r"the catalog of the store .* was moved to") as error:
        open_store(filled_location)
    assert error.value.hint is not None
    assert "store move --database" in error.value.hint
    assert move_store(filled_location, database=elsewhere).rows is None
    checks.assert_intact(filled_location)


POINTS = ("move:copied", "move:marked")
MORE_POINTS = ("move:rows", "move:released", "move:switched")


@pytest.mark.parametrize("point", [*POINTS, *(pytest.param(each, marks=pytest.mark.long) for each in MORE_POINTS)])
def test_a_killed_move_is_completed_by_the_next(filled_location: Path, elsewhere: str, point: str) -> None:
    with open_store(filled_location) as store:
        before, old = checks.rows(store), store.config.database
    checks.killed(checks.move, filled_location, elsewhere, at=point)
    if point in ("move:rows", "move:copied"):
        # Nothing has happened to the store.
        with open_store(filled_location) as store:
            assert store.config.database == old
            store.catalog.exclude([7], reason="between")
        with open_store(filled_location) as store:
            before = checks.rows(store)
    elif point != "move:switched":
        with pytest.raises(StoreMismatchError, match="was moved to"):
            open_store(filled_location)
    if point == "move:switched":
        with pytest.raises(InputError, match="is already in"):
            move_store(filled_location, database=elsewhere)
    else:
        move_store(filled_location, database=elsewhere)
    with open_store(filled_location) as store:
        assert store.config.database == elsewhere
        assert checks.rows(store) == before
    checks.assert_intact(filled_location)


@pytest.mark.parametrize("point", ["move:rows", pytest.param("move:copied", marks=pytest.mark.long)])
def test_a_killed_move_between_servers_leaves_the_store_as_it_was(
    filled_location: Path, empty_database: NewDatabase, database: DatabaseKind, point: str
) -> None:
    if database == "sqlite":
        pytest.skip("a store has one catalog.db")
    url = empty_database("postgres") or ""
    checks.killed(checks.move, filled_location, url, at=point)
    checks.assert_usable(filled_location)
    move_store(filled_location, database=url)
    checks.assert_intact(filled_location)


def test_a_copy_that_differs_is_not_used(
    filled_location: Path, elsewhere: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = move_module.copy_rows  # type: ignore[attr-defined]

    def careless(source, destination, **options):  # type: ignore[no-untyped-def]
        plain(source, destination, **options)
        destination.execute(text("DELETE FROM unionize WHERE experiment_id = 2"))

    with open_store(filled_location) as store:
        before = checks.rows(store)
    with monkeypatch.context() as patch:
        patch.setattr(move_module, "copy_rows", careless)
        with pytest.raises(DamagedCatalogError, match=r"the copy of the table unionize differs .* experiment_id 2"):
            move_store(filled_location, database=elsewhere)
    with open_store(filled_location) as store:
        assert checks.rows(store) == before
    move_store(filled_location, database=elsewhere)


def test_a_move_waits_for_downloads(filled: Store, elsewhere: str) -> None:
    from bsv_store.acquisition.work.claims import Claims

    with filled.database.writing() as connection:
        assert Claims(filled.database).take(connection, ["volume/projection_density/100/1"])
    with pytest.raises(BusyError, match="1 claim in the catalog"):
        move_store(filled.path, database=elsewhere)
    open_store(filled.path).close()


def test_unsuitable_databases_are_refused(
    filled: Store, database: DatabaseKind, empty_database: NewDatabase, tmp_path: Path
) -> None:
    for wrong in ("mysql://x@y/z", "postgresql://x:secret@y/z", 3):
        with pytest.raises(InputError) as error:
            move_store(filled.path, database=wrong)  # type: ignore[arg-type]
        assert "secret" not in str(error.value)
    with pytest.raises(InputError, match="is already in"):
        move_store(filled.path, database=filled.config.database)
    if database == "postgres":
        (filled.path / "catalog.db").write_bytes(b"")
        with pytest.raises(StoreExistsError, match="not a former one of this store"):
            move_store(filled.path, database="sqlite")
        return
    from bsv_store import create_store

    url = empty_database("postgres")
    assert url is not None
    create_store(tmp_path / "another", database=url).close()
    with pytest.raises(StoreExistsError, match="already has the catalog of a store"):
        move_store(filled.path, database=url)
    checks.assert_intact(filled.path)
    with pytest.raises(BsvStoreError):
        move_store(tmp_path / "nowhere", database=url)
