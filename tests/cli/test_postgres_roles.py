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
from bsv_store_synthetic import SyntheticServer
from tests.cli.running import Runner
from tests.postgres import OWNER, PostgresServer
from tests.stores import rename_database

BEFORE = schema.KNOWN_REVISIONS[-2]


@dataclass
class Shared:
    """A filled store on Postgres, and folders with other accounts in their URL."""

    location: Path
    server: PostgresServer
    name: str
    folder: Path
    accounts: list[str] = field(default_factory=list)

    def account(self) -> str:
        self.accounts.append(f"ben_{uuid.uuid4().hex[:8]}")
        with self.server.connect() as connection:
            connection.execute(f"CREATE ROLE {self.accounts[-1]} LOGIN".encode())
        return self.accounts[-1]

    def location_of(self, account: str) -> Path:
        made = self.folder / account
        shutil.copytree(self.location, made)
        rename_database(made, f"{OWNER}@", f"{account}@")
        return made


@pytest.fixture
def shared(
    postgres: PostgresServer, _filled_postgres: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Shared]:
    monkeypatch.setenv("COLUMNS", "200")
    location, name = tmp_path / "store", f"test_{uuid.uuid4().hex}"
    shutil.copytree(_filled_postgres, location)
    postgres.create_database(name, template="test_cli_filled")
    rename_database(location, "test_cli_filled", name)
    made = Shared(location, postgres, name, tmp_path)
    yield made
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
    ("db", "current"),
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


def test_a_reader_runs_every_command_that_reads_and_none_that_writes(
    run: Runner, shared: Shared, server: SyntheticServer
) -> None:
    account = shared.account()
    location = shared.location_of(account)
    run("status", store=location).refused(3, "may not read", "db grant --reader")
    printed = run("db", "grant", "--reader", account, store=shared.location).succeeded()
    assert printed.out.splitlines()[0].startswith("CREATE ROLE bsv_store_reader_")
    run("status", store=location).refused(3, "may not read")
    # As an administrator would who pipes the statements to psql.
    with shared.server.connect(shared.name) as connection:
        connection.execute(printed.out.encode())
    # The tables of an upgrade are readable too.
    run("db", "downgrade", BEFORE, "--yes", store=shared.location).succeeded()
    run("db", "upgrade", store=shared.location).succeeded()
    for command in READING:
        run(*command, store=location).succeeded()
    for command in WRITING:
        run(*command, store=location).refused(3, "this account")
    run("db", "upgrade", store=location).succeeded()
    run("db", "downgrade", BEFORE, "--yes", store=location).refused(3, f"belong to {OWNER}", f"GRANT {OWNER} TO")


def test_a_writer_does_everything_but_change_the_schema(run: Runner, shared: Shared, server: SyntheticServer) -> None:
    account = shared.account()
    location = shared.location_of(account)
    run("db", "grant", "--writer", account, "--apply", store=shared.location).succeeded()
    granted = run("activity", "--format", "json", store=shared.location).succeeded().json[0]
    assert (granted["action"], granted["details"]) == ("granted", {"writers": account})
    run("db", "downgrade", BEFORE, "--yes", store=shared.location).succeeded()
    run("db", "upgrade", store=shared.location).succeeded()
    for command in (*READING, *WRITING, ("exclude", "remove", "9100000004")):
        run(*command, store=location).succeeded()
    done = run("sql", "select current_user as account", "--format", "csv", store=location).succeeded()
    assert done.rows[0]["account"].startswith("bsv_store_reader_")
    for arguments in (("downgrade", BEFORE), ("stamp", BEFORE)):
        run("db", *arguments, "--yes", store=location).refused(3, f"its tables belong to {OWNER}")


def test_an_administrator_changes_the_schema_and_grants(run: Runner, shared: Shared) -> None:
    admin, reader = shared.account(), shared.account()
    location = shared.location_of(admin)
    # Nobody can make others members of themselves, so this is for an administrator of the server.
    refused = run("db", "grant", "--admin", admin, "--apply", store=shared.location).refused(3, f"GRANT {OWNER} TO")
    with shared.server.connect(shared.name) as connection:
        for statement in refused.err.splitlines():
            if statement.endswith(";"):
                connection.execute(statement.encode())
    run("db", "downgrade", BEFORE, "--yes", store=location).succeeded()
    run("db", "upgrade", store=location).succeeded()
    run("db", "check", store=location).succeeded()
    done = run("db", "history", "--format", "json", store=location).succeeded().json
    assert done[-1]["database_role"] == admin
    printed = run("db", "grant", "--reader", reader, store=location).succeeded().out
    assert f" TO {reader};" in printed
    run("db", "grant", "--reader", "no_such_account", store=location).refused(2, "no account 'no_such_account'")


def test_grant_needs_postgres(run: Runner, tmp_path: Path) -> None:
    run("init", tmp_path / "store").succeeded()
    run("db", "grant", "--reader", "anna", store=tmp_path / "store").refused(2, "SQLite, which has no accounts")
