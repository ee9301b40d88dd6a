"""The cache of files of remote stores: one verified download of each, whatever happens on the way."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from bsv_store.catalog.volumes import find_volumes
from bsv_store.errors import DamagedFileError, NoSpaceError, ReadOnlyStoreError, StoreUnreachableError
from bsv_store.progress import NoProgress
from bsv_store.remote import files, locks, objects
from bsv_store.remote.objects import ObjectCache
from bsv_store.remote.partial import BLOCK_BYTES
from bsv_store.volumes import file_identity
from bsv_store.volumes.batches import read_in_batches
from bsv_store.volumes.files import hashes_of
from bsv_store.volumes.library import VolumeFile
from tests.datasets.world import voxels
from tests.remote.lab import Laptop, laptop, reading


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def flip(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        (byte,) = file.read(1)
        file.seek(at)
        file.write(bytes([byte ^ 4]))


def test_a_volume_is_downloaded_once_and_equal(here: Laptop) -> None:
    for _ in range(2):
        assert (here.store.volume(3) == voxels(3)).all()
    assert len(here.client.requests()) == 1
    here.client.is_down = True
    assert (here.store.volume(3) == voxels(3)).all()


@pytest.mark.parametrize(("settled_ns", "hashed"), [(0, 1), (10**18, 3)])
def test_the_bytes_of_a_path_are_compared_with_their_hash_until_its_times_have_settled(
    here: Laptop, monkeypatch: pytest.MonkeyPatch, settled_ns: int, hashed: int
) -> None:
    """A change within a tick of the file system's clock does not change the times."""
    calls: list[object] = []
    monkeypatch.setattr(file_identity, "_SETTLED_NS", settled_ns)

    def counted(opened: Any) -> Any:
        calls.append(opened)
        return hashes_of(opened)

    monkeypatch.setattr(files, "hashes_of", counted)
    path = here.files.path(here.paths()[0])
    # The clock of the file system may be behind.
    os.utime(path, (1, 1))
    while settled_ns == 0 and path.stat().st_ctime_ns >= time.time_ns():
        time.sleep(0.001)
    calls.clear()
    for _ in range(3):
        assert here.files.path(here.paths()[0]) == path
    assert len(calls) == hashed


def test_files_and_folders_are_private(here: Laptop) -> None:
    here.store.volume(3)
    here.store.volume(4)
    for path in here.cache.folder.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    assert not [path for path in (here.cache.folder / "locks").iterdir()]
    assert not [path for path in (here.cache.folder / "partial").rglob("*") if path.is_file()]


def test_an_object_is_named_by_its_hash_with_the_ending_of_its_format(here: Laptop) -> None:
    path = here.paths()[0]
    found = here.files.path(path)
    digest = sha256(found)
    assert found == here.cache.folder / "objects" / digest[:2] / f"{digest}.h5"


def test_many_threads_make_one_request(here: Laptop) -> None:
    here.client.delay_s = 0.02
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(here.files.path, here.paths()[:2] * 8))
    assert len(set(found)) == 2
    assert len(here.client.requests()) == 2


def test_two_processes_make_one_request(lab: Path, here: Laptop) -> None:
    path = here.paths()[0]
    children = [reading(lab, here.cache.folder, path, delay_s=0.2) for _ in range(2)]
    outputs = [child.communicate(timeout=60) for child in children]
    assert outputs == [(here.files.catalog.find(path).sha256, "")] * 2
    assert len(here.client.requests()) == 1


def test_a_fork_during_a_download_holds_no_lock(here: Laptop) -> None:
    first, second = here.paths()[:2]
    found = here.files.catalog.find(first)
    inherited: set[int] = locks._held
    lock = here.cache.folder / "locks" / found.sha256
    lock.parent.mkdir(parents=True)
    with contextlib.ExitStack() as parent:
        parent.enter_context(locks.locked(lock, first))
        parent.enter_context(objects._pinning)
        child = os.fork()
        if not child:
            signal.alarm(20)
            is_waiting = not inherited and locks._try(lock) is None
            here.files.path(second)
            os._exit(0 if is_waiting else 3)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize("point", ["cache:block", "cache:synced", "cache:renamed"])
def test_a_killed_download_blocks_nobody_and_is_continued(lab: Path, here: Laptop, point: str) -> None:
    path = here.paths()[0]
    child = reading(lab, here.cache.folder, path, kill_at=point)
    child.communicate(timeout=60)
    assert child.returncode == -signal.SIGKILL
    began = time.monotonic()
    assert sha256(here.files.path(path)) == here.files.catalog.find(path).sha256
    assert time.monotonic() - began < 5
    # What the killed process had received is not requested again.
    starts = [start for _, start, _ in here.client.requests()]
    assert len(starts) == len(set(starts)), starts


def test_a_cut_download_continues_with_the_missing_blocks(here: Laptop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.remote.lab._PIECE", BLOCK_BYTES // 2)
    path = max(here.paths(), key=lambda each: here.files.catalog.find(each).size_bytes)
    size = here.files.catalog.find(path).size_bytes
    assert size > BLOCK_BYTES
    here.client.cut = BLOCK_BYTES
    with pytest.raises(StoreUnreachableError, match="cut"):
        here.files.path(path)
    here.client.cut = None
    here.files.path(path)
    assert [part[1:] for part in here.client.requests()] == [(0, size), (BLOCK_BYTES, size)]


def test_blocks_are_complete_although_each_write_writes_a_part(here: Laptop, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.pwrite

    def part(descriptor: int, data: bytes, at: int) -> int:
        return write(descriptor, data[: -(-len(data) // 2)], at)

    monkeypatch.setattr(os, "pwrite", part)
    assert (here.store.volume(3) == voxels(3)).all()
    assert len(here.client.requests()) == 1


@pytest.mark.parametrize("damage", ["flipped", "truncated", "emptied"])
def test_a_damaged_object_is_downloaded_again_once(here: Laptop, damage: str) -> None:
    here.store.volume(3)
    (path,) = [each for each in here.paths() if "/3." in each]
    found = here.object(path)
    if damage == "flipped":
        flip(found, found.stat().st_size - 100)
    else:
        os.truncate(found, found.stat().st_size // 2 if damage == "truncated" else 0)
    assert (here.store.volume(3) == voxels(3)).all()
    assert len(here.client.requests()) == 2
    assert sha256(found) == here.files.catalog.find(path).sha256


def test_damage_is_noticed_when_many_volumes_are_read_into_buffers(here: Laptop) -> None:
    wanted = _volume_files(here)
    for _ in read_in_batches(here.files, [[each] for each in wanted], 0, 132, batch_bytes=10**7):
        pass
    flip(here.object(wanted[2].path), 70_000)
    (batch,) = list(read_in_batches(here.files, [[each] for each in wanted], 0, 132, batch_bytes=10**7))
    assert all(isinstance(each, list) for each in batch)
    assert len(here.client.requests()) == len(wanted) + 1


def _volume_files(here: Laptop) -> list[VolumeFile]:
    with here.store.database.reading() as connection:
        return list(find_volumes(connection, [1, 2, 3, 4], kind="projection_density", spacing_um=100).values())


def test_a_server_that_sends_a_wrong_byte_once_is_asked_again(here: Laptop) -> None:
    here.client.flip, here.client.flips = 5_000, 1
    assert (here.store.volume(3) == voxels(3)).all()
    assert len(here.client.requests()) == 2


def test_a_server_that_sends_wrong_bytes_is_named_and_nothing_is_kept(here: Laptop) -> None:
    here.client.flip = 5_000
    with pytest.raises(DamagedFileError, match=r"projection_density/100um/3\.\S+: https://lab.example/bsv sent"):
        here.store.volume(3)
    assert len(here.client.requests()) == 2
    assert not [path for kind in ("objects", "partial") for path in (here.cache.folder / kind).rglob("*.*")]


def test_offline_the_error_names_the_file_and_what_is_cached(lab: Path, here: Laptop) -> None:
    here.store.volume(3)
    here.client.is_down = True
    with pytest.raises(StoreUnreachableError, match=r"100um/4\.\S+ .*is not in the cache.*refused") as caught:
        here.store.volume(4)
    assert caught.value.hint is not None
    assert "The cache has 1 file (" in caught.value.hint
    assert caught.value.message.count("100um/4.") == 1
    assert not [each for each in (here.cache.folder / "partial").rglob("*") if each.is_file()]
    with laptop(lab, here.cache.folder, offline=True) as offline:
        assert (offline.store.volume(3) == voxels(3)).all()
        with pytest.raises(StoreUnreachableError, match="used offline"):
            offline.store.volume(4)


def test_prefetch_downloads_several_files_at_a_time(here: Laptop) -> None:
    here.client.delay_s = 0.05
    seen: list[tuple[int, int]] = []

    class Seen(NoProgress):
        def advance(self, count: int = 1, *, size_bytes: int = 0) -> None:
            seen.append((count, size_bytes))

    files = [here.files.catalog.find(path) for path in here.paths()]
    began = time.monotonic()
    here.cache.prefetch(files, here.client, Seen())
    alone = len(here.client.sent) * 0.05
    assert time.monotonic() - began < alone / 2
    assert sum(count for count, _ in seen) == len(files)
    assert sum(size for _, size in seen) == sum(each.size_bytes for each in files)


def test_if_one_download_fails_the_others_stop_and_continue_next_time(here: Laptop) -> None:
    files = [here.files.catalog.find(path) for path in here.paths()]
    content = here.client.paths.pop(files[-1].sha256)
    here.client.delay_s = 0.3
    began = time.monotonic()
    with pytest.raises(KeyError, match=files[-1].sha256):
        here.cache.prefetch(files, here.client, NoProgress())
    assert time.monotonic() - began < 0.8
    here.client.delay_s, here.client.paths[files[-1].sha256] = 0, content
    here.cache.prefetch(files, here.client, NoProgress())
    assert all(map(here.cache.has, files))
    assert sum(here.client.sent) <= sum(each.size_bytes for each in files)


def test_a_search_through_many_volumes_downloads_several_at_a_time(here: Laptop) -> None:
    here.client.delay_s = 0.02
    frame = here.store.search.point((7000, 4000, 5000))
    assert len(frame) == len(here.client.requests()) == 7
    assert len(here.client.threads) > 1


def test_the_least_recently_used_objects_are_evicted_but_none_in_use(lab: Path, tmp_path: Path) -> None:
    with laptop(lab, tmp_path / "cache") as here:
        sizes = {each: here.files.catalog.find(each).size_bytes for each in here.paths()}
        paths = here.paths()
        limit = round(3.5 * max(sizes.values()))
    with laptop(lab, tmp_path / "cache", max_bytes=limit) as here:
        found = [here.files.catalog.find(path) for path in paths]
        for age, file in zip((300, 100, 200), found[:3], strict=True):
            path = here.cache.ensure(file, here.client)
            for each in (path, here.cache.folder / "uses" / file.sha256[:2] / file.sha256):
                os.utime(each, (time.time() - age, time.time() - age))
        with here.cache.in_use([found[0]]):
            here.cache.ensure(found[3], here.client)
        # The oldest was in use; of the others the one that was not used for the longest time is gone.
        assert [here.cache.has(file) for file in found[:4]] == [True, True, False, True]


def test_a_full_disk_names_the_cache_and_how_to_free_it(here: Laptop, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bsv_store.remote.partial.os.pwrite", full)
    with pytest.raises(NoSpaceError, match="no space left in the cache") as caught:
        here.store.volume(3)
    assert "bsv-store cache prune" in str(caught.value.hint)
    monkeypatch.undo()


def test_in_a_cache_that_cannot_be_written_what_it_has_can_be_read(
    here: Laptop, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.store.volume(3)
    open_file = os.open

    def refused(path: object, flags: int, *mode: int) -> int:
        if flags & os.O_CREAT:
            raise PermissionError(13, "Permission denied")
        return open_file(path, flags, *mode)  # type: ignore[arg-type]

    monkeypatch.setattr("bsv_store.remote.locks.os.open", refused)
    assert (here.store.volume(3) == voxels(3)).all()
    with pytest.raises(ReadOnlyStoreError, match="no permission to write") as caught:
        here.store.volume(4)
    assert "Choose another folder: export BSV_STORE_CACHE=FOLDER" in str(caught.value.hint)
    monkeypatch.undo()


def test_nothing_is_written_through_the_files_of_a_remote_store(here: Laptop) -> None:
    for write in (
        lambda: here.files.publish("volumes/a.h5", b"a"),
        lambda: here.files.trash("volumes/a.h5", "orphan"),
        lambda: here.files.temporary().__enter__(),
        here.files.server_time,
    ):
        with pytest.raises(ReadOnlyStoreError, match="can only be read from here"):
            write()


def test_the_cache_can_be_pickled(here: Laptop) -> None:
    import pickle

    here.store.volume(3)
    again = pickle.loads(pickle.dumps(here.cache))
    assert isinstance(again, ObjectCache)
    assert again.has(here.files.catalog.find(next(each for each in here.paths() if "/3." in each)))
