"""Stores filled from real files, made once for each database; and the command line in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.running import Runner
from tests.conftest import DatabaseKind
from tests.databases import repeated
from tests.postgres import PostgresServer


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Runner:
    """Runs a command as the entry point does."""
    return Runner(capsys, monkeypatch)


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgres", marks=repeated)])
def module_database(request: pytest.FixtureRequest) -> DatabaseKind:
    """Both databases, one after the other, for fixtures that serve a whole module."""
    kind: DatabaseKind = request.param
    return kind


@pytest.fixture(scope="module")
def make_store(
    module_database: DatabaseKind, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Path]]:
    """A function that makes an empty store of some name, and returns where it is."""
    from bsv_store import create_store

    server: PostgresServer | None = None
    names: list[str] = []
    if module_database == "postgres":
        server = request.getfixturevalue("postgres")

    def make(name: str) -> Path:
        location = tmp_path_factory.mktemp(name) / "store"
        url = None
        if server is not None:
            names.append(f"test_real_{name}")
            url = server.create_database(names[-1])
        create_store(location, database=url).close()
        return location

    yield make
    for name in names:
        assert server is not None
        server.drop_database(name)
