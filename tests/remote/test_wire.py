"""Files and averages over HTTP, through a network that loses connections and flips bits: right bytes or an error."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bsv_store import Selection, Store, by_field, create_store, open_store
from bsv_store.catalog.volume_lookup import stored_volume
from bsv_store.catalog.volumes import record_volume
from bsv_store.errors import BsvStoreError, BsvStoreWarning, StoreUnreachableError
from bsv_store.remote.objects import ObjectCache
from bsv_store.volumes.large import dense_planes
from bsv_store.volumes.library import publish_volume, read_slab
from tests.datasets.world import IDS, fill, voxels
from tests.remote.wire import Wire, wire_to
from tests.server.serving import serving
from tests.volumes.test_large_damage import scattered

LARGE = scattered(400_000)


@dataclass(frozen=True)
class Served:
    """A store that is served, and the address of the server."""

    location: Path
    url: str
    large_bytes: int


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    location = tmp_path_factory.mktemp("lab") / "store"
    with create_store(location) as store:
        fill(store)
        file = publish_volume(store.files, LARGE, experiment_id=7, source="test")  # type: ignore[arg-type]
        with store.database.writing() as connection:
            record_volume(connection, file)
    with open_store(location, read_only=True) as store, serving(store) as url:
        yield Served(location, url, file.layout.size_bytes)


@pytest.fixture
def wire(served: Served, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Wire]:
    monkeypatch.setenv("BSV_STORE_CACHE", str(tmp_path / "cache"))
    with wire_to(served.url) as found:
        yield found


def planes(store: Store, start: int) -> NDArray[np.float32]:
    """Four planes of the volume at 25 um."""
    file = stored_volume(store.database, 7, kind="projection_density", spacing_um=25)
    return dense_planes(read_slab(store.files, file, start, start + 4), start, start + 4)


def test_volumes_slabs_and_averages_are_those_of_the_folder(served: Served, wire: Wire, tmp_path: Path) -> None:
    with open_store(wire.url) as store:
        assert isinstance(store.files.cache, ObjectCache)  # type: ignore[attr-defined]
        assert (store.volume(3) == voxels(3)).all()
        before = wire.received
        assert np.array_equal(planes(store, 260), LARGE.part(260, 264).dense_planes(260, 264))
        assert wire.received - before < served.large_bytes / 2
        local = store.aggregate(Selection(ids=IDS), name="all", group_by=by_field("line"), statistics=["sd"])
        assert local.was_computed
        bundle = local.export(tmp_path / "all.bsv.zip")
    with create_store(tmp_path / "other") as other:
        fill(other)
        assert other.datasets.import_bundle(bundle).origin.standing == "imported, checked"
        assert other.dataset("all").file_sha256 == local.file_sha256


@pytest.mark.parametrize(("cuts", "flips"), [(0.05, 0.0), (0.0, 0.03), (0.04, 0.02)])
def test_faults_of_the_network_never_give_wrong_bytes(served: Served, wire: Wire, cuts: float, flips: float) -> None:
    right = errors = 0
    with open_store(wire.url) as store:
        wire.cuts, wire.flips = cuts, flips
        for identifier in IDS * 2:
            try:
                found = store.volume(identifier)
            except BsvStoreError:
                errors += 1
                continue
            right += 1
            assert (found == voxels(identifier)).all()
        for start in (150, 260, 390):
            try:
                part = planes(store, start)
            except BsvStoreError:
                errors += 1
                continue
            assert np.array_equal(part, LARGE.part(start, start + 4).dense_planes(start, start + 4))
    assert wire.lost + wire.flipped > 3
    assert right >= len(IDS)


def test_without_the_server_the_cache_answers(served: Served, wire: Wire) -> None:
    with open_store(wire.url) as store:
        store.volume(3)
        version = store.aggregate([3], name="one")
    wire.cuts = 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BsvStoreWarning)
        with open_store(wire.url) as store:
            assert (store.volume(3) == voxels(3)).all()
            assert store.aggregate([3], name="one") == version
            with pytest.raises(StoreUnreachableError, match=r"100um/4\.\S+ .*not in the cache"):
                store.volume(4)
