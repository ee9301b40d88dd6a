"""A store with the lists of a small synthetic atlas, as it is before volumes and tables are downloaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
