"""A server with a synthetic atlas, for tests of several packages. They define the fixture ``atlas``."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from bsv_store_synthetic import SyntheticAtlas, SyntheticServer


def free_port() -> int:
    """A port of the loopback interface at which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


@pytest.fixture
def server(atlas: SyntheticAtlas) -> Iterator[SyntheticServer]:
    """A server on the loopback interface that must have no errors of its own."""
    with SyntheticServer(atlas) as running:
        yield running
        assert running.errors == []
