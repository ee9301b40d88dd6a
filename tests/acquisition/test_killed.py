"""A process killed at any point leaves nothing wrong behind, and the next run completes."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from sqlalchemy import select

from bsv_store.acquisition.work.claims import Claims
from bsv_store.catalog.database.models import Claim
from bsv_store_synthetic import SyntheticAtlas, SyntheticServer
from tests.acquisition.stored import count
from tests.processes import Child

if TYPE_CHECKING:
    from bsv_store import Store

Launch = Callable[..., Child]
IDS = SyntheticAtlas(experiments=6).experiment_ids[:3]


def check_sound(store: Store, atlas: SyntheticAtlas) -> set[int]:
    """Every recorded volume is right, and what lies beside them is a temporary or a whole file; ids of the recorded."""
    recorded = set(store.sql("SELECT experiment_id FROM volume")["experiment_id"])
    for i in recorded:
        np.testing.assert_array_equal(store.volume(i), atlas.volume(i))
    for path in (store.path / "tmp").iterdir():
        assert path.name.endswith(".tmp")
    return recorded


def killed(launch: Launch, store: Store, server: SyntheticServer, what: str, kill_at: str) -> None:
    process = launch(what, store.path, server.url, IDS, kill_at=kill_at)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (-signal.SIGKILL, "")


@pytest.mark.parametrize(
    ("kill_at", "recorded"),
    [
        ("fetch:downloaded", {0}),
        ("publish:written", {0}),
        ("publish:synced", {0}),
        ("publish:renamed", {0}),
        ("fetch:published", {0}),
        ("fetch:published@3", {0, 1, 2}),
        ("fetch:recorded", {0}),
        # One commit may be for all that has come until then.
        ("fetch:committed", {1, 2, 3}),
    ],
)
def test_a_killed_fetch_is_completed_by_the_next(
    catalog: Store,
    atlas: SyntheticAtlas,
    server: SyntheticServer,
    launch: Launch,
    kill_at: str,
    recorded: set[int],
) -> None:
    killed(launch, catalog, server, "fetch", kill_at)
    there = check_sound(catalog, atlas)
    assert len(there) in recorded
    whole = published(catalog)
    server.requests.clear()
    report = catalog.fetch(IDS, api_url=server.url)
    assert set(report.present) == there
    # What had been published is taken over without asking upstream again.
    assert set(report.recovered) == whole - there
    assert set(report.fetched) == set(IDS) - whole
    assert server.requests.total == len(report.fetched)
    assert check_sound(catalog, atlas) == set(IDS)


@pytest.mark.parametrize("requests", [1, 2, 3, 5, 6])
def test_a_fetch_killed_at_any_time_is_completed_by_the_next(
    catalog: Store, atlas: SyntheticAtlas, server: SyntheticServer, launch: Launch, requests: int
) -> None:
    process = launch("fetch", catalog.path, server.url, atlas.experiment_ids)
    assert server.requests.wait_for(requests, seconds=60)
    process.kill()
    process.communicate(timeout=60)
    there = check_sound(catalog, atlas)
    whole = published(catalog)
    server.requests.clear()
    report = catalog.fetch(atlas.experiment_ids, api_url=server.url)
    assert set(report.present) == there
    assert set(report.recovered) == whole - there
    assert set(report.fetched) == set(atlas.experiment_ids) - whole
    assert check_sound(catalog, atlas) == set(atlas.experiment_ids)


def published(store: Store) -> set[int]:
    folder: Path = store.path / "volumes" / "projection_density" / "100um"
    return {int(path.name.partition(".")[0]) for path in folder.glob("*.h5")} if folder.is_dir() else set()


@pytest.mark.parametrize("kill_at", ["sync:downloaded", "sync:downloaded@2", "sync:committed"])
def test_a_killed_synchronization_is_completed_by_the_next(
    catalog: Store,
    atlas: SyntheticAtlas,
    server: SyntheticServer,
    launch: Launch,
    kill_at: str,
) -> None:
    killed(launch, catalog, server, "sync", kill_at)
    report = catalog.sync_unionizes(IDS, api_url=server.url)
    assert set(report.present) | set(report.fetched) == set(IDS)
    with catalog.database.reading() as connection:
        keys = set(connection.execute(select(Claim.object_key)).scalars())
        # The claims of the dead process still exist, and block no other run.
        assert Claims(catalog.database).free(connection, keys) == keys
    assert count(catalog, "unionize") == sum(len(atlas.unionize(i)) for i in IDS)
