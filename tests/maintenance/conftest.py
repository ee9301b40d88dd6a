"""A small store with every kind of object, on each database, and the server from which it was filled."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bsv_store import Selection, by_coordinate, create_store, open_store
from bsv_store_synthetic import SyntheticAtlas, SyntheticServer
from tests.cli.running import Runner
from tests.client_defaults import client_defaults
from tests.stores import copied_store

if TYPE_CHECKING:
    from bsv_store import Store
    from tests.conftest import DatabaseKind
    from tests.postgres import PostgresServer

ATLAS = SyntheticAtlas(experiments=12)
VISP = Selection(injected_in="VISp")
_TEMPLATE = "maintenance_template"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Runner:
    """Runs a command as the entry point does."""
    return Runner(capsys, monkeypatch)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[SyntheticServer]:
    """A server that takes the place of Allen's."""
    for name, value in {"backoff_s": 0, "read_timeout_s": 10}.items():
        monkeypatch.setitem(client_defaults(), name, value)
    with SyntheticServer(ATLAS) as running:
        monkeypatch.setenv("BSV_STORE_API_URL", running.url)
        monkeypatch.setenv("BSV_STORE_DOWNLOAD_URL", running.url)
        yield running
        assert running.errors == []


@pytest.fixture(scope="session")
def _whole_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _fill(tmp_path_factory.mktemp("whole") / "store", None)


@pytest.fixture(scope="session")
def _whole_postgres(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _fill(tmp_path_factory.mktemp("whole") / "store", postgres.create_database(_TEMPLATE))


def _fill(location: Path, database: str | None) -> Path:
    """Volumes of two kinds, unionize tables, the annotation and the template, and two versions."""
    with SyntheticServer(ATLAS) as server, create_store(location, database=database) as store:
        store.sync_structures(api_url=server.url)
        store.sync_experiments(api_url=server.url)
        store.sync_unionizes(VISP, api_url=server.url)
        store.fetch(VISP, api_url=server.url)
        store.fetch(list(store.select(VISP))[:1], kind="injection_density", api_url=server.url)
        store.sync_annotation(spacing_um=100, download_url=server.url)
        store.sync_template(spacing_um=100, download_url=server.url)
        store.aggregate(VISP, group_by=by_coordinate("AP", bins=2), name="visual")
        store.aggregate(list(store.select(VISP))[:2], name="two")
        store.datasets.tag("visual@1", "paper")
    return location


@pytest.fixture
def whole_location(database: DatabaseKind, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """The folder of that store, for one test."""
    database_name = None if database == "sqlite" else _TEMPLATE
    with copied_store(
        request.getfixturevalue(f"_whole_{database}"), tmp_path / "store", request, database=database_name
    ) as location:
        yield location


@pytest.fixture
def whole(whole_location: Path) -> Iterator[Store]:
    """That store, open, on either database."""
    with open_store(whole_location) as opened:
        yield opened
