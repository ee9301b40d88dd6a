"""Slabs of large volumes: only the blocks that they need are downloaded, and each is verified."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from bsv_store import create_store
from bsv_store.catalog.volumes import record_volume
from bsv_store.errors import DamagedFileError, StoreUnreachableError
from bsv_store.remote.eviction import CachedObject, listed_objects
from bsv_store.volumes.library import VolumeFile, publish_volume, read_slab
from bsv_store.volumes.volume import SparseArray
from tests.datasets.world import fill
from tests.remote.lab import Laptop, laptop
from tests.volumes.test_large_damage import Scattered, scattered


@dataclass(frozen=True)
class Lab:
    """A store with one volume at 25 um, of twenty chunks."""

    location: Path
    file: VolumeFile
    volume: Scattered


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    location, volume = tmp_path_factory.mktemp("lab") / "store", scattered(1_300_000)
    with create_store(location) as store:
        fill(store, volumes=(), unionizes=())
        file = publish_volume(store.files, volume, experiment_id=7, source="test")  # type: ignore[arg-type]
        with store.database.writing() as connection:
            record_volume(connection, file)
    return Lab(location, file, volume)


@contextmanager
def opened(lab: Lab, folder: Path, *, offline: bool = False) -> Iterator[Laptop]:
    with laptop(lab.location, folder, offline=offline) as here:
        yield here


def is_right(lab: Lab, here: Laptop, start: int, stop: int) -> bool:
    found, wanted = read_slab(here.files, lab.file, start, stop), lab.volume.part(start, stop)
    assert isinstance(found, SparseArray)
    return np.array_equal(found.index, wanted.index) and np.array_equal(found.values, wanted.values)


def test_a_slab_downloads_a_small_part_of_the_file_once(lab: Lab, tmp_path: Path) -> None:
    with opened(lab, tmp_path / "cache") as here:
        assert is_right(lab, here, 260, 268)
        first = here.client.received
        assert first < lab.file.layout.size_bytes / 5
        assert len(here.client.requests()) <= 12
        assert is_right(lab, here, 262, 266)
        assert here.client.received == first
        assert is_right(lab, here, 300, 308)
        assert first < here.client.received < 2 * first
        assert not here.object(lab.file.path).exists()
    with opened(lab, tmp_path / "cache", offline=True) as offline:
        assert is_right(lab, offline, 261, 268)
        with pytest.raises(StoreUnreachableError, match=r"25um/7\.\S+ .*not in the cache"):
            read_slab(offline.files, lab.file, 400, 408)


def test_all_slabs_together_become_the_whole_file(lab: Lab, tmp_path: Path) -> None:
    with opened(lab, tmp_path / "cache") as here:
        for start in range(0, 528, 66):
            assert is_right(lab, here, start, start + 66)
        # Parts of the file that no slab needs may be missing.
        assert here.client.received <= lab.file.layout.size_bytes
        here.files.path(lab.file.path)
        assert here.client.received == lab.file.layout.size_bytes
        assert not list((here.cache.folder / "partial").rglob("*.blocks"))


def test_damage_in_the_cache_is_downloaded_again(lab: Lab, tmp_path: Path) -> None:
    random = np.random.default_rng(5)
    with opened(lab, tmp_path / "cache") as here:
        assert is_right(lab, here, 260, 268)
        (partial,) = [each.path for each in _partials(here)]
        size = partial.stat().st_size
        for _ in range(12):
            # Bits of all blocks that are present.
            data = bytearray(partial.read_bytes())
            for at in random.integers(size, size=40):
                data[at] ^= 1 << int(random.integers(8))
            partial.write_bytes(data)
            assert is_right(lab, here, 260, 268)


def test_a_server_that_sends_wrong_bytes_gives_an_error(lab: Lab, tmp_path: Path) -> None:
    with opened(lab, tmp_path / "cache") as here:
        assert is_right(lab, here, 260, 268)
        ranges = [part[1:] for part in here.client.requests()]
    for number, (start, stop) in enumerate(ranges):
        with opened(lab, tmp_path / f"cache{number}") as here:
            # Bytes that nobody uses may be wrong.
            here.client.flip = (start + stop) // 2
            with suppress(DamagedFileError):
                assert is_right(lab, here, 260, 268)


def test_a_connection_that_is_lost_is_an_error_of_the_server_not_damage(lab: Lab, tmp_path: Path) -> None:
    with opened(lab, tmp_path / "cache") as here:
        assert is_right(lab, here, 260, 262)
        here.client.is_down = True
        with pytest.raises(StoreUnreachableError, match="connection refused"):
            read_slab(here.files, lab.file, 300, 308)
        here.client.is_down = False
        assert is_right(lab, here, 300, 308)


def _partials(here: Laptop) -> list[CachedObject]:
    return [each for each in listed_objects(here.cache.folder) if each.is_partial]
