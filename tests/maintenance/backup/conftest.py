"""Backup targets, and databases to restore to."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import DatabaseKind
from tests.postgres import PostgresServer


@pytest.fixture
def target(tmp_path: Path) -> str:
    """A folder for backups, which does not exist yet."""
    return str(tmp_path / "backups")


@pytest.fixture
def empty_database(request: pytest.FixtureRequest) -> Iterator[Callable[[DatabaseKind], str | None]]:
    """A function that returns the argument ``database`` for a new empty database of a kind."""
    names: list[str] = []

    def make(kind: DatabaseKind) -> str | None:
        if kind == "sqlite":
            return None
        server: PostgresServer = request.getfixturevalue("postgres")
        names.append(f"test_{uuid.uuid4().hex}")
        return server.create_database(names[-1])

    yield make
    for name in names:
        request.getfixturevalue("postgres").drop_database(name)
