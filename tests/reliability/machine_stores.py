"""The two stores with which each sequence of `test_state_machine` starts, and their states in the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bsv_store_synthetic import SyntheticServer
from bsv_store_synthetic.routes import ReplyCache
from tests.reliability.model import FIRST_IDS, IDS, Facts, Upstream
from tests.reliability.tracked_store import State

if TYPE_CHECKING:
    from bsv_store import Store


def offer(server: SyntheticServer, upstream: Upstream, ids: Sequence[int]) -> None:
    """Let Allen's server have these experiments, in their first edition."""
    upstream.editions.clear()
    upstream.editions.update(dict.fromkeys(ids, 0))
    # Replies are cached.
    server._cache = ReplyCache()


def fill_first(store: Store, server: SyntheticServer, upstream: Upstream) -> None:
    """Some of everything, of all experiments but two, which Allen's server gets later."""
    url = server.url
    offer(server, upstream, FIRST_IDS)
    store.sync_structures(api_url=url)
    store.sync_experiments(api_url=url)
    store.sync_unionizes(list(FIRST_IDS[:4]), api_url=url)
    store.fetch(list(FIRST_IDS[:4]), api_url=url)
    store.fetch(list(FIRST_IDS[:2]), kind="injection_fraction", api_url=url)


def first_state() -> State:
    """What `fill_first` stores."""
    facts: Facts = {("listed", each): (0, False) for each in FIRST_IDS}
    facts |= {("table", each): 0 for each in FIRST_IDS[:4]}
    facts |= {("volume", "projection_density", each): 0 for each in FIRST_IDS[:4]}
    facts |= {("volume", "injection_fraction", each): 0 for each in FIRST_IDS[:2]}
    return State(facts)


def fill_other(store: Store, server: SyntheticServer, upstream: Upstream) -> None:
    """All experiments in the list, without unionize tables, and two volumes."""
    url = server.url
    offer(server, upstream, IDS)
    store.sync_structures(api_url=url)
    store.sync_experiments(api_url=url)
    store.fetch(list(IDS[:2]), api_url=url)


def other_state() -> State:
    """What `fill_other` stores."""
    facts: Facts = {("listed", each): (0, False) for each in IDS}
    facts |= {("volume", "projection_density", each): 0 for each in IDS[:2]}
    return State(facts)
