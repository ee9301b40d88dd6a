from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from bsv_store.acquisition.work.claims import Claims
from bsv_store.acquisition.work.connections import claim_connections
from bsv_store_synthetic import SyntheticAtlas, SyntheticServer
from bsv_store_synthetic.faults import Gate
from tests.acquisition.stored import count
from tests.databases import both_databases, sqlite_first

if TYPE_CHECKING:
    from bsv_store import Store

pytestmark = both_databases

MAX_CONNECTIONS = 16
"""The default of the setting ``max_connections``."""


def shares(store: Store, *wanted: int, host: str = "allen") -> tuple[list[int], list[Claims]]:
    claims = [Claims(store.database) for _ in wanted]
    return [
        claim_connections(store.database, run, host, wanted=number, limit=MAX_CONNECTIONS)
        for run, number in zip(claims, wanted, strict=True)
    ], claims


def hold_replies_until_two_are_asked_for_at_once(server: SyntheticServer) -> None:
    opened = threading.Event()

    def asked(_request: object) -> bool:
        if server.requests.peak == 2:
            opened.set()
        return True

    server.fail(asked, Gate(opened), times=None)


def test_runs_share_the_connections_and_each_has_one(store: Store) -> None:
    granted, runs = shares(store, 4, 10, 4, 4, 1)
    assert granted == [4, 10, 2, 1, 1]
    # Those of another host are others.
    assert shares(store, 4, host="elsewhere")[0] == [4]
    runs[1].release_all()
    assert shares(store, 16)[0] == [10]


def test_runs_that_begin_at_once_take_no_connection_twice(store: Store) -> None:
    granted: list[int] = []

    def begin() -> None:
        granted.extend(shares(store, 4)[0])

    threads = [threading.Thread(target=begin) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert count(store, "claim") == sum(granted) == MAX_CONNECTIONS


@sqlite_first
@pytest.mark.parametrize("left", [0, 1])
def test_a_fetch_makes_do_with_what_is_left(
    catalog: Store, atlas: SyntheticAtlas, server: SyntheticServer, left: int
) -> None:
    _, (others,) = shares(catalog, MAX_CONNECTIONS - left, host=server.url.removeprefix("http://"))
    report = catalog.fetch(atlas.experiment_ids, api_url=server.url)
    assert report.fetched == atlas.experiment_ids
    assert server.requests.peak == 1
    others.release_all()
    assert count(catalog, "claim") == 0


@sqlite_first
def test_a_fetch_downloads_as_many_at_a_time_as_it_may(
    catalog: Store, atlas: SyntheticAtlas, server: SyntheticServer
) -> None:
    """Also though it has more threads than connections."""
    hold_replies_until_two_are_asked_for_at_once(server)
    catalog.fetch(atlas.experiment_ids, workers=2, api_url=server.url)
    assert server.requests.peak == 2


@sqlite_first
def test_the_settings_limit_the_downloads_of_one_run_and_of_all(
    catalog: Store, atlas: SyntheticAtlas, server: SyntheticServer
) -> None:
    catalog.admin.configure("fetch_workers", 1)
    half = len(atlas.experiment_ids) // 2
    catalog.fetch(atlas.experiment_ids[:half], api_url=server.url)
    assert server.requests.peak == 1
    catalog.admin.configure("max_connections", 2)
    hold_replies_until_two_are_asked_for_at_once(server)
    # More than all runs together may open.
    catalog.fetch(atlas.experiment_ids[half:], workers=8, api_url=server.url)
    assert server.requests.peak == 2
