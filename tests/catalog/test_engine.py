"""Transactions: explicit, isolated, and read-only where they say so."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import text

from bsv_store import Store, open_store
from bsv_store.catalog.database import engine
from bsv_store.catalog.database.engine import Database
from bsv_store.errors import BusyError, InputError, ReadOnlyStoreError
from tests.processes import Child

COUNT_UP = "UPDATE store_info SET format_version = :value"
CURRENT = "SELECT format_version FROM store_info"


def test_reading_transaction_cannot_write(store: Store) -> None:
    with pytest.raises(ReadOnlyStoreError), store.database.reading() as connection:
        connection.execute(text("DELETE FROM store_info"))
    with store.database.reading() as connection:
        assert connection.execute(text("SELECT count(*) FROM store_info")).scalar() == 1


def test_writing_works_after_reading_on_the_same_connection(store: Store) -> None:
    with store.database.reading():
        pass
    with store.database.writing() as connection:
        connection.execute(text(COUNT_UP), {"value": 7})
    with store.database.reading() as connection:
        assert connection.execute(text(CURRENT)).scalar() == 7


def test_error_rolls_everything_back(store: Store) -> None:
    def fail_halfway() -> None:
        with store.database.writing() as connection:
            connection.execute(text(COUNT_UP), {"value": 7})
            raise RuntimeError("oops")

    with pytest.raises(RuntimeError, match="oops"):
        fail_halfway()
    with store.database.reading() as connection:
        assert connection.execute(text(CURRENT)).scalar() == 1


def test_reader_sees_one_state_throughout(store: Store) -> None:
    if store.database.is_sqlite:
        pytest.skip("a SQLite reader holds writers off")
    with store.database.reading() as reader:
        assert reader.execute(text(CURRENT)).scalar() == 1
        with store.database.writing() as writer:
            writer.execute(text(COUNT_UP), {"value": 2})
        assert reader.execute(text(CURRENT)).scalar() == 1


def add_many(folder: Path, times: int) -> None:
    with open_store(folder) as store:
        for _ in range(times):
            with store.database.writing() as connection:
                lock = "" if store.database.is_sqlite else " FOR UPDATE"
                value = connection.execute(text(CURRENT + lock)).scalar_one()
                connection.execute(text(COUNT_UP), {"value": value + 1})


def test_no_update_is_lost_between_processes(store: Store) -> None:
    store.close()
    workers = [Child(add_many, store.path, 20) for _ in range(4)]
    assert [(*worker.communicate(timeout=120), worker.returncode) for worker in workers] == [("", "", 0)] * 4
    with store.database.reading() as connection:
        assert connection.execute(text(CURRENT)).scalar() == 1 + 4 * 20


def test_child_of_a_fork_uses_connections_of_its_own(store: Store) -> None:
    with store.database.reading() as connection:
        connection.execute(text(CURRENT))
    child = os.fork()
    if child == 0:
        with store.database.reading() as connection:
            connection.execute(text(CURRENT))
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    with store.database.reading() as connection:
        assert connection.execute(text(CURRENT)).scalar() == 1


def test_locked_sqlite_database_is_busy_not_hanging(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "BUSY_TIMEOUT_S", 0.05)
    file = tmp_path / "catalog.db"
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("CREATE TABLE store_info (x)")
    other.execute("BEGIN EXCLUSIVE")
    database = Database(file)
    with pytest.raises(BusyError, match=r"catalog\.db"), database.writing():
        pass
    other.close()
    database.close()


def test_sqlite_waits_for_the_disk_at_each_commit(tmp_path: Path) -> None:
    """A power cut takes nothing that was committed. The fixtures hurry; what the engine itself asks for is FULL."""
    (tmp_path / "catalog.db").touch()
    connection = engine._connect_sqlite(tmp_path / "catalog.db", read_only=False)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    connection.close()


def test_constraint_that_is_broken_is_bad_input(store: Store) -> None:
    with pytest.raises(InputError, match="single_row"), store.database.writing() as connection:
        connection.execute(text("INSERT INTO store_info SELECT 2, 'x', 1, created_at, 'x' FROM store_info"))


def test_an_account_without_write_access_gets_an_error_before_any_work(store: Store) -> None:
    store.database.require_writable()
    target = store.database.target
    if isinstance(target, Path):
        with open_store(store.path, read_only=True) as reader, pytest.raises(ReadOnlyStoreError):
            reader.database.require_writable()
        return
    with store.database.writing() as connection:
        connection.execute(text("CREATE ROLE a_reader LOGIN"))
        connection.execute(text("GRANT SELECT ON ALL TABLES IN SCHEMA public TO a_reader"))
    reading = Database(target.set(username="a_reader"))
    try:
        with reading.reading() as connection:
            assert connection.execute(text(CURRENT)).scalar() == 1
        with pytest.raises(ReadOnlyStoreError, match="no write access") as caught:
            reading.require_writable()
        assert "permission to write" in str(caught.value.hint)
    finally:
        reading.close()
        with store.database.writing() as connection:
            connection.execute(text("REVOKE ALL ON ALL TABLES IN SCHEMA public FROM a_reader"))
            connection.execute(text("DROP ROLE a_reader"))
