"""A filled store on each database: made once and copied for each test, since filling takes longer than a copy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bsv_store import create_store, open_store
from tests.datasets.world import fill
from tests.stores import copied_store

if TYPE_CHECKING:
    from bsv_store import Store
    from tests.conftest import DatabaseKind
    from tests.postgres import PostgresServer

TEMPLATE = "datasets_template"
"""Name of the database on Postgres that is copied."""


@pytest.fixture(scope="session")
def _filled_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _make(tmp_path_factory.mktemp("filled") / "store", None)


@pytest.fixture(scope="session")
def _filled_postgres(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _make(tmp_path_factory.mktemp("filled") / "store", postgres.create_database(TEMPLATE))


def _make(folder: Path, url: str | None) -> Path:
    with create_store(folder, database=url) as store:
        fill(store)
    return folder


@pytest.fixture
def filled_location(database: DatabaseKind, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """The folder of a store with seven experiments, their injection rows and 100 um volumes."""
    database_name = None if database == "sqlite" else TEMPLATE
    with copied_store(
        request.getfixturevalue(f"_filled_{database}"), tmp_path / "store", request, database=database_name
    ) as location:
        yield location


@pytest.fixture
def filled(filled_location: Path) -> Iterator[Store]:
    """That store, open, on either database."""
    with open_store(filled_location) as opened:
        yield opened
