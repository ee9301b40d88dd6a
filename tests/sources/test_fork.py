"""Processes that are forked while the client is in use. White-box: the moment of the fork is inside a transfer."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import numpy as np
import pytest

from bsv_store.sources.allen import AllenClient
from bsv_store.volumes.volume import Volume
from bsv_store_synthetic import SyntheticServer
from tests.catalogs import ATLAS

FIRST, SECOND, THIRD = ATLAS.experiment_ids[:3]

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")


@pytest.fixture
def client(server: SyntheticServer) -> Iterator[AllenClient]:
    with AllenClient(api_url=server.url) as opened:
        yield opened


@pytest.mark.parametrize("how", ["deadline", "abort"])
def test_a_forked_process_leaves_the_transfers_of_its_parent_alone(
    client: AllenClient, server: SyntheticServer, how: str
) -> None:
    """The process is forked in the middle of a transfer, by the thread that makes it."""
    children: list[int] = []

    def fork(count: int) -> None:
        if count == 0 or children:
            return
        child = os.fork()
        if child == 0:
            status = 1
            try:
                connections = client._transfer._connections
                assert connections is not None
                if how == "abort":
                    client.abort()
                else:
                    with connections.limited(0.0):
                        time.sleep(0.3)
                status = 0
            finally:
                os._exit(status)
        children.append(os.waitpid(child, 0)[1])

    volume = client.volume(FIRST, on_bytes=fork).value
    assert isinstance(volume, Volume)
    np.testing.assert_array_equal(volume.array, ATLAS.volume(FIRST))
    assert children == [0]
    assert server.requests.total == 1


def test_a_forked_process_makes_its_own_requests_whatever_its_parent_holds(
    client: AllenClient, server: SyntheticServer
) -> None:
    client.volume(FIRST)
    transfer = client._transfer
    assert transfer._connections is not None
    # As if another thread held them at the moment of the fork.
    with transfer._lock, transfer._connections._lock, transfer._gate._changed:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                signal.alarm(30)
                client.volume(SECOND)
                status = 0
            finally:
                os._exit(status)
        assert os.waitpid(child, 0)[1] == 0
    client.volume(THIRD)
    assert server.requests.total == 3
