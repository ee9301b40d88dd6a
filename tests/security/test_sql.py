"""SQL of users changes nothing, reads no files and ends in time, through every interface; see also tests/catalog."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

from bsv_store import Selection, Store
from bsv_store.errors import BsvStoreError, QueryError
from tests.cli.running import Runner
from tests.server.serving import serving

if TYPE_CHECKING:
    from sqlalchemy import Connection

WRITES = (
    "with gone as (delete from activity returning 1) select * from gone",
    "with made as (insert into tag default values returning 1) select * from made",
    "with a as (update experiment set sex = 'M' returning id) select * from a",
    "insert into exclusion (experiment_id) values (1) returning *",
    "delete from experiment returning id",
    "update experiment set sex = 'M' returning id",
    "select 1; delete from experiment",
    "select 1;;delete from experiment",
    "select 1 -- x\n; delete from experiment",
    "select 1 /* ; */ ; drop table experiment",
    "\ufeffdelete from experiment",
    "\u00a0delete from experiment",
    "/**/delete from experiment",
    "explain analyze delete from experiment",
    "explain (analyze, buffers) update experiment set sex = 'M'",
    "create temp table mine as select * from experiment",
    "create table mine as select 1",
    "select * into mine from experiment",
    "create temporary view mine as select 1",
    "create or replace function f() returns int language sql as 'select 1'",
    "do $$ begin delete from experiment; end $$",
    "begin; delete from experiment; commit",
    "commit",
    "rollback",
    "savepoint a",
    "start transaction read write",
    "set transaction read write",
    "set transaction_read_only = off",
    "set session characteristics as transaction read write",
    "set local statement_timeout = 0",
    "reset all",
    "set role postgres",
    "set session authorization postgres",
    "alter role current_user superuser",
    "grant all on all tables in schema public to public",
    "truncate experiment",
    "lock table experiment in access exclusive mode",
    "select * from experiment for update",
    "vacuum",
    "vacuum into '/tmp/mine'",
    "analyze",
    "reindex",
    "cluster",
    "copy experiment to '/tmp/mine'",
    "copy experiment to program 'id > /tmp/mine'",
    "copy experiment from program 'id'",
    "copy (select 1) to stdout",
    "attach database '/tmp/mine' as mine",
    "attach ':memory:' as mine",
    "detach main",
    "pragma writable_schema = on",
    "pragma query_only = off",
    "pragma journal_mode = wal",
    "pragma user_version = 3",
    "pragma foreign_keys = off",
    "pragma temp_store_directory = '/tmp'",
    "select * from pragma_journal_mode('wal')",
    "select load_extension('mine')",
    "select writefile('/tmp/mine', 'x')",
    "select lo_unlink(1)",
    "listen a",
    "notify a",
    "prepare a as delete from experiment",
    "declare a cursor for select 1",
    "discard all",
    "load 'mine'",
    "comment on table experiment is 'x'",
    "security label on table experiment is 'x'",
    "refresh materialized view mine",
    "call mine()",
    "select dblink_exec('delete from experiment')",
    "select pg_read_file('/etc/passwd')",
    "select nextval('tag_id_seq')",
    "merge into experiment using structure on false when not matched then do nothing",
)
HEAVY = (
    "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n",
    "select count(*) from structure a, structure b, structure c, structure d, structure e, structure f, structure g,"
    " structure h, structure i, structure j, structure k, structure l",
    "with recursive n(i) as (select 1 union all select i + 1 from n) select i from n",
)


def _state(store: Store) -> Any:
    from sqlalchemy import MetaData, select

    def rows(connection: Connection) -> dict[str, list[str]]:
        metadata = MetaData()
        metadata.reflect(connection)
        return {
            table.name: sorted(map(repr, connection.execute(select(table)).all())) for table in metadata.sorted_tables
        }

    with store.database.reading() as connection:
        return rows(connection)


def test_no_statement_changes_anything(filled: Store) -> None:
    before = _state(filled)
    for statement in WRITES:
        with pytest.raises(QueryError):
            filled.sql(statement, timeout_s=5)
        assert not Path("/tmp/mine").exists(), statement
    assert _state(filled) == before


def test_heavy_statements_end_in_time(filled: Store) -> None:
    for statement in HEAVY:
        start = time.monotonic()
        with pytest.raises(QueryError, match=r"longer than|larger than|took|timeout"):
            filled.sql(statement, timeout_s=0.3, max_bytes=50_000_000)
        assert time.monotonic() - start < 20


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_no_way_in_is_less_strict(
    filled: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _state(filled)
    run = Runner(capsys, monkeypatch)
    with serving(filled) as url:
        for statement in WRITES[::4]:
            assert run("sql", statement, store=filled.path).code == 2, statement
            for accept in ("application/json", "text/csv"):
                reply = requests.post(
                    f"{url}/v1/sql", json={"statement": statement}, headers={"Accept": accept}, timeout=20
                )
                assert reply.status_code == 400, statement
        # Tables about users and the machine are not for clients.
        for statement in ("select * from activity", "select * from access_token", "select * from sqlite_stat1"):
            assert requests.post(f"{url}/v1/sql", json={"statement": statement}, timeout=20).status_code == 400
    assert _state(filled) == before


INJECTIONS = (
    "'; DROP TABLE experiment; --",
    "VISp' OR '1'='1",
    'VISp" OR ""="',
    "1); DELETE FROM experiment; --",
    "%",
    "_",
    "VISp\\' OR 1=1 --",
    "\u02bc OR 1=1",
)


@pytest.mark.parametrize("text", INJECTIONS)
def test_values_are_never_statements(filled: Store, text: str) -> None:
    before = _state(filled)
    acts: tuple[Callable[[], object], ...] = (
        lambda: filled.select(Selection(injected_in=text)),
        lambda: filled.select(Selection(line=text)),
        lambda: filled.dataset(text),
        lambda: filled.catalog.exclude([1], text),
        lambda: filled.catalog.lift_exclusion([1]),
        lambda: filled.sql("select :a", {"a": text}),
        lambda: filled.sql(f"select * from experiments where sex = '{text.replace(chr(39), chr(39) * 2)}'"),
    )
    for act in acts:
        with suppress(BsvStoreError):
            act()
    after = _state(filled)
    for each in ("exclusion", "activity", "seal", "catalog_seal"):
        before.pop(each, None)
        after.pop(each, None)
    assert after.keys() == before.keys()
    assert after["experiment"] == before["experiment"]
    assert after["structure"] == before["structure"]
