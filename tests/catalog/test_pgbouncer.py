"""A store behind PgBouncer, which gives each transaction another session of the server."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from bsv_store import Selection, Store, create_store, open_store
from bsv_store.catalog.database import schema
from bsv_store.store.opening import upgrade_store
from bsv_store.store.schema_changes import check_schema, downgrade_store, grant_access
from bsv_store.store.suggestions import stored_names
from bsv_store_synthetic import SyntheticAtlas, SyntheticServer
from tests.pgbouncer import PgBouncer, program
from tests.postgres import OWNER, PostgresServer

pytestmark = pytest.mark.skipif(program() is None, reason="pgbouncer is not installed (apt-get install pgbouncer)")


@pytest.fixture
def pooler(postgres: PostgresServer) -> Iterator[PgBouncer]:
    with PgBouncer(postgres) as running:
        yield running


@pytest.fixture
def pooled_url(postgres: PostgresServer, pooler: PgBouncer) -> Iterator[str]:
    name = f"test_{uuid.uuid4().hex}"
    postgres.create_database(name)
    with postgres.connect(name) as connection:
        # Another schema than that of other clients of the pooler.
        connection.execute(f"CREATE SCHEMA atlas AUTHORIZATION {OWNER}".encode())
    yield f"{pooler.url(name)}&options=-csearch_path%3Datlas"
    # WITH (FORCE) ends the connections of the pooler.
    postgres.drop_database(name)


def fill(store: Store) -> None:
    atlas = SyntheticAtlas(experiments=6)
    with SyntheticServer(atlas) as server:
        store.sync_structures(api_url=server.url)
        store.sync_experiments(api_url=server.url)
        store.sync_unionizes(atlas.experiment_ids, api_url=server.url)
        store.fetch(atlas.experiment_ids, api_url=server.url)
    store.aggregate(Selection(ids=atlas.experiment_ids), name="all")


def test_a_store_behind_a_pooler_of_transactions(tmp_path: Path, pooled_url: str) -> None:
    with create_store(tmp_path / "store", database=pooled_url) as store:
        fill(store)
        # The same statements many times, on sessions that are shared: a prepared statement would be missing or there.
        errors: list[BaseException] = []

        def read_and_write() -> None:
            try:
                for _ in range(15):
                    assert len(store.select()) == 6
                    with store.database.writing() as connection:
                        connection.execute(text("UPDATE store_info SET format_version = format_version"))
                        assert connection.execute(text("SHOW search_path")).scalar() == "atlas"
                        assert connection.execute(text("SHOW lock_timeout")).scalar() == "30s"
            except BaseException as error:  # noqa: BLE001 (reported below)
                errors.append(error)

        threads = [threading.Thread(target=read_and_write) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        assert store.sql("SELECT count(*) AS n FROM experiments")["n"].tolist() == [6]
        assert stored_names(store.path, "datasets") == [("all", None)]
        role = grant_access(store.path, apply=True).reader_role
        for _ in range(3):
            assert store.sql("SELECT current_user AS account")["account"].tolist() == [role]
            with store.database.writing() as connection:
                assert connection.execute(text("SELECT current_user")).scalar() == OWNER
    downgrade_store(tmp_path / "store", revision=schema.KNOWN_REVISIONS[-2])
    upgrade_store(tmp_path / "store")
    assert check_schema(tmp_path / "store").differences == ()
    with open_store(tmp_path / "store") as store, store.database.writing() as connection:
        connection.execute(text(f"DROP OWNED BY {role}"))
        connection.execute(text(f"DROP ROLE {role}"))


def test_settings_do_not_leak_to_other_clients(tmp_path: Path, pooled_url: str, pooler: PgBouncer) -> None:
    import psycopg
    from sqlalchemy import make_url

    name = make_url(pooled_url).database
    with create_store(tmp_path / "store", database=pooled_url) as store:
        for _ in range(5):
            assert store.select() == ()
        address = pooler.url(str(name)).replace("+psycopg", "")
        with psycopg.connect(address, autocommit=True, prepare_threshold=None) as other:
            for setting, expected in (("search_path", '"$user", public'), ("lock_timeout", "0")):
                assert other.execute(f"SHOW {setting}".encode()).fetchone() == (expected,)
