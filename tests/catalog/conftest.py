"""Filled stores on both databases, made once for all tests that only read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import Connection

from bsv_store import Store, create_store
from tests.catalog.small_catalog import EXCLUDED_IDS, fill

if TYPE_CHECKING:
    from bsv_store.catalog.database.engine import Database
    from tests.postgres import PostgresServer

both_databases = pytest.fixture(scope="session", params=["sqlite", "postgres"])


@pytest.fixture(scope="session")
def sqlite_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store with the small catalog, in SQLite. Do not write to it."""
    with create_store(_folder(tmp_path_factory)) as store:
        yield _filled(store)


@pytest.fixture(scope="session")
def postgres_store(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store with the small catalog, in Postgres. Do not write to it."""
    url = postgres.create_database("test_small_catalog")
    with create_store(_folder(tmp_path_factory), database=url) as store:
        yield _filled(store)


@both_databases
def small_store(request: pytest.FixtureRequest) -> Store:
    """A store with the catalog of ``tests.catalog.small_catalog``, on both databases. Do not write to it."""
    store: Store = request.getfixturevalue(f"{request.param}_store")
    return store


@pytest.fixture
def small_catalog(small_store: Store) -> Database:
    """The database of `small_store`. Do not write to it."""
    return small_store.database


@pytest.fixture
def reading(small_store: Store) -> Iterator[Connection]:
    """A reading transaction on the small catalog."""
    with small_store.database.reading() as connection:
        yield connection


@both_databases
def excluding_store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """The small catalog with some of its experiments on the exclusion list. Do not write to it."""
    with _empty(request, tmp_path_factory, "test_excluding_catalog") as store:
        _filled(store).catalog.exclude(EXCLUDED_IDS, "bad section")
        # A lifted exclusion has no effect.
        store.catalog.exclude([102], "by mistake")
        store.catalog.lift_exclusion([102])
        yield store


@both_databases
def empty_store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store with an empty catalog. Do not write to it."""
    with _empty(request, tmp_path_factory, "test_empty_catalog") as store:
        yield store


@both_databases
def atlas_2020(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, data: Path) -> Iterator[Store]:
    """The real ontology and the real experiment list of July 2020, alone. Do not write to it."""
    with _empty(request, tmp_path_factory, "test_atlas_2020") as store:
        store.ingest_structures(data / "allensdk_cache" / "structures.json")
        store.ingest_experiments(data / "experiments_2020-07_2992rows.json")
        yield store


@both_databases
def atlas_psu(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, data: Path) -> Iterator[Store]:
    """A real AllenSDK cache: ontology, the experiment list of 2019, the unionize rows of 40. Do not write to it."""
    cache = data / "allensdk_cache"
    with _empty(request, tmp_path_factory, "test_atlas_psu") as store:
        store.ingest_structures(cache / "structures.json")
        store.ingest_experiments(cache / "experiments.json")
        for file in sorted(cache.glob("experiment_*/structure_unionizes.csv")):
            store.ingest_unionizes(file)
        yield store


def _filled(store: Store) -> Store:
    with store.database.writing() as connection:
        fill(connection)
    return store


def _empty(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, name: str) -> Store:
    folder = _folder(tmp_path_factory)
    if request.param == "sqlite":
        return create_store(folder)
    server: PostgresServer = request.getfixturevalue("postgres")
    return create_store(folder, database=server.create_database(name))


def _folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("catalog") / "store"
