"""Accounts of Postgres with few rights: what is missing is named with the statement that grants it."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from psycopg.errors import InsufficientPrivilege
from sqlalchemy import text

from bsv_store import create_store, open_store
from bsv_store.catalog.database import privileges, schema
from bsv_store.catalog.database.postgres import normalized_url, with_schema
from bsv_store.config import read_store_config
from bsv_store.errors import AccessDeniedError, ReadOnlyStoreError, StoreError, StoreExistsError
from bsv_store.maintenance.folder_link import TOKEN_FILE
from bsv_store.store import creation
from bsv_store.store.opening import upgrade_store
from bsv_store.store.schema_changes import check_schema, downgrade_store, grant_access, schema_history
from tests.postgres import OWNER, PostgresServer

BEFORE = schema.KNOWN_REVISIONS[-2]


class Lab:
    """A database of its own, and accounts."""

    def __init__(self, server: PostgresServer) -> None:
        self.server = server
        self.name = f"test_{uuid.uuid4().hex}"
        self.url = server.create_database(self.name)
        self.accounts: list[str] = []

    def account(self, options: str = "LOGIN") -> str:
        self.accounts.append(f"anna_{uuid.uuid4().hex[:8]}")
        self.run(f"CREATE ROLE {self.accounts[-1]} {options}")
        return self.accounts[-1]

    def run(self, statement: str) -> None:
        with self.server.connect(self.name) as connection:
            connection.execute(statement.encode())

    def url_of(self, account: str) -> str:
        return self.server.url(self.name, account=account)

    def run_hint(self, error: StoreError) -> None:
        """Run the statements of a hint, as an administrator would."""
        statements = [line.strip() for line in str(error.hint).splitlines() if line.endswith(";")]
        assert statements, error.hint
        for statement in statements:
            self.run(statement)


@pytest.fixture
def lab(postgres: PostgresServer) -> Iterator[Lab]:
    made = Lab(postgres)
    yield made
    postgres.drop_database(made.name)
    with postgres.connect() as connection:
        for account in made.accounts:
            connection.execute(f"DROP ROLE IF EXISTS {account}".encode())


@pytest.fixture
def folder_of(tmp_path: Path, lab: Lab) -> Callable[[str], Path]:
    """The folder of the store of the lab, with another account in its URL."""

    def make(account: str) -> Path:
        location = tmp_path / account
        location.mkdir()
        config = read_store_config(tmp_path / "store")
        url = config.database.replace(f"{OWNER}@", f"{account}@")
        (location / "store.toml").write_text(replace(config, database=url).to_toml())
        # The same file, so that the folder is not taken for a copy.
        (location / TOKEN_FILE).hardlink_to(tmp_path / "store" / TOKEN_FILE)
        return location

    return make


def test_an_account_without_create_is_told_the_grant_and_leaves_nothing(tmp_path: Path, lab: Lab) -> None:
    account = lab.account()
    folder = tmp_path / "new" / "store"
    with pytest.raises(
        AccessDeniedError, match=f"account {account} may not create tables in the schema public"
    ) as caught:
        create_store(folder, database=lab.url_of(account), parents=True)
    assert "does not have the privilege CREATE" in caught.value.message
    assert not folder.parent.exists()
    lab.run_hint(caught.value)
    create_store(folder, database=lab.url_of(account), parents=True).close()


def test_an_account_without_plpgsql_is_told_the_grant_and_leaves_nothing(
    tmp_path: Path, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.run("REVOKE USAGE ON LANGUAGE plpgsql FROM PUBLIC")
    with pytest.raises(AccessDeniedError, match="USAGE on the language plpgsql") as caught:
        create_store(tmp_path / "store", database=lab.url)
    # Rights that are not checked before.
    (tmp_path / "empty").mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(privileges, "require_creation", lambda _connection: None)
        for folder in ("new", "empty"):
            with pytest.raises(ReadOnlyStoreError, match=r"may not change the database .*plpgsql"):
                create_store(tmp_path / folder, database=lab.url)
    assert not (tmp_path / "new").exists()
    assert list((tmp_path / "empty").iterdir()) == []
    lab.run_hint(caught.value)
    create_store(tmp_path / "store", database=lab.url).close()


def test_a_schema_that_does_not_exist_is_told_the_statement(tmp_path: Path, lab: Lab) -> None:
    url = with_schema(normalized_url(lab.url), "atlas").render_as_string()
    with pytest.raises(AccessDeniedError, match="no schema atlas") as caught:
        create_store(tmp_path / "store", database=url)
    assert not (tmp_path / "store").exists()
    lab.run_hint(caught.value)
    create_store(tmp_path / "store", database=url).close()


def test_only_the_owner_and_its_members_can_upgrade(tmp_path: Path, lab: Lab, folder_of: Callable[[str], Path]) -> None:
    create_store(tmp_path / "store", database=lab.url).close()
    downgrade_store(tmp_path / "store", revision=BEFORE)
    account = lab.account()
    lab.run(f"GRANT CREATE ON SCHEMA public TO {account}")
    lab.run(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {account}")
    location = folder_of(account)
    with pytest.raises(AccessDeniedError, match=f"its tables belong to {OWNER}") as caught:
        upgrade_store(location)
    lab.run_hint(caught.value)
    upgrade_store(location)
    assert check_schema(location).differences == ()
    # All tables have one owner, and the history knows who it was.
    with lab.server.connect(lab.name) as connection:
        owners = connection.execute("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'").fetchall()
    assert owners == [(OWNER,)]
    assert schema_history(location)[-1].database_role == account


def test_a_denied_read_is_called_a_denied_read(tmp_path: Path, lab: Lab, folder_of: Callable[[str], Path]) -> None:
    create_store(tmp_path / "store", database=lab.url).close()
    account = lab.account()
    location = folder_of(account)
    with pytest.raises(AccessDeniedError, match="may not read") as caught:
        open_store(location)
    assert "db grant --reader" in str(caught.value.hint)
    lab.run(f"GRANT SELECT ON bsv_store_version, store_info, store_link TO {account}")
    with open_store(location) as store:
        with pytest.raises(AccessDeniedError, match=r"may not read .*: permission denied for table"):
            store.status()
        with pytest.raises(ReadOnlyStoreError, match="may not change"), store.database.writing() as connection:
            connection.execute(text("DELETE FROM claim"))
    lab.run("REVOKE USAGE ON SCHEMA public FROM PUBLIC")
    with pytest.raises(AccessDeniedError, match="may not read the schema public"):
        open_store(location)


def test_roles_with_grants_of_their_own_read_and_write_after_an_upgrade(
    tmp_path: Path, lab: Lab, folder_of: Callable[[str], Path]
) -> None:
    create_store(tmp_path / "store", database=lab.url).close()
    downgrade_store(tmp_path / "store", revision="0003")
    reader, writer = lab.account(), lab.account()
    for account, rights in ((reader, "SELECT"), (writer, "SELECT, INSERT, UPDATE, DELETE")):
        lab.run(f"GRANT {rights} ON ALL TABLES IN SCHEMA public TO {account}")
    lab.run(f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {writer}")
    upgrade_store(tmp_path / "store")
    with open_store(folder_of(reader)) as store:
        assert store.status().catalog.experiments == 0
        with pytest.raises(ReadOnlyStoreError):
            store.database.require_writable()
    with open_store(folder_of(writer)) as store:
        store.database.require_writable()
        with store.database.writing() as connection:
            connection.execute(text("INSERT INTO catalog_change (changed_at) VALUES (now())"))
            connection.execute(text("DELETE FROM annotation"))
        with pytest.raises(ReadOnlyStoreError), store.database.writing() as connection:
            connection.execute(text("DELETE FROM schema_history"))


def test_writers_may_not_write_views_and_the_history_that_an_upgrade_creates(tmp_path: Path, lab: Lab) -> None:
    store = tmp_path / "store"
    create_store(store, database=lab.url).close()
    account = lab.account()
    granted = grant_access(store, writers=[account], apply=True)
    written = (
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v') AND"
        f" has_table_privilege('{account}', oid, 'INSERT, UPDATE, DELETE')"
    )
    with lab.server.connect(lab.name) as connection:
        before = set(connection.execute(written.encode()).fetchall())
        assert ("schema_history",) not in before
        # It creates the table of the history and the views again.
        downgrade_store(store, revision="0015")
        upgrade_store(store)
        assert set(connection.execute(written.encode()).fetchall()) == before
        # An earlier release did not take back what default privileges granted: this does.
        lab.run(f"GRANT INSERT, UPDATE, DELETE ON schema_history, experiments TO {granted.writer_role}")
        again = grant_access(store, writers=[account], apply=True)
        assert set(connection.execute(written.encode()).fetchall()) == before
    assert f"REVOKE INSERT, UPDATE, DELETE ON public.experiments, public.schema_history FROM {again.writer_role};" in (
        again.statements
    )
    lab.run(f"DROP OWNED BY {granted.writer_role}, {granted.reader_role}")
    lab.run(f"DROP ROLE {granted.writer_role}, {granted.reader_role}")


def test_grants_on_tables_of_other_applications_are_left_alone(tmp_path: Path, lab: Lab) -> None:
    with lab.server.connect(lab.name, account=OWNER) as connection:
        connection.execute("CREATE TABLE payroll (salary integer)")
    store = tmp_path / "store"
    create_store(store, database=lab.url).close()
    role = grant_access(store, apply=True).reader_role
    account = lab.account()
    grant_access(store, readers=[account], apply=True)
    with lab.server.connect(lab.name, account=OWNER) as connection:
        connection.execute("CREATE TABLE payroll_2 (salary integer)")
    downgrade_store(store, revision=BEFORE)
    upgrade_store(store)
    with lab.server.connect(lab.name, account=account) as connection:
        assert connection.execute("SELECT count(*) FROM schema_history").fetchone() != (0,)
        for table in ("payroll", "payroll_2"):
            with pytest.raises(InsufficientPrivilege):
                connection.execute(f"SELECT * FROM {table}".encode())
    assert check_schema(store).differences == ()
    lab.run(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_simultaneous_grants_wait_for_each_other(tmp_path: Path, lab: Lab) -> None:
    create_store(tmp_path / "store", database=lab.url).close()
    account = lab.account()
    start = threading.Barrier(3)

    def grant() -> str:
        start.wait()
        return grant_access(tmp_path / "store", writers=[account], apply=True).reader_role

    with ThreadPoolExecutor(3) as pool:
        roles = {future.result() for future in [pool.submit(grant) for _ in range(3)]}
    (reader,) = roles
    for role in (reader.replace("_reader_", "_writer_"), reader):
        lab.run(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_a_database_that_another_store_takes_meanwhile_leaves_no_folder(
    tmp_path: Path, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_store(tmp_path / "first", database=lab.url).close()
    monkeypatch.setattr(creation, "_refuse_occupied_database", lambda _database, _path: None)
    with pytest.raises(StoreExistsError, match="already has the catalog of store"):
        create_store(tmp_path / "second", database=lab.url)
    assert not (tmp_path / "second").exists()


def test_tables_with_our_names_are_refused_and_a_schema_of_its_own_works(tmp_path: Path, lab: Lab) -> None:
    with lab.server.connect(lab.name, account=OWNER) as connection:
        connection.execute("CREATE TABLE experiment (id integer); INSERT INTO experiment VALUES (1)")
        connection.execute("CREATE SCHEMA atlas")
    with pytest.raises(StoreExistsError, match="another application with names that the store needs: experiment"):
        create_store(tmp_path / "store", database=lab.url)
    assert not (tmp_path / "store").exists()
    url = f"{lab.url}&options=-csearch_path%3Datlas"
    with create_store(tmp_path / "store", database=url) as store:
        assert store.config.database.endswith("options=-csearch_path%3Datlas")
    with open_store(tmp_path / "store") as store:
        assert store.status().schema_revision == schema.HEAD
    with lab.server.connect(lab.name) as connection:
        query = "SELECT schemaname, count(*) FROM pg_tables WHERE schemaname IN ('atlas', 'public') GROUP BY 1"
        found = dict(connection.execute(query).fetchall())
    assert found["public"] == 1
    assert found["atlas"] > 30
    # Another store beside it.
    lab.run(f'CREATE SCHEMA "My %atlas" AUTHORIZATION {OWNER}')
    other = with_schema(normalized_url(lab.url), "My %atlas").render_as_string()
    with create_store(tmp_path / "other", database=other) as store:
        role = grant_access(store.path, apply=True).reader_role
        assert store.sql("SELECT current_user AS account")["account"].tolist() == [role]
        assert store.sql("SELECT count(*) AS n FROM experiments")["n"].tolist() == [0]
    downgrade_store(tmp_path / "other", revision=BEFORE)
    upgrade_store(tmp_path / "other")
    assert check_schema(tmp_path / "other").differences == ()
    lab.run(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_the_schema_of_an_account_is_recorded_for_all_others(
    tmp_path: Path, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.run(f"CREATE SCHEMA {OWNER} AUTHORIZATION {OWNER}; CREATE SCHEMA atlas AUTHORIZATION {OWNER}")
    # The default search path is "$user", public.
    with create_store(tmp_path / "one", database=lab.url) as store:
        assert store.config.database.endswith(f"options=-csearch_path%3D{OWNER}")
    monkeypatch.setenv("PGOPTIONS", "-c search_path=atlas -c work_mem=8MB")
    with create_store(tmp_path / "two", database=lab.url) as store:
        assert store.config.database.endswith("options=-csearch_path%3Datlas")
    # Not the variable, but the store decides where its tables are.
    with open_store(tmp_path / "one") as store, store.database.reading() as connection:
        assert connection.execute(text("SHOW search_path")).scalar() == OWNER
        assert connection.execute(text("SHOW work_mem")).scalar() == "8MB"
        assert connection.execute(text("SHOW lock_timeout")).scalar() == "30s"
