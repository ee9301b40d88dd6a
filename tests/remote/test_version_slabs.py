"""Parts of large versions: only the blocks that they need are downloaded, and each slab is verified."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import text

from bsv_store import Selection, create_store, open_store
from bsv_store.datasets.result import slabs
from bsv_store.errors import DamagedFileError, StoreUnreachableError
from bsv_store.remote import files
from bsv_store.remote.eviction import listed_objects
from bsv_store.remote.objects import ObjectCache
from tests.datasets.test_weighted import PRIMARY, SHARES, add_shares
from tests.datasets.world import add_volume, fill
from tests.remote.lab import Laptop, laptop
from tests.server.image_store import values

# The AP planes 40 to 43.
BOX = ((4_000, 4_350), (0, 8_000), (0, 11_400))


@pytest.fixture(autouse=True)
def _large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Results and files of 100 um are treated as those of 25 um, to be quick."""
    _treat_as_large(monkeypatch)
    monkeypatch.setattr(slabs, "_tables", {})


def _treat_as_large(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(slabs, "_LARGEST_SPACING_UM", 100)
    patch.setattr(files, "_WHOLE_BYTES", 0)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, NDArray[np.float32]]]:
    """The folder of a store with a version of two groups, and its mean.

    There is also a version from before slabs were hashed, one whose weights are only in its file, and one whose weights
    are in the catalog too.
    """
    location = tmp_path_factory.mktemp("lab") / "store"
    with pytest.MonkeyPatch.context() as patch:
        with create_store(location) as store:
            fill(store, volumes=())
            for identifier in (1, 2, 3, 4, 5):
                add_volume(store, identifier, array=values(identifier))
            store.aggregate([1, 2, 3], name="old")
            _treat_as_large(patch)
            store.aggregate(Selection(injected_in="VIS"), group_by="line", name="lines")
            add_shares(store, SHARES)
            store.aggregate(Selection(injected_in="VIS"), weight_by="injection_overlap", name="weighted")
            store.aggregate([1, 2], weight_by="injection_overlap", name="listed")
            with store.database.writing() as connection:
                of_one = "(SELECT id FROM dataset_version WHERE path LIKE '%weighted%')"
                connection.execute(text(f"UPDATE dataset_member SET weight = NULL WHERE version_id = {of_one}"))
        with open_store(location, read_only=True) as store:
            yield location, store.dataset("lines").mean


def part(here: Laptop, group: int = 1) -> NDArray[np.float32]:
    slabs._tables.clear()
    return here.store.dataset("lines").statistic("mean", group=group, box=BOX)


def test_a_slice_downloads_a_small_part_of_the_file_once(lab: tuple[Path, NDArray[np.float32]], tmp_path: Path) -> None:
    location, mean = lab
    with laptop(location, tmp_path / "cache") as here:
        assert np.array_equal(part(here), mean[1, 40:44], equal_nan=True)
        size = here.files.size_bytes(here.store.dataset("lines").relative_path)
        first = here.client.received
        assert size is not None
        assert first < size / 4
        assert np.array_equal(part(here), mean[1, 40:44], equal_nan=True)
        assert here.client.received == first
    with laptop(location, tmp_path / "cache", offline=True) as offline:
        assert np.array_equal(part(offline), mean[1, 40:44], equal_nan=True)
        with pytest.raises(StoreUnreachableError, match="not in the cache"):
            part(offline, group=0)


def test_weights_download_a_small_part_of_the_file(lab: tuple[Path, NDArray[np.float32]], tmp_path: Path) -> None:
    with laptop(lab[0], tmp_path / "cache") as here:
        version = here.store.dataset("weighted")
        assert version.weights() == pytest.approx(PRIMARY)
        assert here.client.received < version.size_bytes / 2


def test_damaged_weights_in_the_cache_are_downloaded_again(
    lab: tuple[Path, NDArray[np.float32]], tmp_path: Path
) -> None:
    with laptop(lab[0], tmp_path / "cache") as here:
        version = here.store.dataset("weighted")
        version.weights()
        (partial,) = [each.path for each in listed_objects(here.cache.folder) if each.is_partial]
        data = partial.read_bytes()
        assert b'"weights":[1.0,' in data
        partial.write_bytes(data.replace(b'"weights":[1.0,', b'"weights":[0.9,'))
        assert version.weights() == pytest.approx(PRIMARY)


def test_weights_in_the_catalog_need_no_file(lab: tuple[Path, NDArray[np.float32]], tmp_path: Path) -> None:
    with laptop(lab[0], tmp_path / "cache") as here:
        version = here.store.dataset("listed")
        requests = len(here.client.requests())
        assert version.weights() == pytest.approx({each: PRIMARY[each] for each in (1, 2)})
        assert len(here.client.requests()) == requests


def test_damage_in_the_cache_is_downloaded_again(lab: tuple[Path, NDArray[np.float32]], tmp_path: Path) -> None:
    location, mean = lab
    random = np.random.default_rng(7)
    with laptop(location, tmp_path / "cache") as here:
        assert np.array_equal(part(here), mean[1, 40:44], equal_nan=True)
        (partial,) = [each.path for each in listed_objects(here.cache.folder) if each.is_partial]
        for _ in range(10):
            data = bytearray(partial.read_bytes())
            for at in random.integers(len(data), size=60):
                data[at] ^= 1 << int(random.integers(8))
            partial.write_bytes(data)
            assert np.array_equal(part(here), mean[1, 40:44], equal_nan=True)


def test_wrong_bytes_of_a_server_are_never_returned(lab: tuple[Path, NDArray[np.float32]], tmp_path: Path) -> None:
    location, mean = lab
    with laptop(location, tmp_path / "cache") as here:
        part(here)
        ranges = [requested[1:] for requested in here.client.requests()]
    for number, (start, stop) in enumerate(ranges):
        with laptop(location, tmp_path / f"cache{number}") as here:
            here.client.flip = (start + stop) // 2
            try:
                found = part(here)
            except DamagedFileError:
                continue
            # Bytes that nothing uses may be wrong.
            assert np.array_equal(found, mean[1, 40:44], equal_nan=True)


def test_a_part_of_a_local_average_is_read_from_its_file(lab: tuple[Path, NDArray[np.float32]], tmp_path: Path) -> None:
    location, _ = lab
    with laptop(location, tmp_path / "cache") as here:
        local = here.store.aggregate([1, 2, 3], name="local")
        slabs._tables.clear()
        found = local.statistic("mean", group=0, box=BOX)
        assert np.array_equal(found, local.mean[0, 40:44], equal_nan=True)


def test_a_file_without_hashes_of_slabs_is_downloaded_once_as_a_whole(
    lab: tuple[Path, NDArray[np.float32]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    location, _ = lab
    with open_store(location, read_only=True) as store:
        expected = store.dataset("old").mean[0, 40:44]
    discarded: list[object] = []
    monkeypatch.setattr(ObjectCache, "discard_damaged", lambda _, file: discarded.append(file))
    with laptop(location, tmp_path / "cache") as here:
        old = here.store.dataset("old")
        for _ in range(2):
            assert np.array_equal(old.statistic("mean", group=0, box=BOX), expected, equal_nan=True)
        assert here.client.received == old.size_bytes
    assert discarded == []
