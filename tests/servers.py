"""A server with a synthetic atlas, for tests of several packages, and the timeouts of its clients.

The packages define the fixture ``atlas``.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bsv_store_synthetic import SyntheticAtlas, SyntheticServer
from bsv_store_synthetic.routes import ReplyCache
from tests.client_defaults import client_defaults


def free_port() -> int:
    """A port of the loopback interface at which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


@pytest.fixture
def reply_cache() -> ReplyCache:
    """The replies that the server has computed; a package whose tests never change its atlas can keep them."""
    return ReplyCache()


@pytest.fixture
def server(atlas: SyntheticAtlas, reply_cache: ReplyCache) -> Iterator[SyntheticServer]:
    """A server on the loopback interface that must have no errors of its own."""
    with SyntheticServer(atlas, cache=reply_cache) as running:
        yield running
        assert running.errors == []


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A function that sets timeouts, attempts and the clock of the clients that a store opens."""

    def set_defaults(**options: Any) -> None:
        for name, value in options.items():
            monkeypatch.setitem(client_defaults(), name, value)

    return set_defaults
