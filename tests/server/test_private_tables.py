"""Queries of clients see the data, and nothing about users, jobs and the machine of the server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
import requests
from sqlalchemy import text

from bsv_store import open_store
from bsv_store.catalog.database.models import Base
from bsv_store.remote import protocol
from bsv_store.server.access.private_tables import PRIVATE_TABLES
from bsv_store.store.schema_changes import grant_access
from tests.databases import both_databases
from tests.server.serving import serving

if TYPE_CHECKING:
    from bsv_store import Store

pytestmark = both_databases


@pytest.fixture
def url(store: Store) -> Iterator[str]:
    store.admin.add_token("anna")
    if not store.database.is_sqlite:
        # Queries do not run as a superuser.
        grant_access(store.path)
    with store.database.writing() as connection:
        connection.execute(
            text(
                "INSERT INTO named_selection (name, number, selection, note, saved_by, saved_at) VALUES"
                " ('a', 1, '{}', '/home/anna/lists/a b.json', 'anna', '2026-01-01 00:00:00'),"
                " ('b', 1, '{}', 'from /home/anna/b, see https://lab.example/data', 'anna', '2026-01-01 00:00:00')"
            )
        )
    with open_store(store.path, read_only=True) as opened, serving(opened) as address:
        yield address


def query(url: str, statement: str) -> requests.Response:
    return requests.post(f"{url}{protocol.SQL}", json={"statement": statement}, timeout=30)


def test_queries_see_no_private_table(url: str) -> None:
    assert query(url, "SELECT count(*) FROM named_selection").json()["rows"] == [[2]]
    for name in PRIVATE_TABLES:
        for statement in (f"SELECT * FROM {name}", f'SELECT 1 FROM (SELECT * FROM "{name.upper()}") AS x'):
            refused = query(url, statement)
            assert (refused.status_code, refused.json()["code"]) == (400, "QueryError"), statement
    for statement in (
        "SELECT most_common_vals FROM pg_stats",
        "SELECT 1 FROM information_schema.tables",
        "SELECT * FROM sqlite_stat4",
        "SELECT * FROM/**/access_token",
        "SELECT * FROM [access_token]",
        "SELECT * FROM `access_token`",
        "WITH x AS (TABLE access_token) SELECT * FROM x",
        'SELECT * FROM U&"access\\005ftoken"',
    ):
        assert query(url, statement).status_code == 400, statement


def test_paths_in_columns_become_names_of_files(url: str) -> None:
    rows = query(url, "SELECT name, note FROM named_selection ORDER BY name").json()["rows"]
    assert rows == [["a", "a b.json"], ["b", "from a path of the server, see https://lab.example/data"]]


def test_private_tables_exist() -> None:
    assert set(PRIVATE_TABLES) <= set(Base.metadata.tables)
