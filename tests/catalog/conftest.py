"""Filled catalogs on both databases, made once for all tests that only read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Connection, make_url

from tests.catalog.small_catalog import EXCLUDED_IDS, fill

if TYPE_CHECKING:
    from bsv_store.catalog.database.engine import Database
    from bsv_store.store.catalog import Catalog
    from bsv_store.store.search import Search
    from tests.postgres import PostgresServer

NO_FILES: Any = None
"""Stands for the files of a store where a search reads none."""

both_databases = pytest.fixture(scope="session", params=["sqlite", "postgres"])


@pytest.fixture(scope="session")
def sqlite_catalog(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """The small catalog in SQLite. Do not write to it."""
    yield from _filled(_sqlite(tmp_path_factory))


@pytest.fixture(scope="session")
def postgres_catalog(postgres: PostgresServer) -> Iterator[Database]:
    """The small catalog in Postgres. Do not write to it."""
    yield from _filled(_postgres(postgres, "test_small_catalog"))


def _filled(database: Database) -> Iterator[Database]:
    with database.writing() as connection:
        fill(connection)
    yield database
    database.close()


@both_databases
def small_catalog(request: pytest.FixtureRequest) -> Database:
    """The catalog of ``tests.catalog.small_catalog`` on both databases. Do not write to it."""
    database: Database = request.getfixturevalue(f"{request.param}_catalog")
    return database


@both_databases
def excluding_catalog(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """The small catalog with some of its experiments on the exclusion list. Do not write to it."""
    from bsv_store.catalog.selection.exclusions import exclude, lift_exclusion

    database = _empty(request, tmp_path_factory, "test_excluding_catalog")
    with database.writing() as connection:
        fill(connection)
    exclude(database, EXCLUDED_IDS, "bad section")
    # What was lifted no longer counts.
    exclude(database, [102], "by mistake")
    lift_exclusion(database, [102])
    yield database
    database.close()


@pytest.fixture
def reading(small_catalog: Database) -> Iterator[Connection]:
    """A reading transaction on the small catalog."""
    with small_catalog.reading() as connection:
        yield connection


@pytest.fixture
def catalog(small_catalog: Database) -> Catalog:
    """``store.catalog`` of the small catalog."""
    from bsv_store.store.catalog import Catalog

    return Catalog(small_catalog)


@pytest.fixture
def search(small_catalog: Database) -> Search:
    """``store.search`` of the small catalog, which has no volumes."""
    from bsv_store.store.search import Search

    return Search(small_catalog, NO_FILES)


@both_databases
def empty_catalog(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A catalog without a single row. Do not write to it."""
    database = _empty(request, tmp_path_factory, "test_empty_catalog")
    yield database
    database.close()


@both_databases
def atlas_2020(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, data: Path
) -> Iterator[Database]:
    """The real ontology and the real experiment list of July 2020, alone. Do not write to it."""
    database = _empty(request, tmp_path_factory, "test_atlas_2020")
    _take_in_lists(database, data / "allensdk_cache", data / "experiments_2020-07_2992rows.json")
    yield database
    database.close()


@both_databases
def atlas_psu(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, data: Path
) -> Iterator[Database]:
    """A real AllenSDK cache: ontology, the experiment list of 2019, the unionize rows of 40. Do not write to it."""
    from bsv_store.catalog.ingest import ingest_unionizes
    from bsv_store.formats.unionizes import read_unionizes

    database = _empty(request, tmp_path_factory, "test_atlas_psu")
    cache = data / "allensdk_cache"
    _take_in_lists(database, cache, cache / "experiments.json")
    for file in sorted(cache.glob("experiment_*/structure_unionizes.csv")):
        table = read_unionizes(file.read_bytes(), what=file.name, parts=frozenset({"injection", "projection"}))
        ingest_unionizes(database, table, source=file.parent.name, kind="file")
    yield database
    database.close()


def _take_in_lists(database: Database, cache: Path, experiments: Path) -> None:
    from bsv_store.catalog.ingest import ingest_experiments, ingest_structures
    from bsv_store.formats.experiments import read_experiments
    from bsv_store.formats.structures import read_structures

    ontology = cache / "structures.json"
    ingest_structures(database, read_structures(ontology.read_bytes(), what="structures"), source=ontology.name)
    ingest_experiments(
        database, read_experiments(experiments.read_bytes(), what="experiments"), source=experiments.name
    )


def _empty(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, name: str) -> Database:
    if request.param == "sqlite":
        return _sqlite(tmp_path_factory)
    return _postgres(request.getfixturevalue("postgres"), name)


def _sqlite(tmp_path_factory: pytest.TempPathFactory) -> Database:
    from bsv_store.catalog.database.engine import Database
    from bsv_store.catalog.database.schema import upgrade

    path = tmp_path_factory.mktemp("catalog") / "catalog.db"
    path.touch()
    database = Database(path)
    upgrade(database)
    return database


def _postgres(server: PostgresServer, name: str) -> Database:
    from bsv_store.catalog.database.engine import Database
    from bsv_store.catalog.database.schema import upgrade

    database = Database(make_url(server.create_database(name)))
    upgrade(database)
    return database
