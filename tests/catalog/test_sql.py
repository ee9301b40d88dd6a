"""SQL handed in by users: what it returns, and that the database itself refuses everything that is not reading."""

from __future__ import annotations

import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from bsv_store import Store, create_store, open_store
from bsv_store.catalog.tables import sql
from bsv_store.errors import BusyError, DamagedCatalogError, QueryError, StoreUnreachableError
from tests.catalog.small_catalog import ALL_IDS, CURRENT_IDS
from tests.stores import rename_database

if TYPE_CHECKING:
    from tests.postgres import PostgresServer


# -- results ----------------------------------------------------------------------------------------------------------


def test_counts_by_structure(small_store: Store) -> None:
    frame = small_store.sql(
        "select primary_structure, count(*) as n from experiments where not withdrawn group by 1 having count(*) > 1 "
        "order by 2 desc, 1",
    )
    assert frame.to_dict("list") == {"primary_structure": ["VISp", "CP", "VISC", "VISl"], "n": [4, 2, 2, 2]}
    assert str(frame["n"].dtype) == "int64"


def test_descendants_through_the_closure(small_store: Store) -> None:
    frame = small_store.sql(
        """
        select e.experiment_id from experiments as e
        join structure_ancestor as a on a.descendant_id = e.primary_structure_id
        join structure as s on s.id = a.ancestor_id
        where s.acronym = :region and e.transgenic_line is null and not e.withdrawn
        order by e.experiment_id
        """,
        {"region": "VISp"},
    )
    assert frame["experiment_id"].tolist() == [1, 101, 102]


def test_views_of_signal(small_store: Store) -> None:
    frame = small_store.sql(
        "select experiment_id, side, projection_volume from projections "
        "where structure = 'CP' and side <> 'both' and experiment_id < 200 order by 1, 2",
    )
    assert frame.to_numpy().tolist() == [
        [101, "contralateral", 0.1],
        [101, "ipsilateral", 0.4],
        [102, "contralateral", 0.05],
        [103, "contralateral", 0.02],
        [103, "ipsilateral", 0.3],
    ]


def test_types_are_the_same_on_both_databases(small_store: Store) -> None:
    frame = small_store.sql(
        "select sum(product_id) as total, sum(experiment_id) as ids, avg(injection_volume) as mean, "
        "min(injection_ap) as ap, max(sex) as sex, null as unknown from experiments where experiment_id < 106",
    )
    assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == {
        "total": "int64",
        "ids": "int64",
        "mean": "float64",
        "ap": "int64",
        "sex": "object",
        "unknown": "object",
    }
    assert frame.loc[0, ["total", "ids"]].tolist() == [30, 516]


def test_missing_whole_numbers_stay_whole_numbers(small_store: Store) -> None:
    frame = small_store.sql(
        "select injection_ap from experiments where experiment_id in (103, 104) order by experiment_id"
    )
    assert frame["injection_ap"].tolist() == [8000, pd.NA]
    assert str(frame["injection_ap"].dtype) == "Int64"


def test_truth_values_compare_as_such(small_store: Store) -> None:
    frame = small_store.sql(
        "select withdrawn, bilateral from experiments where experiment_id in (102, 301) order by experiment_id",
    )
    assert frame["withdrawn"].tolist() == [False, True]
    assert frame["bilateral"].tolist()[0] == 1


def test_no_rows_still_have_columns(small_store: Store) -> None:
    frame = small_store.sql("select experiment_id, sex from experiments where experiment_id = -1")
    assert list(frame.columns) == ["experiment_id", "sex"]
    assert len(frame) == 0


def test_second_column_of_a_name_is_numbered(small_store: Store) -> None:
    frame = small_store.sql("select 1 as a, 2 as a, 3 as a_2, 4 as a")
    assert dict(zip(frame.columns, frame.to_numpy().tolist()[0], strict=True)) == {
        "a": 1,
        "a_2": 2,
        "a_2_2": 3,
        "a_3": 4,
    }


@pytest.mark.parametrize(
    "statement",
    [
        "select 1 as one;",
        "  -- a comment\n select 1 as one -- another",
        "/* one */ select 1 as one",
        "with t as (select 1 as one) select one from t",
        "SELECT 1 AS one",
    ],
)
def test_forms_of_one_statement(small_store: Store, statement: str) -> None:
    assert small_store.sql(statement).to_dict("list") == {"one": [1]}


def test_values_and_explain_are_reading_too(small_store: Store) -> None:
    assert small_store.sql("values (1), (2)").iloc[:, 0].tolist() == [1, 2]
    assert len(small_store.sql("explain select * from experiments")) > 0


def test_json_can_be_taken_apart(small_store: Store) -> None:
    each = "json_each" if small_store.database.is_sqlite else "json_array_elements"
    assert small_store.sql(f"select count(*) as n from {each}('[1, 2, 3]')")["n"].tolist() == [3]


# -- parameters -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    ["VISp", "'; drop table experiment; --", "%s", ":other", "$1", '"', "\\", "é 脳", "", "x" * 10_240, "a\nb"],
)
def test_text_is_bound(small_store: Store, value: str) -> None:
    assert small_store.sql("select cast(:value as text) as v", {"value": value})["v"].tolist() == [value]


@pytest.mark.parametrize("value", [0, -1, 2**63 - 1, -(2**63), 1.5, 1e300, None, True, False])
def test_numbers_are_bound(small_store: Store, value: Any) -> None:
    found = small_store.sql("select :value as v, 1 as w", {"value": value})["v"].tolist()
    assert found == [value]


def test_one_parameter_in_several_places(small_store: Store) -> None:
    frame = small_store.sql(
        "select experiment_id from experiments where (sex = :sex or experiment_id = :id) and sex = :sex order by 1",
        {"id": 1, "sex": "F", "unused": 5},
    )
    assert frame["experiment_id"].tolist() == [1, 109]


def test_truth_value_as_parameter(small_store: Store) -> None:
    frame = small_store.sql("select count(*) as n from experiments where withdrawn = :w", {"w": False})
    assert frame["n"].tolist() == [len(CURRENT_IDS)]


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("select ':a' as v", ":a"),
        ("select 'it''s :a' as v", "it's :a"),
        ("select 'x' as v -- :a", "x"),
        ("select /* :a */ 'x' as v", "x"),
        ('select \'x\' as "v" /* " */', "x"),
        ("select '%s %% %(a)s' as v", "%s %% %(a)s"),
        ("select 'x' as v where '12:30' = '12:30'", "x"),
    ],
)
def test_other_colons_are_not_parameters(small_store: Store, statement: str, expected: str) -> None:
    assert small_store.sql(statement)["v"].tolist() == [expected]


def test_postgres_casts_and_quotes_are_not_parameters(postgres_store: Store) -> None:
    statement = r"select '5'::int + :a::int as n, $$:a$$ as d, $q$ $$ :a $q$ as q, E'\':a' as e"
    frame = postgres_store.sql(statement, {"a": 1})
    assert frame.iloc[0].tolist() == [6, ":a", " $$ :a ", "':a"]


def test_parameter_without_a_value_is_named(small_store: Store) -> None:
    with pytest.raises(QueryError, match=r":sex\b"):
        small_store.sql("select * from experiments where sex = :sex")


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, b"x", [1], {"a": 1}, "a\0b", "\ud800", 1j, object()])
def test_parameter_of_another_kind_is_refused(small_store: Store, value: Any) -> None:
    with pytest.raises(QueryError, match="'value' cannot be"):
        small_store.sql("select :value as v", {"value": value})


# -- limits -----------------------------------------------------------------------------------------------------------


def test_the_row_limit_truncates_and_reports_it(small_store: Store) -> None:
    statement = "select experiment_id from experiments order by experiment_id"
    cut = small_store.sql(statement, limit=3)
    assert cut["experiment_id"].tolist() == list(ALL_IDS[:3])
    assert cut.attrs["truncated"] is True
    exact = small_store.sql(statement, limit=len(ALL_IDS))
    assert exact["experiment_id"].tolist() == list(ALL_IDS)
    assert exact.attrs["truncated"] is False


def test_row_limit_bounds_what_is_fetched(small_store: Store) -> None:
    # All of these rows would take hours.
    endless = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 1000000000000) select i from n"
    assert small_store.sql(endless, limit=2)["i"].tolist() == [1, 2]


def test_time_limit_stops_a_query(small_store: Store) -> None:
    endless = "with recursive n(i) as (select 1 union all select i + 1 from n) select max(i) from n"
    with pytest.raises(QueryError, match=r"0\.2 s"):
        small_store.sql(endless, timeout_s=0.2)


def test_a_query_that_is_stopped_between_two_of_its_statements_ends(
    small_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    endless = "with recursive n(i) as (select 1 union all select i + 1 from n) select max(i) from n"
    if small_store.database.is_sqlite:
        pytest.skip("SQLite asks while it runs a query whether it must stop")
    import psycopg

    was_canceled, cancel, collected = threading.Event(), psycopg.Connection.cancel_safe, sql._collected

    def canceled(driver: psycopg.Connection, **given: Any) -> None:
        cancel(driver, **given)
        was_canceled.set()

    monkeypatch.setattr(psycopg.Connection, "cancel_safe", canceled)
    queries = small_store.database.queries

    def stopped_before(rows: Any, query: Any) -> Any:
        stopping.start()
        # The database gets the first request to cancel when it has not begun with the query.
        assert was_canceled.wait(20)
        return collected(rows, query)

    stopping = threading.Thread(target=queries.stop)
    monkeypatch.setattr(sql, "_collected", stopped_before)
    began = time.monotonic()
    with pytest.raises(BusyError, match="the server is shutting down"):
        small_store.sql(endless, timeout_s=30, allow_superuser=True)
    # Not at its time limit.
    assert time.monotonic() - began < 20
    stopping.join()
    assert queries.count == 0


@pytest.mark.parametrize("limit", [0, -1, 1.5, True, "10"])
def test_senseless_row_limit_is_refused(small_store: Store, limit: Any) -> None:
    with pytest.raises(QueryError, match="limit must be"):
        small_store.sql("select 1", limit=limit)


@pytest.mark.parametrize("limit", [0, -1, float("nan"), float("inf"), 10**400, True, "10"])
def test_senseless_time_limit_is_refused(small_store: Store, limit: Any) -> None:
    with pytest.raises(QueryError, match="timeout_s must be"):
        small_store.sql("select 1", timeout_s=limit)


def test_huge_value_does_not_take_the_memory(sqlite_store: Store) -> None:
    with pytest.raises(QueryError, match="too big"):
        sqlite_store.sql("select replace(printf('%30000000d', 1), ' ', 'xx')")


# -- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("select * from experiment_list", "experiment_list"),
        ("select colour from experiments", "colour"),
        ("select from where", "syntax error"),
        ("selec 1", "selec"),
        ("select 'open", "open|unterminated|unrecognized"),
        ("", "the statement is empty"),
        ("  \n", "the statement is empty"),
        ("-- nothing", "no rows"),
        ("select 1\0", "characters"),
        ("select '\ud800'", "characters"),
        ("select count(*) from experiments where count(*) > 1", "count|aggregate"),
    ],
)
def test_wrong_statement_is_a_query_error_with_the_database_s_words(
    small_store: Store, statement: str, message: str
) -> None:
    with pytest.raises(QueryError, match=message):
        small_store.sql(statement)


def test_unknown_name_points_to_the_documentation(small_store: Store) -> None:
    with pytest.raises(QueryError, match="sql --schema"):
        small_store.sql("select * from experiment_list")
    with pytest.raises(QueryError, match=r"Did you mean unionize\b"):
        small_store.sql("select * from unionizes")
    with pytest.raises(QueryError) as caught:
        small_store.sql("select nothing from experiments")
    assert "Did you mean" not in str(caught.value.hint)


# -- read-only --------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["sqlite", "postgres"])
def scratch(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A copy of the small store for one test, in case a statement does write."""
    small: Store = request.getfixturevalue(f"{request.param}_store")
    small.close()
    folder = tmp_path / "store"
    shutil.copytree(small.path, folder)
    if request.param == "sqlite":
        with open_store(folder) as store:
            yield store
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    template, name = "test_small_catalog", "test_scratch_sql"
    server.create_database(name, template=template)
    rename_database(folder, template, name)
    with open_store(folder) as store:
        yield store
    server.drop_database(name)


WRITES = (
    "insert into structure_set (id) values (5)",
    "insert into structure_set (id) values (5) returning id",
    "update experiment set withdrawn = true",
    "update experiment set withdrawn = true returning id",
    "delete from unionize",
    "delete from unionize returning experiment_id",
    "with gone as (select 1) delete from unionize",
    "drop table unionize",
    "drop view experiments",
    "create table mine (a integer)",
    "create temporary table mine (a integer)",
    "create view mine as select 1",
    "create table mine as select * from experiment",
    "create index mine on experiment (sex)",
    "alter table experiment add column mine integer",
    "alter table experiment rename to mine",
    "vacuum",
    "reindex",
    "analyze",
    "begin",
    "commit",
    "rollback",
    "savepoint mine",
    "explain analyze delete from unionize",
    "commit; drop table unionize",
    "select 1; drop table unionize",
    "select 1; select 2",
    "rollback; delete from unionize; commit",
    "commit; begin; delete from unionize; commit",
)
SQLITE_WRITES = (
    "replace into structure_set (id) values (5)",
    "attach database ':memory:' as other",
    "attach database '{folder}/other.db' as other",
    "detach database main",
    "vacuum into '{folder}/other.db'",
    "pragma query_only = off",
    "pragma journal_mode = wal",
    "pragma journal_mode",
    "pragma writable_schema = on",
    "pragma user_version = 7",
    "pragma foreign_keys = off",
    "pragma wal_checkpoint",
    "select load_extension('{folder}/other.so')",
    "create virtual table mine using fts5(a)",
    "explain delete from unionize",
)
POSTGRES_WRITES = (
    "with gone as (delete from unionize returning 1) select * from gone",
    "truncate unionize",
    "set transaction read write",
    "set session characteristics as transaction read write",
    "set default_transaction_read_only = off",
    "set statement_timeout = 0",
    "reset all",
    "select set_config('transaction_read_only', 'off', false)",
    "select set_config('transaction_read_only', 'off', true), (select count(*) from unionize)",
    "do $$ begin delete from unionize; end $$",
    "do $$ begin set transaction read write; delete from unionize; end $$",
    "do $$ begin commit; delete from unionize; end $$",
    "do $$ begin execute 'set transaction read write'; execute 'drop table unionize'; end $$",
    "call mine()",
    "copy unionize to '{folder}/other.csv'",
    "copy (select 1) to program 'touch {folder}/other.csv'",
    "copy unionize to stdout",
    "copy unionize from '{folder}/other.csv'",
    "lock table experiment",
    "select * from experiment for update",
    "select * into mine from experiment",
    "prepare mine as delete from unionize",
    "explain analyze create table mine as select 1",
    "declare mine cursor for select 1",
    "listen mine",
    "notify mine",
    "create role mine superuser",
    "grant all on experiment to public",
    "select nextval('transgenic_line_id_seq')",
    "select lo_create(0)",
)


def _state(store: Store) -> dict[str, Any]:
    from sqlalchemy import MetaData, func, inspect, select

    with store.database.reading() as connection:
        names = sorted([*inspect(connection).get_table_names(), *inspect(connection).get_view_names()])
        metadata = MetaData()
        metadata.reflect(connection, views=True)
        counts = {name: connection.scalar(select(func.count()).select_from(metadata.tables[name])) for name in names}
        withdrawn = connection.exec_driver_sql("select count(*) from experiment where withdrawn").scalar()
        columns = [column["name"] for column in inspect(connection).get_columns("experiment")]
    return {"counts": counts, "withdrawn": withdrawn, "columns": columns}


def test_the_journal_of_a_killed_writer_is_rolled_back(scratch: Store, tmp_path: Path) -> None:
    if not scratch.database.is_sqlite:
        pytest.skip("Postgres recovers by itself")
    catalog, copy = scratch.path / "catalog.db", tmp_path / "copy.db"
    journal = Path(f"{catalog}-journal")
    before = scratch.sql("select experiment_id, sex from experiments order by 1")
    with closing(sqlite3.connect(catalog, isolation_level=None)) as writer:
        # So small a cache writes changed pages to the file before the commit.
        writer.execute("PRAGMA cache_size = 1")
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("UPDATE experiment SET sex = 'X'")
        writer.execute("UPDATE structure SET name = name || 'X'")
        shutil.copy(catalog, copy)
        shutil.copy(journal, f"{copy}-journal")
        writer.execute("ROLLBACK")
    # What a writer leaves that is killed at this moment.
    shutil.copy(copy, catalog)
    shutil.copy(f"{copy}-journal", journal)
    pd.testing.assert_frame_equal(scratch.sql("select experiment_id, sex from experiments order by 1"), before)
    assert not journal.exists() or journal.stat().st_size == 0


def _files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_everything_that_is_not_reading_is_refused(scratch: Store, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    before = _state(scratch)
    files = _files(scratch.path)
    for statement in (*WRITES, *(SQLITE_WRITES if scratch.database.is_sqlite else POSTGRES_WRITES)):
        with pytest.raises(QueryError) as caught:
            pytest.fail(f"{statement} gave {scratch.sql(statement.format(folder=folder))}")
        is_explained = caught.value.hint is not None and "read-only" in caught.value.hint
        other = ("does not exist", "syntax error", "not authorized to use function", "not allowed in queries")
        assert is_explained or any(words in str(caught.value) for words in other), statement
        assert "read-only" in str(caught.value) or not statement.startswith(("insert", "update", "delete", "drop"))
        assert list(folder.iterdir()) == [], statement
    assert _state(scratch) == before
    assert _files(scratch.path) == files


def test_no_statement_leaves_anything_for_the_next_one(scratch: Store) -> None:
    """Sessions are not reused, and nothing can be set in them."""
    if scratch.database.is_sqlite:
        with pytest.raises(QueryError):
            scratch.sql("pragma query_only = off")
    else:
        for statement in ("select set_config('search_path', 'nowhere', false)", "select pg_advisory_lock(42)"):
            with pytest.raises(QueryError, match="not allowed"):
                scratch.sql(statement)
        locks = scratch.sql("select count(*) as n from pg_locks where locktype = 'advisory'")
        assert locks["n"].tolist() == [0]
    assert scratch.sql("select count(*) as n from experiments")["n"].tolist() == [len(ALL_IDS)]
    with scratch.database.writing() as connection:
        connection.exec_driver_sql("update experiment set sex = 'F' where id = 101")
    assert scratch.sql("select sex from experiments where experiment_id = 101")["sex"].tolist() == ["F"]


def test_pragmas_that_only_read_are_allowed(sqlite_store: Store) -> None:
    assert "sex" in sqlite_store.sql("pragma table_info(experiment)")["name"].tolist()
    assert "sex" in sqlite_store.sql("select name from pragma_table_info('experiments')")["name"].tolist()


# -- the database's own troubles ------------------------------------------------------------------------------------


def test_a_missing_database_is_not_a_query_error(tmp_path: Path) -> None:
    with create_store(tmp_path / "store") as store:
        (store.path / "catalog.db").unlink()
        with pytest.raises(StoreUnreachableError):
            store.sql("select 1")
        assert not (store.path / "catalog.db").exists()


def test_a_damaged_database_is_not_a_query_error(tmp_path: Path) -> None:
    with create_store(tmp_path / "store") as store:
        (store.path / "catalog.db").write_bytes(b"not a database" * 1000)
        with pytest.raises(DamagedCatalogError):
            store.sql("select * from experiments")


def test_locked_database_is_busy_within_the_time_limit(tmp_path: Path) -> None:
    with (
        create_store(tmp_path / "store") as store,
        closing(sqlite3.connect(store.path / "catalog.db", isolation_level=None)) as holder,
    ):
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(BusyError):
            store.sql("select * from experiments", timeout_s=0.1)


def test_an_unreachable_server_is_not_a_query_error(tmp_path: Path) -> None:
    pytest.importorskip("psycopg")
    with create_store(tmp_path / "store") as store:
        config = replace(store.config, database=f"postgresql+psycopg://postgres@/nothing?host={tmp_path}")
    with Store(store.path, config, read_only=False) as unreachable, pytest.raises(StoreUnreachableError):
        unreachable.sql("select 1")
