"""``bsv-store db grant``: readers run every command that reads, writers every command but those on the schema."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bsv_store import open_store
from bsv_store.catalog.database import schema
from bsv_store.catalog.database.reader import reader_role, writer_role
from bsv_store.store.suggestions import stored_names
from bsv_store_synthetic import SyntheticServer
from tests.cli.running import Outcome, Runner
from tests.databases import both_databases
from tests.postgres import OWNER, PostgresServer
from tests.stores import rename_database

pytestmark = both_databases

BEFORE = schema.KNOWN_REVISIONS[-2]


@dataclass
class Shared:
    """A filled store on Postgres whose URL names no account."""

    location: Path
    server: PostgresServer
    name: str
    run: Runner
    patch: pytest.MonkeyPatch
    accounts: list[str] = field(default_factory=list)

    def account(self) -> str:
        self.accounts.append(f"ben_{uuid.uuid4().hex[:8]}")
        with self.server.connect() as connection:
            connection.execute(f"CREATE ROLE {self.accounts[-1]} LOGIN".encode())
        return self.accounts[-1]

    def run_as(self, account: str, *arguments: str) -> Outcome:
        """Run a command as an account."""
        self.patch.setenv("PGUSER", account)
        return self.run(*arguments, store=self.location)


@pytest.fixture
def shared(
    postgres: PostgresServer, _filled_postgres: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Runner
) -> Iterator[Shared]:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("PGUSER", OWNER)
    location, name = tmp_path / "store", f"test_{uuid.uuid4().hex}"
    shutil.copytree(_filled_postgres, location)
    postgres.create_database(name, template="test_cli_filled")
    rename_database(location, f"{OWNER}@/test_cli_filled", f"/{name}")
    made = Shared(location, postgres, name, run, monkeypatch)
    yield made
    monkeypatch.setenv("PGUSER", OWNER)
    with open_store(location) as store, store.database.reading() as connection:
        made.accounts += [writer_role(connection), reader_role(connection)]
    with postgres.connect(name) as connection:
        for account in made.accounts:
            found = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [account]).fetchone()
            if found:
                connection.execute(f"DROP OWNED BY {account}; DROP ROLE {account}".encode())
    postgres.drop_database(name)


# Every command that only reads, by group.
READING: tuple[tuple[str, ...], ...] = (
    ("status",),
    ("status", "--format", "json"),
    ("select", "--injected-in", "VISp"),
    ("structures", "find", "VIS"),
    ("structures", "rank", "9100000001"),
    ("structures", "sets"),
    ("structures", "tree", "VIS"),
    ("search", "correlation", "9100000001"),
    ("search", "injection", "8000,1500,8500"),
    ("search", "point", "8000,1500,8500"),
    ("search", "source", "VISp"),
    ("search", "target", "VISp"),
    ("matrix", "--injected-in", "VISp", "--target", "VISp"),
    ("catalog", "snapshots"),
    ("catalog", "summary"),
    ("catalog", "verify"),
    ("volume", "check", "--injected-in", "VISp"),
    ("volume", "show", "9100000001"),
    ("sql", "select count(*) from experiments"),
    ("selection", "list"),
    ("exclude", "list"),
    ("dataset", "list"),
    ("dataset", "show", "visual"),
    ("dataset", "cite", "visual"),
    ("dataset", "lineage", "visual"),
    ("dataset", "diff", "visual@1", "visual@1"),
    # Recorded where the account may write.
    ("dataset", "rebuild", "visual", "--check"),
    ("dataset", "stale"),
    ("activity",),
    ("status", "--format", "prometheus"),
    ("verify", "--deep"),
    ("repair",),
    ("gc",),
    ("trash",),
    ("quota", "--max-bytes", "1TB"),
    ("claims", "list"),
    ("config", "show"),
    ("store", "permissions"),
    ("db", "current"),
    ("db", "journal"),
    ("db", "history"),
)
WRITING: tuple[tuple[str, ...], ...] = (
    ("exclude", "add", "9100000004", "--reason", "bad section"),
    ("selection", "save", "mine", "--injected-in", "VISp"),
    ("dataset", "tag", "visual@1", "figure-1"),
    ("sync", "structures"),
    ("sync", "unionizes", "--injected-in", "VISp", "--refresh"),
    ("fetch", "--injected-in", "VISp", "--kind", "data_mask"),
    ("aggregate", "--injected-in", "VISp", "--name", "second"),
)


def test_a_reader_runs_every_command_that_reads_and_none_that_writes(shared: Shared, server: SyntheticServer) -> None:
    account = shared.account()
    shared.run_as(account, "status").refused(3, "may not read", "db grant --reader")
    printed = shared.run_as(OWNER, "db", "grant", "--reader", account).succeeded()
    assert printed.out.splitlines()[0].startswith("CREATE ROLE bsv_store_reader_")
    shared.run_as(account, "status").refused(3, "may not read")
    # As an administrator would who pipes the statements to psql.
    with shared.server.connect(shared.name) as connection:
        connection.execute(printed.out.encode())
    # The tables of an upgrade are readable too.
    shared.run_as(OWNER, "db", "downgrade", BEFORE, "--yes").succeeded()
    shared.run_as(OWNER, "db", "upgrade").succeeded()
    for command in READING:
        assert "psycopg" not in shared.run_as(account, *command).succeeded().err
    assert dict(stored_names(shared.location, "datasets")).keys() == {"visual"}
    for command in WRITING:
        shared.run_as(account, *command).refused(3, "this account")
    shared.run_as(account, "db", "upgrade").succeeded()
    shared.run_as(account, "db", "downgrade", BEFORE, "--yes").refused(3, f"belong to {OWNER}", f"GRANT {OWNER} TO")


def test_a_writer_does_everything_but_change_the_schema(shared: Shared, server: SyntheticServer) -> None:
    account = shared.account()
    shared.run_as(OWNER, "db", "grant", "--writer", account, "--apply").succeeded()
    granted = shared.run_as(OWNER, "activity", "--format", "json").succeeded().json[0]
    assert (granted["action"], granted["details"]) == ("granted", {"writers": account})
    shared.run_as(OWNER, "db", "downgrade", BEFORE, "--yes").succeeded()
    shared.run_as(OWNER, "db", "upgrade").succeeded()
    # What a reader runs is tested with a reader.
    for command in (("status",), ("verify",), *WRITING, ("exclude", "remove", "9100000004")):
        shared.run_as(account, *command).succeeded()
    done = shared.run_as(account, "sql", "select current_user as account", "--format", "csv").succeeded()
    assert done.rows[0]["account"].startswith("bsv_store_reader_")
    for arguments in (("downgrade", BEFORE), ("stamp", BEFORE)):
        shared.run_as(account, "db", *arguments, "--yes").refused(3, f"its tables belong to {OWNER}")


def test_an_administrator_changes_the_schema_and_grants(shared: Shared) -> None:
    admin, reader = shared.account(), shared.account()
    # An account cannot make others members of itself, so this is for an administrator of the server.
    refused = shared.run_as(OWNER, "db", "grant", "--admin", admin, "--apply").refused(3, f"GRANT {OWNER} TO")
    with shared.server.connect(shared.name) as connection:
        for statement in refused.err.splitlines():
            if statement.endswith(";"):
                connection.execute(statement.encode())
    shared.run_as(admin, "db", "downgrade", BEFORE, "--yes").succeeded()
    shared.run_as(admin, "db", "upgrade").succeeded()
    shared.run_as(admin, "db", "check").succeeded()
    done = shared.run_as(admin, "db", "history", "--format", "json").succeeded().json
    assert done[-1]["database_role"] == admin
    printed = shared.run_as(admin, "db", "grant", "--reader", reader).succeeded().out
    assert f" TO {reader};" in printed
    shared.run_as(admin, "db", "grant", "--reader", "no_such_account").refused(2, "no account 'no_such_account'")


def test_grant_needs_postgres(run: Runner, tmp_path: Path) -> None:
    run("init", tmp_path / "store").succeeded()
    run("db", "grant", "--reader", "anna", store=tmp_path / "store").refused(2, "SQLite, which has no accounts")
