"""Collection of garbage beside processes that fetch, adopt, average, read and delete, without a grace period.

The guarantee is then the order of locks and checks, not the time: see `bsv_store.catalog.unused_files`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bsv_store import Store, open_store
from bsv_store.catalog.unused_files import trash_unused
from bsv_store_synthetic import SyntheticAtlas, SyntheticServer, wire_volumes
from tests.maintenance.collecting import NONE, collect, missing_files, use
from tests.plausibility.caches import write_cache
from tests.processes import Child

ATLAS = SyntheticAtlas(experiments=6)
IDS = ATLAS.experiment_ids[:3]


@pytest.fixture
def server() -> Iterator[SyntheticServer]:
    with SyntheticServer(ATLAS) as running:
        yield running
        assert running.errors == []


@pytest.fixture
def catalog(store: Store, server: SyntheticServer) -> Store:
    store.sync_structures(api_url=server.url)
    store.sync_experiments(api_url=server.url)
    server.requests.clear()
    return store


def collecting_at(store: Store, wanted: str) -> tuple[Callable[[str], None], list[int]]:
    """A checkpoint at which another process collects everything without a row, once; and what it collected."""
    orphans: list[int] = []

    def checkpoint(point: str) -> None:
        if point == wanted and not orphans:
            # The time of files has the resolution of the kernel's clock.
            time.sleep(0.01)
            with open_store(store.path) as other:
                report = other.admin.collect_garbage(apply=True, grace=NONE)
                orphans.append(sum(each.kind == "orphan" for each in report.garbage))

    return checkpoint, orphans


def test_a_volume_removed_before_its_row_is_downloaded_again(
    catalog: Store, server: SyntheticServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint, orphans = collecting_at(catalog, "fetch:published")
    monkeypatch.setattr("bsv_store.acquisition.tasks.volumes.checkpoint", checkpoint)
    # Claims protect the file; without them, the check before the commit does.
    monkeypatch.setattr("bsv_store.maintenance.gc.live_keys", lambda _connection: set())
    report = catalog.fetch(IDS[:1], workers=1, api_url=server.url)
    assert orphans == [1]
    assert (report.fetched, report.reasons) == (IDS[:1], {})
    assert missing_files(catalog) == []
    np.testing.assert_array_equal(catalog.volume(IDS[0]), ATLAS.volume(IDS[0]))


def test_a_claim_saves_a_second_download(
    catalog: Store, server: SyntheticServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint, orphans = collecting_at(catalog, "fetch:published")
    monkeypatch.setattr("bsv_store.acquisition.tasks.volumes.checkpoint", checkpoint)
    catalog.fetch(IDS, workers=1, api_url=server.url)
    assert set(orphans) == {0}
    assert server.requests.total == len(IDS)


def test_a_volume_whose_row_is_committed_before_it_would_be_removed_stays(
    catalog: Store, server: SyntheticServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The collection found a file without a row, and the row is committed before its transaction begins."""
    published, may_commit, listed = threading.Event(), threading.Event(), []

    def checkpoint(point: str) -> None:
        if point == "fetch:published":
            published.set()
            assert may_commit.wait(60)

    monkeypatch.setattr("bsv_store.acquisition.tasks.volumes.checkpoint", checkpoint)
    monkeypatch.setattr("bsv_store.maintenance.gc.live_keys", lambda _connection: set())
    fetching = threading.Thread(target=lambda: catalog.fetch(IDS[:1], workers=1, api_url=server.url))
    fetching.start()

    def trash_late(database: Any, files: Any, paths: list[str], *arguments: Any, **options: Any) -> Any:
        listed.extend(paths)
        may_commit.set()
        fetching.join(60)
        return trash_unused(database, files, paths, *arguments, **options)

    monkeypatch.setattr("bsv_store.maintenance.gc.trash_unused", trash_late)
    assert published.wait(60)
    time.sleep(0.01)
    with open_store(catalog.path) as other:
        other.admin.collect_garbage(apply=True, grace=NONE)
    assert len(listed) == 1
    assert not fetching.is_alive()
    assert missing_files(catalog) == []
    np.testing.assert_array_equal(catalog.volume(IDS[0]), ATLAS.volume(IDS[0]))


def test_an_adopted_volume_removed_before_its_row_is_copied_again(
    catalog: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint, orphans = collecting_at(catalog, "adopt:published")
    monkeypatch.setattr("bsv_store.acquisition.adopt.checkpoint", checkpoint)
    cache = write_cache(tmp_path / "cache", IDS[0], {"projection_density": ATLAS.volume(IDS[0])})
    report = catalog.adopt(cache)
    assert orphans == [1]
    assert (report.volumes, report.refused) == (1, ())
    assert missing_files(catalog) == []
    np.testing.assert_array_equal(catalog.volume(IDS[0]), ATLAS.volume(IDS[0]))


def test_an_annotation_removed_before_its_row_is_written_again(
    catalog: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint, orphans = collecting_at(catalog, "atlas-file:published")
    monkeypatch.setattr("bsv_store.acquisition.tasks.atlas_files.checkpoint", checkpoint)
    path = tmp_path / "annotation_100.nrrd"
    path.write_bytes(wire_volumes.annotation_nrrd(100))
    assert catalog.ingest_annotation(path).outcome == "added"
    assert orphans == [1]
    assert missing_files(catalog) == []
    np.testing.assert_array_equal(catalog.atlas.annotation(spacing_um=100), ATLAS.annotation)


def test_a_downloaded_annotation_removed_before_its_row_is_downloaded_again(
    catalog: Store, server: SyntheticServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint, orphans = collecting_at(catalog, "atlas-file:published")
    monkeypatch.setattr("bsv_store.acquisition.tasks.atlas_files.checkpoint", checkpoint)
    monkeypatch.setattr("bsv_store.maintenance.gc.live_keys", lambda _connection: set())
    assert catalog.sync_annotation(spacing_um=100, download_url=server.url).outcome == "fetched"
    assert orphans == [1]
    assert missing_files(catalog) == []
    np.testing.assert_array_equal(catalog.atlas.annotation(spacing_um=100), ATLAS.annotation)


@pytest.mark.parametrize("rounds", [3, pytest.param(40, marks=pytest.mark.long)])
def test_nothing_is_lost_beside_processes_that_use_the_store(
    catalog: Store, server: SyntheticServer, rounds: int
) -> None:
    catalog.fetch(IDS, api_url=server.url)
    users = [
        Child(use, catalog.path, server.url, what, IDS, rounds) for what in ("refresh", "average", "read", "delete")
    ]
    collectors = [Child(collect, catalog.path, 4 * rounds) for _ in range(2)]
    for child in (*users, *collectors):
        output, errors = child.communicate(timeout=500)
        assert (child.returncode, output, errors) == (0, "", "")
    assert missing_files(catalog) == []
    assert catalog.catalog.verify().is_intact
    assert {row.name for row in catalog.datasets.versions().itertuples()} == {"averages"}
    for row in catalog.datasets.versions().itertuples():
        assert catalog.dataset(f"{row.name}@{row.number}").mean.max() > 0
