"""A store with the lists of a small synthetic atlas, as it is before volumes and tables are downloaded."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from bsv_store_synthetic import SyntheticAtlas, SyntheticServer
from bsv_store_synthetic.routes import ReplyCache
from tests.stores import store_with

if TYPE_CHECKING:
    from bsv_store import Store

ATLAS = SyntheticAtlas(experiments=6)
"""No test may change it, since all tests of a worker use it."""

REPLIES = ReplyCache()
"""Cache of the replies of its servers, which take long to compute."""


def fill_catalog(store: Store, atlas: SyntheticAtlas = ATLAS) -> None:
    """Synchronize the structures and experiments of an atlas."""
    with SyntheticServer(atlas) as server:
        store.sync_structures(api_url=server.url)
        store.sync_experiments(api_url=server.url)


filled_catalog = store_with(fill_catalog)
"""A fixture: a store of its own for each test, with the structures and experiments of `ATLAS`."""

# Fixtures of the conftest modules of folders whose tests use servers of this atlas.


@pytest.fixture
def small_atlas() -> SyntheticAtlas:
    """The atlas of `tests.servers.server`."""
    return ATLAS


@pytest.fixture
def known_replies() -> ReplyCache:
    """The cache of `tests.servers.server`."""
    return REPLIES


@pytest.fixture(autouse=True)
def retries_at_once(patience: Callable[..., None]) -> None:
    """Let the clients that a store opens retry without waiting."""
    patience(backoff_s=0, read_timeout_s=10)
