"""Filled stores on both databases, made once for all tests that only read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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


class SharedStores:
    """Stores that are filled when they are first needed and stay open, by database.

    A parametrized fixture of the session would be made again whenever the next test wants the other database.
    """

    def __init__(self, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> None:
        self._request = request
        self._tmp_path_factory = tmp_path_factory
        self._open: dict[tuple[str, str], Store] = {}

    def get(self, fill: Callable[[Store], object], request: pytest.FixtureRequest) -> Store:
        """The store on the database of a fixture's request, as ``fill`` left it."""
        key = fill.__name__.strip("_"), request.param
        if key not in self._open:
            folder = _folder(self._tmp_path_factory)
            url = None
            if request.param == "postgres":
                server: PostgresServer = self._request.getfixturevalue("postgres")
                url = server.create_database(f"test_{key[0]}")
            store = create_store(folder, database=url)
            self._open[key] = store
            fill(store)
        return self._open[key]

    def close(self) -> None:
        """Close all of them."""
        for store in self._open.values():
            store.close()


@pytest.fixture(scope="session")
def shared_stores(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedStores]:
    """The stores behind the fixtures below."""
    stores = SharedStores(request, tmp_path_factory)
    yield stores
    stores.close()


@both_databases
def excluding_store(request: pytest.FixtureRequest, shared_stores: SharedStores) -> Store:
    """The small catalog with some of its experiments on the exclusion list. Do not write to it."""
    return shared_stores.get(_excluding, request)


def _excluding(store: Store) -> None:
    _filled(store).catalog.exclude(EXCLUDED_IDS, "bad section")
    # A lifted exclusion has no effect.
    store.catalog.exclude([102], "by mistake")
    store.catalog.lift_exclusion([102])


@both_databases
def empty_store(request: pytest.FixtureRequest, shared_stores: SharedStores) -> Store:
    """A store with an empty catalog. Do not write to it."""
    return shared_stores.get(_empty, request)


def _empty(_: Store) -> None:
    pass


@both_databases
def atlas_2020(request: pytest.FixtureRequest, shared_stores: SharedStores, data: Path) -> Store:
    """The real ontology and the real experiment list of July 2020, alone. Do not write to it."""

    def fill_atlas_2020(store: Store) -> None:
        store.ingest_structures(data / "allensdk_cache" / "structures.json")
        store.ingest_experiments(data / "experiments_2020-07_2992rows.json")

    return shared_stores.get(fill_atlas_2020, request)


@both_databases
def atlas_psu(request: pytest.FixtureRequest, shared_stores: SharedStores, data: Path) -> Store:
    """A real AllenSDK cache: ontology, the experiment list of 2019, the unionize rows of 40. Do not write to it."""

    def fill_atlas_psu(store: Store) -> None:
        cache = data / "allensdk_cache"
        store.ingest_structures(cache / "structures.json")
        store.ingest_experiments(cache / "experiments.json")
        for file in sorted(cache.glob("experiment_*/structure_unionizes.csv")):
            store.ingest_unionizes(file)

    return shared_stores.get(fill_atlas_psu, request)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give all tests of the real tables to one worker, since filling their store takes seconds."""
    for item in items:
        if "atlas_psu" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("atlas-psu"))


def _filled(store: Store) -> Store:
    with store.database.writing() as connection:
        fill(connection)
    return store


def _folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("catalog") / "store"
