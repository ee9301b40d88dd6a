"""A server with a synthetic atlas, for tests of several packages. They define the fixture ``atlas``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bsv_store_synthetic import SyntheticAtlas, SyntheticServer


@pytest.fixture
def server(atlas: SyntheticAtlas) -> Iterator[SyntheticServer]:
    """A server on the loopback interface that must have no errors of its own."""
    with SyntheticServer(atlas) as running:
        yield running
        assert running.errors == []
