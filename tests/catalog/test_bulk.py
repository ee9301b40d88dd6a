from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Float,
    Integer,
    MetaData,
    String,
    Table,
    make_url,
    select,
)

from bsv_store import Store
from bsv_store.catalog.database.bulk import (
    delete_rows,
    insert_arrays,
    insert_rows,
    refresh_statistics,
    refresh_statistics_after,
    replace_rows,
    upsert_rows,
)
from bsv_store.catalog.database.engine import Database
from bsv_store.errors import BusyError, InputError

TABLE = Table(
    "group",  # a reserved word, so that names must be quoted
    MetaData(),
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("order", Integer, primary_key=True, autoincrement=False),
    Column("value", Float),
    Column("flag", Boolean),
    Column("text", String),
)
NAMES = ("id", "order", "value", "flag", "text")
ROWS = [
    (2**62, 1, 0.1, True, "ü\n';--%s"),
    (-1, -(2**31), -1e300, False, ""),
    (0, 0, None, None, None),
]


@pytest.fixture
def connection(new_database: Callable[[], str | None], tmp_path: Path) -> Iterator[Connection]:
    url = new_database()
    path = tmp_path / "bulk.db"
    path.touch()
    database = Database(path if url is None else make_url(url).set(drivername="postgresql+psycopg"))
    with database.writing() as connection:
        TABLE.create(connection)
        yield connection
    database.close()


def stored(connection: Connection) -> list[tuple[Any, ...]]:
    return sorted(tuple(row) for row in connection.execute(select(TABLE)))


def test_rows_come_back_as_they_went_in(connection: Connection) -> None:
    insert_rows(connection, TABLE, NAMES, iter(ROWS))
    assert stored(connection) == sorted(ROWS)


def test_columns_can_come_in_any_order_and_be_left_out(connection: Connection) -> None:
    insert_rows(connection, TABLE, ("text", "order", "id"), [("a", 2, 1)])
    assert stored(connection) == [(1, 2, None, None, "a")]


def test_no_rows_are_not_an_error(connection: Connection) -> None:
    for function in (insert_rows, upsert_rows, delete_rows):
        function(connection, TABLE, NAMES, [])
    replace_rows(connection, TABLE, NAMES[:2], [], [])
    insert_arrays(connection, TABLE, {"id": np.array([], dtype="i8"), "order": np.array([], dtype="i8")})
    assert stored(connection) == []


def test_upsert_adds_and_updates(connection: Connection) -> None:
    insert_rows(connection, TABLE, NAMES, ROWS)
    upsert_rows(connection, TABLE, ("id", "order", "text"), [(0, 0, "new"), (5, 5, "added")])
    assert stored(connection) == sorted([*ROWS[:2], (0, 0, None, None, "new"), (5, 5, None, None, "added")])
    upsert_rows(connection, TABLE, ("id", "order"), [(5, 5), (6, 6)])
    assert (5, 5, None, None, "added") in stored(connection)
    assert (6, 6, None, None, None) in stored(connection)


def test_key_that_exists_is_an_error(new_database: Callable[[], str | None], tmp_path: Path) -> None:
    url = new_database()
    (tmp_path / "bulk.db").touch()
    database = Database(tmp_path / "bulk.db" if url is None else make_url(url).set(drivername="postgresql+psycopg"))
    with database.writing() as connection:
        TABLE.create(connection)
        insert_rows(connection, TABLE, NAMES, ROWS)
    # Whose message the user sees is the engine's affair; nothing may be left half-written.
    keys = {"id": np.array([7, 0]), "order": np.array([7, 0])}
    with pytest.raises(InputError), database.writing() as connection:
        insert_arrays(connection, TABLE, keys)
    with database.reading() as connection:
        assert stored(connection) == sorted(ROWS)
    database.close()


def test_delete_takes_the_rows_with_these_values(connection: Connection) -> None:
    insert_rows(connection, TABLE, NAMES[:2], [(a, b) for a in range(3) for b in range(3)])
    delete_rows(connection, TABLE, ("id", "order"), [(0, 1), (2, 2)])
    delete_rows(connection, TABLE, ("id",), [(1,)])
    assert [row[:2] for row in stored(connection)] == [(0, 0), (0, 2), (2, 0), (2, 1)]


def test_replace_touches_only_what_differs(connection: Connection) -> None:
    insert_rows(connection, TABLE, (*NAMES[:2], "text"), [(1, 1, "kept"), (2, 2, "goes")])
    replace_rows(connection, TABLE, NAMES[:2], {(1, 1), (2, 2)}, {(1, 1), (3, 3)})
    assert [(*row[:2], row[4]) for row in stored(connection)] == [(1, 1, "kept"), (3, 3, None)]


def test_arrays_come_back_as_they_went_in(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    # More than one batch.
    monkeypatch.setattr("bsv_store.catalog.database.bulk._BATCH", 100)
    generator = np.random.default_rng(1)
    columns = {
        "flag": generator.integers(0, 2, 250).astype(bool),
        "value": generator.standard_normal(250) * 1e200,
        "order": np.arange(250, dtype=np.int64) - 125,
        "id": np.sort(generator.choice(2**62, 250, replace=False)),
    }
    columns["value"][:2] = 5e-324, -0.0
    insert_arrays(connection, TABLE, columns)
    lists = [columns[name].tolist() for name in NAMES[:4]]
    assert [row[:4] for row in stored(connection)] == list(zip(*lists, strict=True))


def test_statistics_are_those_of_the_tables_of_the_store(store: Store) -> None:
    with store.database.writing() as connection:
        connection.exec_driver_sql("CREATE TABLE of_another_program AS SELECT 1 AS number")
        refresh_statistics(connection)
        query = "SELECT tablename FROM pg_stats WHERE schemaname = current_schema()"
        if store.database.is_sqlite:
            query = "SELECT tbl FROM sqlite_stat1"
        found = set(connection.exec_driver_sql(query).scalars())
    assert "store_info" in found
    assert "of_another_program" not in found


def has_statistics(database: Database) -> bool:
    query = "SELECT count(*) FROM pg_stats WHERE tablename = 'store_info'"
    if database.is_sqlite:
        query = "SELECT count(*) FROM sqlite_master WHERE name = 'sqlite_stat1'"
    with database.reading() as connection:
        return bool(connection.exec_driver_sql(query).scalar_one())


def test_statistics_are_refreshed_after_many_rows_only(store: Store) -> None:
    refresh_statistics_after(store.database, 999)
    assert not has_statistics(store.database)
    refresh_statistics_after(store.database, 1_000)
    assert has_statistics(store.database)


def test_unionize_table_is_vacuumed_after_many_rows_only(store: Store) -> None:
    if store.database.is_sqlite:
        pytest.skip("SQLite's indexes know of no rows that others may not see")
    counts = []
    for rows in (999, 1_000):
        refresh_statistics_after(store.database, rows)
        with store.database.reading() as connection:
            query = "SELECT vacuum_count FROM pg_stat_user_tables WHERE relname = 'unionize'"
            counts.append(connection.exec_driver_sql(query).scalar_one())
    assert counts == [0, 1]


def test_a_busy_database_goes_without_new_statistics(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def busy(_: object) -> None:
        asked.append(True)
        raise BusyError("somebody is writing")

    monkeypatch.setattr("bsv_store.catalog.database.bulk.refresh_statistics", busy)
    refresh_statistics_after(store.database, 1_000)
    assert asked


@pytest.mark.parametrize("value", [2**31, -(2**31) - 1])
def test_value_too_large_for_its_column_never_wraps(connection: Connection, value: int) -> None:
    columns = {"id": np.array([1]), "order": np.array([value])}
    if connection.dialect.name == "sqlite":
        insert_arrays(connection, TABLE, columns)
        assert stored(connection)[0][1] == value
    else:
        # Within a savepoint, since the fixture's transaction goes on.
        with pytest.raises(OverflowError, match="order"), connection.begin_nested():
            insert_arrays(connection, TABLE, columns)
