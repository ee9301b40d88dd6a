"""Transactions: explicit, isolated, and read-only where they say so."""

from __future__ import annotations

import os
import sqlite3
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import text

from bsv_store import Store, create_store, open_store
from bsv_store.catalog.database import driver_errors, engine, postgres, sqlite
from bsv_store.catalog.database.engine import Database
from bsv_store.config import StoreConfig
from bsv_store.errors import BusyError, InputError, ReadOnlyStoreError, StoreError
from tests.databases import sqlite_first
from tests.error_texts import every_text
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
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_S", 0.05)
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
    """A power cut takes nothing that was committed. The fixtures hurry; what the engine itself asks for is EXTRA."""
    (tmp_path / "catalog.db").touch()
    connection = sqlite.connect_sqlite(tmp_path / "catalog.db", read_only=False)
    assert connection.execute("PRAGMA synchronous").fetchone() == (3,)
    connection.close()


@pytest.mark.parametrize(
    "value", ["caf\udce9", "nul\0nul", 2**63, 10**5000], ids=["surrogate", "NUL", "64 bits", "digits"]
)
def test_values_that_a_database_cannot_take_are_bad_input(store: Store, value: object) -> None:
    query = text("SELECT count(*) FROM experiment WHERE strain = CAST(:value AS TEXT)")
    if value == "nul\0nul" if store.database.is_sqlite else isinstance(value, int):
        # SQLite takes NUL, and Postgres integers of any size.
        with store.database.reading() as connection:
            assert connection.execute(query, {"value": value}).scalar() == 0
        return
    with pytest.raises(InputError), store.database.reading() as connection:
        connection.execute(query, {"value": value})


def test_a_sqlite_store_in_a_folder_with_a_name_that_urls_would_quote(tmp_path: Path) -> None:
    folder = tmp_path / "café %41 ?#"
    create_store(folder).close()
    with open_store(folder) as opened:
        assert opened.select() == ()


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


@sqlite_first
def test_a_read_only_mount_is_not_reported_as_missing_permissions(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not store.database.is_sqlite or not hasattr(os, "statvfs"):
        pytest.skip("the catalog is not a file of a file system that tells")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(ReadOnlyStoreError, match=r"no write access to .*catalog\.db"):
        store.database.require_writable()
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_flag=os.ST_RDONLY))
    with pytest.raises(ReadOnlyStoreError, match=r"catalog\.db is mounted read-only") as caught:
        store.database.require_writable()
    assert "dmesg" in str(caught.value.hint)


def test_more_threads_than_connections_are_busy_while_another_process_writes(
    filled_location: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if database != "sqlite":
        pytest.skip("a Postgres writer does not hold off readers")
    for module in (driver_errors, engine, sqlite):
        monkeypatch.setattr(module, "BUSY_TIMEOUT_S", 0.5)
    errors: list[BaseException] = []

    def read() -> None:
        try:
            store.select()
        except BaseException as error:  # noqa: BLE001 (the type is the test)
            errors.append(error)

    other = sqlite3.connect(filled_location / "catalog.db", isolation_level=None)
    with open_store(filled_location) as store:
        other.execute("BEGIN EXCLUSIVE")
        threads = [threading.Thread(target=read) for _ in range(30)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        other.close()
        assert len(errors) == 30
        assert {type(error) for error in errors} == {BusyError}
        # Afterwards it works again.
        assert store.select()


SECRET = "hunter2"


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://me:{SECRET}@host/lab",
        f"postgresql://host/lab?password={SECRET}",
        f"postgresql://host/lab?passfile=/home/me/{SECRET}",
        f"postgresql://host/lab?sslmode=require&sslpassword={SECRET}",
        f"postgresql://host/lab?passwort={SECRET}",
        f"postgresql://host/lab?options=-c%20x={SECRET}",
        f"postgresql://me:{SECRET}@host:port/lab",
        f"postgresql:/me:{SECRET}@host",
        f"mysql://me:{SECRET}@host/lab",
        f"me:{SECRET}@host",
        f"postgresql://host/{SECRET}%00\x00",
        f"postgresql://me%00{SECRET}@host/lab",
        f"postgresql://host/lab?host=%00{SECRET}",
        f"postgresql://host/{SECRET}\udce9",
    ],
)
def test_a_database_url_with_a_secret_or_invalid_is_refused_without_being_shown(url: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="database") as caught:
        create_store(tmp_path / "store", database=url)
    assert SECRET not in every_text(caught.value)
    assert not (tmp_path / "store").exists()
    # The same, where an earlier version stored it.
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "store.toml").write_bytes(
        StoreConfig("a", database=url).to_toml().encode("utf-8", "surrogateescape")
    )
    with pytest.raises(StoreError, match=r"store\.toml") as opened:
        open_store(tmp_path / "store")
    assert SECRET not in every_text(opened.value)


def test_parameters_of_the_connection_are_accepted(tmp_path: Path) -> None:
    url = "postgresql://me@host/lab?host=%2Ftmp&sslmode=verify-full&application_name=lab"
    assert postgres.normalized_url(url).render_as_string() == url.replace("postgresql:", "postgresql+psycopg:").replace(
        "?host=%2Ftmp&sslmode=verify-full&application_name=lab",
        "?application_name=lab&host=%2Ftmp&sslmode=verify-full",
    )
