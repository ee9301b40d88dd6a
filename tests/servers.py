"""A server with a synthetic atlas, for tests of several packages, and the timeouts of its clients.

The packages define the fixture ``atlas``.
"""

from __future__ import annotations

import json
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


def with_one_doubled_density(experiment_id: int) -> Callable[[bytes], bytes]:
    """A change of a reply with unionize rows: one projection density of the experiment contradicts its pixels."""

    def spoil(body: bytes) -> bytes:
        reply = json.loads(body)
        row = next(
            each
            for each in reply["msg"]
            if each["section_data_set_id"] == experiment_id
            and not each["is_injection"]
            and each["hemisphere_id"] == 1
            and each["projection_density"] > 0
        )
        row["projection_density"] *= 2
        return json.dumps(reply).encode()

    return spoil


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
