"""The command that shows or chooses the journal of a catalog."""

from __future__ import annotations

from pathlib import Path

import pytest

from bsv_store import open_store
from bsv_store.catalog.database import sqlite_errors
from tests.cli.running import Runner
from tests.databases import both_databases

pytestmark = both_databases


def test_the_journal_is_shown(run: Runner, store_location: Path) -> None:
    with open_store(store_location) as store:
        is_sqlite = store.database.is_sqlite
    done = run("db", "journal", store=store_location).succeeded()
    assert done.out.split() == (["rollback"] if is_sqlite else [])
    assert ("Postgres" in done.err) is not is_sqlite


def test_the_journal_is_chosen_and_the_choice_is_recorded(
    run: Runner, store_location: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_store(store_location) as store:
        is_sqlite = store.database.is_sqlite
    if not is_sqlite:
        run("db", "journal", "wal", store=store_location).refused(2, "Postgres")
        return
    monkeypatch.setattr(sqlite_errors, "SAFE_WAL_VERSION", (0, 0, 0))
    assert run("db", "journal", "WAL", store=store_location).succeeded().out.split() == ["wal"]
    assert run("db", "journal", "rollback", store=store_location).succeeded().out.split() == ["rollback"]
    rows = run("activity", "--action", "configured", "--format", "json", store=store_location).succeeded().json
    assert [row["details"] for row in rows] == [{"journal": "rollback"}, {"journal": "wal"}]


def test_wal_is_refused_where_sqlite_is_not_safe(
    run: Runner, store_location: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_store(store_location) as store:
        if not store.database.is_sqlite:
            pytest.skip("Postgres has no journal mode")
    monkeypatch.setattr(sqlite_errors, "SAFE_WAL_VERSION", (99, 0, 0))
    run("db", "journal", "wal", store=store_location).refused(3, "99.0.0")
