"""The command line in this process, and stores on both databases filled from a synthetic atlas."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bsv_store_synthetic import SyntheticAtlas, SyntheticServer
from tests.cli.running import Runner
from tests.conftest import DatabaseKind
from tests.postgres import PostgresServer
from tests.stores import copied_store

ATLAS = SyntheticAtlas(experiments=12)
WILD_TYPE_VISP = (9100000001, 9100000003, 9100000007)
VISP = (9100000001, 9100000003, 9100000004, 9100000007, 9100000010)
# Not in VISp, and so without volume and unionize rows in the filled stores.
UNMEASURED = 9100000002

_FILLED_DATABASE = "test_cli_filled"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Runner:
    """Runs a command as the entry point does."""
    return Runner(capsys, monkeypatch)


@pytest.fixture
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal in which no table is folded."""
    monkeypatch.setenv("COLUMNS", "1000")


@pytest.fixture
def atlas() -> SyntheticAtlas:
    return ATLAS


@pytest.fixture
def server(server: SyntheticServer, monkeypatch: pytest.MonkeyPatch) -> SyntheticServer:
    """A server that the commands ask instead of Allen's."""
    monkeypatch.setenv("BSV_STORE_API_URL", server.url)
    return server


@pytest.fixture(scope="session")
def _filled_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _fill(tmp_path_factory.mktemp("filled") / "store", None)


@pytest.fixture(scope="session")
def _filled_postgres(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _fill(tmp_path_factory.mktemp("filled") / "store", postgres.create_database(_FILLED_DATABASE))


def _fill(location: Path, database: str | None) -> Path:
    """A store with the whole catalog, the volumes and unionize rows of VISp, and one dataset version."""
    from bsv_store import Selection, by_coordinate, create_store

    visp = Selection(injected_in="VISp")
    with SyntheticServer(ATLAS) as server, create_store(location, database=database) as store:
        store.sync_structures(api_url=server.url)
        store.sync_experiments(api_url=server.url)
        store.sync_unionizes(visp, api_url=server.url)
        store.fetch(visp, api_url=server.url)
        wild_type = visp & Selection(line="wild-type")
        store.aggregate(wild_type, group_by=by_coordinate("AP", bins=2), name="visual")
    return location


@pytest.fixture
def filled(database: DatabaseKind, request: pytest.FixtureRequest) -> Path:
    """A filled store on either database, shared by all tests: only to be read."""
    location: Path = request.getfixturevalue(f"_filled_{database}")
    return location


@pytest.fixture
def own_filled(filled: Path, database: DatabaseKind, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A copy of the filled store for one test."""
    database_name = None if database == "sqlite" else _FILLED_DATABASE
    with copied_store(filled, tmp_path / "store", request, database=database_name) as location:
        yield location
