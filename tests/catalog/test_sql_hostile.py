"""SQL of users that would act on the server, read files, or hide that it does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from bsv_store import Store, create_store
from bsv_store.catalog.database import reader
from bsv_store.catalog.tables.functions import check_functions
from bsv_store.errors import InputError, QueryError, StoreError
from bsv_store.store.schema_changes import grant_access
from tests.catalog.small_catalog import ALL_IDS, fill
from tests.cli.running import Runner
from tests.postgres import OWNER, SUPERUSER

if TYPE_CHECKING:
    from tests.postgres import PostgresServer

HOSTILE = (
    # Other connections.
    "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid()",
    "select pg_cancel_backend(pid) from pg_stat_activity",
    "select 1 from pg_stat_activity where pg_terminate_backend(pid)",
    "select count(*) from pg_stat_activity order by bool_or(pg_terminate_backend(pid))",
    "select pg_notify('channel', 'text')",
    "select pg_sleep(5)",
    "select pg_sleep_for('5 seconds')",
    # Locks and other state that outlives the statement.
    "select pg_advisory_lock(42)",
    "select pg_advisory_xact_lock(7092744949857774437)",
    "select pg_try_advisory_lock(42)",
    "select pg_advisory_unlock_all()",
    "select set_config('role', 'none', false)",
    "select set_config('statement_timeout', '0', true)",
    "select set_config('search_path', 'elsewhere', false)",
    "select setval('transgenic_line_id_seq', 1)",
    "select nextval('transgenic_line_id_seq')",
    "select pg_export_snapshot()",
    "select txid_current()",
    "select pg_current_xact_id()",
    # The server.
    "select pg_reload_conf()",
    "select pg_rotate_logfile()",
    "select pg_switch_wal()",
    "select pg_create_restore_point('mine')",
    "select pg_create_physical_replication_slot('mine')",
    "select pg_create_logical_replication_slot('mine', 'test_decoding')",
    "select pg_drop_replication_slot('mine')",
    "select pg_promote()",
    "select pg_wal_replay_pause()",
    "select pg_stat_reset()",
    "select pg_log_backend_memory_contexts(1)",
    "select pg_logical_emit_message(false, 'a', 'b')",
    # Files and other programs.
    "select pg_read_file('postgresql.conf')",
    "select pg_read_binary_file('PG_VERSION')",
    "select * from pg_ls_dir('.')",
    "select * from pg_stat_file('PG_VERSION')",
    "select pg_ls_waldir()",
    "select pg_file_write('mine', 'x', false)",
    "select lo_import('/etc/hostname')",
    "select lo_export(1, '/tmp/mine')",
    "select lo_from_bytea(0, 'x')",
    "select lo_create(0)",
    "select load_extension('mine.so')",
    "select readfile('/etc/hostname')",
    "select writefile('/tmp/mine', 'x')",
    "select edit('x')",
    "select fts3_tokenizer('simple')",
    "select dblink('host=elsewhere', 'select 1')",
    "select * from dblink('host=elsewhere', 'select 1') as (a integer)",
    # SQL inside of text.
    "select query_to_xml('select pg_sleep(5)', true, true, '')",
    "select database_to_xml(true, true, '')",
    "select ts_stat('select pg_sleep(5)')",
    "select cursor_to_xml('mine', 1, true, true, '')",
    # Much memory.
    "select repeat('x', 1000000000)",
    "select lpad('x', 1000000000)",
    "select zeroblob(100000000)",
    "select sum(length(randomblob(100000000)))",
    # Hidden.
    'select "pg_sleep"(5)',
    "select pg_catalog.pg_sleep(5)",
    'select "pg_catalog" . "pg_sleep" /* x */ (5)',
    "select PG_SLEEP\n(5)",
    "select pg_sleep -- )\n (5)",
    "select pg_sleep/* /* nested */ */(5)",
    'select U&"pg\\005fsleep"(5)',
    "select 'a' /* ' */, pg_sleep(5) /* ' */",
    "select E'a\\'', pg_sleep(5), ''",
    "select E'a'\n'b\\'' , pg_sleep(5) , ''",
    "select $a$ ' $a$, pg_sleep(5), $b$ ' $b$",
    "select distinct on (1) pg_sleep(5)",
    "select distinct on (a) pg_sleep(a) from (select 5 as a) as t",
    "with t as (select pg_sleep(5)) select * from t",
    "with recursive t(a) as (select 1), u as (select pg_sleep(a) from t) select * from u",
    "select * from (values (5)) as t(a), lateral pg_sleep(a)",
    "select * from pg_sleep(5) as t(a)",
    "select * from rows from (pg_sleep(5)) as t(a)",
    "select 1 limit length(cast(pg_sleep(5) as text))",
    "select count(*) filter (where pg_sleep(5) is null) from structure",
    "select count(*) over (rows between length(cast(pg_sleep(5) as text)) preceding and current row) from structure",
    "explain analyze select pg_sleep(5)",
    "explain (analyze) select pg_sleep(5)",
    "execute pg_sleep(5)",
    "call pg_sleep(5)",
    "values (pg_sleep(5))",
    "table pg_sleep(5)",
    "select json_agg(pg_sleep(5))",
    "select mine.lower('x')",
)


@pytest.mark.parametrize("statement", HOSTILE)
def test_no_statement_acts_on_the_server(small_store: Store, statement: str) -> None:
    with pytest.raises(QueryError) as caught:
        small_store.sql(statement, timeout_s=1)
    if not small_store.database.is_sqlite:
        # Not executed, rather than stopped by the time limit or by privileges that another account may have.
        refusals = "not allowed in queries|cannot be continued|returns no rows|syntax error|does not exist"
        assert re.search(refusals, str(caught.value))


def test_there_are_enough_of_them() -> None:
    assert len(set(HOSTILE)) >= 62


FRIENDLY = (
    "select count(*), avg(injection_volume), round(max(injection_volume) * 100) from experiments",
    "select lower(primary_structure), coalesce(sex, 'unknown') from experiments where sex in ('M', 'F')",
    "with t(a, b) as (values (1, 2), (3, 4)) select a + b from t",
    "with t(a) as (select 1), u(b, c) as (select 2, 3) select a + b + c from t, u",
    "with recursive n(i) as (select 1 union all select i + 1 from n where i < 5) select sum(i) from n",
    "select primary_structure, row_number() over (partition by sex order by experiment_id) from experiments",
    "select count(*) filter (where sex = 'M') from experiments",
    "select exists (select 1 from structure where acronym = 'CUL4, 5')",
    "select case when (1 = 1) then (2) else (3) end",
    "select cast(1.25 as numeric(10, 2))",
    "select 'pg_sleep(5)' as text, 1 as \"pg_sleep(5)\" /* pg_sleep(5) */ -- pg_sleep(5)",
    "select acronym from structure where (id) in (select id from structure) and not (id = 1)",
)
POSTGRES_FRIENDLY = (
    "select * from (values (1, 2)) t(a, b)",
    "select * from (values (1, 2)) as t(a, b)",
    "select a from unnest(array[1, 2]) with ordinality as t(a, n)",
    "select a from generate_series(1, 3) t(a)",
    "with t(a) as materialized (select 1) select a from t",
    "with t(a) as not materialized (select 1) select a from t",
    "select percentile_cont(0.5) within group (order by injection_volume) from experiments",
    "select sex, count(*) from experiments group by rollup (sex)",
    "select sex, withdrawn, count(*) from experiments group by grouping sets ((sex), (withdrawn), ())",
    "select extract(year from timestamp '2020-01-01'), interval '1 day', timestamp(3) '2020-01-01'",
    "select pg_catalog.lower('X'), $$pg_sleep(5)$$, E'\\'pg_sleep(5)'",
    "select substring(acronym from 1 for 2), position('a' in acronym) from structure",
    "explain (verbose, costs off) select * from experiments",
    "select sum(i) over (order by i rows between 1 preceding and current row) from generate_series(1, 3) as t(i)",
    "select string_agg(acronym, ', ' order by acronym) from structure tablesample bernoulli (100) repeatable (1)",
    "select * from experiments as e join lateral (select e.experiment_id + 1) as n(next) on (true)",
)


@pytest.mark.parametrize("statement", FRIENDLY)
def test_queries_of_every_day_are_allowed(small_store: Store, statement: str) -> None:
    assert len(small_store.sql(statement)) > 0


@pytest.mark.parametrize("statement", POSTGRES_FRIENDLY)
def test_queries_of_postgres_are_allowed(postgres_store: Store, statement: str) -> None:
    assert len(postgres_store.sql(statement)) > 0


# -- hidden calls -----------------------------------------------------------------------------------------------------

# What begins, fills and ends a string, a comment or a name; a call; and what may stand between them.
OPENERS = ("'", "E'", "e'", "U&'", "N'", "$$", "$a$", "/*", "--", '"', "", "(", "\n'", " '")
FILLERS = ("'", "''", "\\", "\\'", '"', '""', "$$", "$a$", "/*", "*/", "--", "\n", "\r", "x", " ", ",")
CLOSERS = ("'", '"', "*/", "$$", "$a$", "\n", "\r", ")", "")
JOINTS = (",", " , ", "\n,", "||", " as x, ", " ", "\n", "")
CALLS = ("canary()", "canary (1)", '"canary"()', "public.canary()", "Canary\n(1)", "canary/**/()", "canary--\n()")


def random_statement(random: Random) -> str:
    def item() -> str:
        filler = "".join(random.choices(FILLERS, k=random.randint(0, 3)))
        return random.choice(OPENERS) + filler + random.choice(CLOSERS)

    start = "".join(item() + random.choice(JOINTS) for _ in range(random.randint(1, 2)))
    return f"select {start}{random.choice(CALLS)}{random.choice(JOINTS)}{item()}"


def hidden_calls(postgres_url: str, count: int, *, seed: int) -> tuple[int, int]:
    """The number of random statements that were allowed, and of those that Postgres could execute.

    A call of `canary` in one of them fails the test.
    """
    import psycopg

    random = Random(seed)
    allowed = executed = 0
    with psycopg.connect(postgres_url.replace("+psycopg", "", 1), autocommit=True) as connection:
        connection.execute("SET statement_timeout = '2s'")
        for arguments in ("", "anyelement"):
            connection.execute(
                f"CREATE FUNCTION canary({arguments}) RETURNS integer LANGUAGE plpgsql IMMUTABLE"
                " AS $$ BEGIN RAISE EXCEPTION 'CANARY'; END $$"
            )
        for _ in range(count):
            statement = random_statement(random)
            try:
                check_functions(statement)
            except QueryError:
                continue
            allowed += 1
            try:
                psycopg.RawCursor(connection).execute(statement.encode(), [], prepare=True)
                executed += 1
            except psycopg.Error as error:
                if "CANARY" in str(error):
                    pytest.fail(f"a call is hidden in {statement!r}")
    return allowed, executed


@pytest.fixture
def scratch_url(postgres: PostgresServer) -> Iterator[str]:
    yield postgres.create_database("test_hidden_calls")
    postgres.drop_database("test_hidden_calls")


def test_no_call_is_hidden(scratch_url: str) -> None:
    allowed, executed = hidden_calls(scratch_url, 6_000, seed=1)
    assert allowed > 500
    assert executed > 10


@pytest.mark.long
def test_no_call_is_hidden_in_many_statements(scratch_url: str) -> None:
    allowed, executed = hidden_calls(scratch_url, 150_000, seed=2)
    print(f"{allowed} allowed, {executed} executed")  # noqa: T201


# -- the reader role --------------------------------------------------------------------------------------------------


@pytest.fixture
def server(postgres: PostgresServer) -> PostgresServer:
    return postgres


@pytest.fixture
def shared_store(server: PostgresServer, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Store]:
    """A filled store on Postgres without a reader role; the parameter is its account."""
    account = getattr(request, "param", OWNER)
    name = f"test_reader_{account}"
    server.create_database(name)
    with create_store(tmp_path / "store", database=server.url(name, account=account)) as store:
        with store.database.writing() as connection:
            fill(connection)
        yield store
        with store.database.reading() as connection:
            role = reader.reader_role(connection)
    server.drop_database(name)
    with server.connect() as connection:
        connection.execute(f"DROP ROLE IF EXISTS {role}")


def account_of(store: Store) -> str:
    return str(store.sql("select current_user as account")["account"][0])


def test_queries_run_as_the_reader_role_where_there_is_one(shared_store: Store) -> None:
    assert account_of(shared_store) == OWNER
    role = grant_access(shared_store.path, apply=True).reader_role
    assert role.startswith("bsv_store_reader_")
    assert account_of(shared_store) == role
    assert grant_access(shared_store.path, apply=True).reader_role == role
    assert shared_store.sql("select count(*) as n from experiments")["n"].tolist() == [len(ALL_IDS)]
    assert len(shared_store.sql("select * from volume_block_hashes")) == 0
    # The store itself still writes as its own account.
    shared_store.catalog.exclude([101], "bad section")
    assert shared_store.sql("select experiment_id from exclusion")["experiment_id"].tolist() == [101]


def test_a_reader_role_without_privileges_in_this_database_is_not_used(shared_store: Store) -> None:
    # As in a copy of the database on the same server, which has the same store id.
    role = grant_access(shared_store.path, apply=True).reader_role
    with shared_store.database.writing() as connection:
        connection.exec_driver_sql(f"REVOKE SELECT ON ALL TABLES IN SCHEMA public FROM {role}")
    assert account_of(shared_store) == OWNER
    assert shared_store.sql("select count(*) as n from experiments")["n"].tolist() == [len(ALL_IDS)]


def test_the_reader_role_has_no_other_tables(shared_store: Store) -> None:
    grant_access(shared_store.path, apply=True)
    with shared_store.database.writing() as connection:
        connection.exec_driver_sql("CREATE SCHEMA private CREATE TABLE secret (a integer)")
    with pytest.raises(QueryError, match="permission denied"):
        shared_store.sql("select * from private.secret")


def test_the_reader_role_reads_views_that_are_created_again(shared_store: Store) -> None:
    from bsv_store.catalog.database import schema

    grant_access(shared_store.path, apply=True)
    schema.downgrade(shared_store.database, "0006")
    schema.upgrade(shared_store.database)
    assert shared_store.sql("select count(*) as n from experiments")["n"].tolist() == [len(ALL_IDS)]


def test_an_account_that_was_granted_reads_and_cannot_write(shared_store: Store, server: PostgresServer) -> None:
    import psycopg

    with server.connect() as connection:
        connection.execute("CREATE ROLE bi_tool LOGIN")
    try:
        grant_access(shared_store.path, readers=["bi_tool"], apply=True)
        name = str(shared_store.database.engine.url.database)
        with server.connect(name, account="bi_tool") as connection:
            assert connection.execute("SELECT count(*) FROM experiments").fetchone() == (len(ALL_IDS),)
            for statement in ("DELETE FROM unionize", "UPDATE experiment SET sex = 'M'", "DROP VIEW experiments"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(statement)
    finally:
        with server.connect() as connection:
            connection.execute("DROP ROLE bi_tool")


@pytest.mark.parametrize("shared_store", [SUPERUSER], indirect=True)
def test_a_superuser_runs_no_queries_unless_it_is_allowed(
    shared_store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(QueryError, match="superuser") as caught:
        shared_store.sql("select 1 as one")
    assert "bsv-store db grant" in str(caught.value.hint)
    assert shared_store.sql("select 1 as one", allow_superuser=True)["one"].tolist() == [1]
    with pytest.raises(QueryError, match="pg_read_file is not allowed"):
        shared_store.sql("select pg_read_file('PG_VERSION')", allow_superuser=True)
    run = Runner(capsys, monkeypatch)
    run("sql", "select 1", store=shared_store.path).refused(2, "superuser", "db grant")
    run("sql", "select 1", "--allow-superuser", store=shared_store.path).succeeded()
    granted = run("db", "grant", "--apply", store=shared_store.path).succeeded()
    assert granted.err.startswith("The role bsv_store_reader_")
    done = run("sql", "select current_user as account", "--format", "csv", store=shared_store.path).succeeded()
    assert done.out.splitlines()[1].startswith("bsv_store_reader_")


def test_granting_says_what_is_missing(shared_store: Store, server: PostgresServer, sqlite_store: Store) -> None:
    with pytest.raises(InputError, match="SQLite, which has no accounts"):
        grant_access(sqlite_store.path)
    with pytest.raises(InputError, match="no account 'nobody'"):
        grant_access(shared_store.path, readers=["nobody"])
    with server.connect() as connection:
        connection.execute(f"ALTER ROLE {OWNER} NOCREATEROLE")
    try:
        with pytest.raises(StoreError, match=f"the account {OWNER} cannot create") as caught:
            grant_access(shared_store.path, apply=True)
        name = str(shared_store.database.engine.url.database)
        with server.connect(name) as connection:
            # As an administrator would.
            for statement in str(caught.value.hint).splitlines()[1:]:
                connection.execute(statement.encode())
        role = grant_access(shared_store.path, apply=True).reader_role
        assert account_of(shared_store) == role
    finally:
        with server.connect() as connection:
            connection.execute(f"ALTER ROLE {OWNER} CREATEROLE")


# -- limits -----------------------------------------------------------------------------------------------------------


def test_a_result_that_is_too_large_is_an_error(small_store: Store) -> None:
    with pytest.raises(QueryError, match=r"larger than 10\.0 kB") as caught:
        small_store.sql("select * from structure, experiments", max_bytes=10_000)
    assert "--max-bytes" in str(caught.value.hint)
    assert len(small_store.sql("select acronym from structure", max_bytes=10_000)) > 0


def test_the_size_of_arrays_and_json_counts(postgres_store: Store) -> None:
    numbers = "generate_series(1, 100000) as t(i)"
    for what in ("array_agg(i)", "json_agg(i)", "string_agg(cast(i as text), '')"):
        with pytest.raises(QueryError, match="larger than"):
            postgres_store.sql(f"select {what} from {numbers}", max_bytes=200_000)


@pytest.mark.parametrize("value", [0, -1, 2**63, 10**30, 1.5, True, "1", None])
def test_senseless_size_limits_are_refused(small_store: Store, value: Any) -> None:
    with pytest.raises(QueryError, match="max_bytes must be"):
        small_store.sql("select 1", max_bytes=value)


@pytest.mark.parametrize("value", [2**63, 10**30])
def test_limits_beyond_the_largest_integer_are_refused(small_store: Store, value: int) -> None:
    with pytest.raises(QueryError, match="limit must be"):
        small_store.sql("select 1", limit=value)


def test_the_largest_limits_are_no_limits(small_store: Store) -> None:
    found = small_store.sql("select 1 as one", limit=2**63 - 1, timeout_s=1e300, max_bytes=2**63 - 1)
    assert found["one"].tolist() == [1]
