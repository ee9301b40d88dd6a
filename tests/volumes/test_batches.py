"""Many volumes are read batch by batch: the same voxels as one by one, in bounded memory, damage by its place."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bsv_store.errors import DamagedFileError
from bsv_store.volumes import batches
from bsv_store.volumes.batches import Content, Voxels, read_in_batches
from bsv_store.volumes.files import StoreFiles
from bsv_store.volumes.grid import Grid
from bsv_store.volumes.library import VolumeFile, publish_volume, read_slab
from bsv_store.volumes.volume import SparseArray, Volume
from tests.counting import counted

GRID = Grid(100)
WHOLE = (0, GRID.shape[0])


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[VolumeFile]]:
    """Seven volumes, no two alike; the third is a mask (dense), the fifth has a voxel without data, the last none."""
    folder = tmp_path_factory.mktemp("originals")
    random = np.random.default_rng(5)
    found = []
    for number in range(7):
        array = np.zeros(GRID.shape, np.float32)
        if number < 6:
            array[5 + number : 40] = random.random((35 - number, *GRID.shape[1:]), dtype=np.float32)
            array[random.random(GRID.shape) > 0.1] = 0
        if number == 2:
            array[:] = 1
        if number == 4:
            array[20, 20, 20] = np.nan
        volume = Volume("data_mask", array)
        found.append(publish_volume(StoreFiles(folder), volume, experiment_id=number, source="test"))
    return folder, found


@pytest.fixture
def files(originals: tuple[Path, list[VolumeFile]], tmp_path: Path) -> StoreFiles:
    """The files in a copy of their folder."""
    shutil.copytree(originals[0], tmp_path / "files")
    return StoreFiles(tmp_path / "files")


@pytest.fixture
def published(originals: tuple[Path, list[VolumeFile]]) -> list[VolumeFile]:
    return originals[1]


def copies(batch: Sequence[Content]) -> list[Content]:
    """What a batch holds, kept beyond it."""
    return [content if isinstance(content, DamagedFileError) else list(map(copied, content)) for content in batch]


def copied(voxels: Voxels) -> Voxels:
    if isinstance(voxels, SparseArray):
        return SparseArray(voxels.grid, voxels.index.copy(), voxels.values.copy(), voxels.complete)
    return voxels.copy()


def read(
    files: StoreFiles,
    requests: Sequence[Sequence[VolumeFile]],
    planes: tuple[int, int] = WHOLE,
    batch_bytes: int = 10**7,
) -> list[list[Content]]:
    return [copies(batch) for batch in read_in_batches(files, requests, *planes, batch_bytes=batch_bytes)]


def assert_same(found: Voxels, expected: Voxels) -> None:
    assert type(found) is type(expected)
    if isinstance(found, SparseArray) and isinstance(expected, SparseArray):
        np.testing.assert_array_equal(found.index, expected.index)
        np.testing.assert_array_equal(found.values, expected.values)
    else:
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("size", [1, 400_000, 2_000_000, 10**9])
@pytest.mark.parametrize("planes", [WHOLE, (10, 30), (0, 30)])
def test_batches_of_any_size_hold_what_one_by_one_holds(
    files: StoreFiles,
    published: list[VolumeFile],
    size: int,
    planes: tuple[int, int],
) -> None:
    requests = [(file, published[2]) if number % 2 else (file,) for number, file in enumerate(published)]
    found = read(files, requests, planes, size)
    assert len(found) == (7 if size == 1 else 1) if size in (1, 10**9) else 1 < len(found) <= 7
    contents = [content for batch in found for content in batch]
    assert len(contents) == len(requests)
    for content, request in zip(contents, requests, strict=True):
        assert isinstance(content, list)
        for voxels, file in zip(content, request, strict=True):
            assert_same(voxels, read_slab(files, file, *planes))


def test_nothing_asked_for_is_nothing_read(files: StoreFiles) -> None:
    assert read(files, []) == []


def test_every_file_is_opened_and_read_once(files: StoreFiles, published: list[VolumeFile]) -> None:
    with counted() as work:
        read(files, [(file,) for file in published])
    assert work.opened == work.read == [Path(file.path).name for file in published]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files are counted in /proc")
def test_few_files_are_open_at_a_time_and_none_at_the_end(
    files: StoreFiles, published: list[VolumeFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    def open_files() -> int:
        return sum(path.is_symlink() and path.readlink().suffix == ".h5" for path in Path("/proc/self/fd").iterdir())

    seen = []
    read_into = StoreFiles.read_into

    def counting(self: StoreFiles, *arguments: Any, **recorded: Any) -> None:
        seen.append(open_files())
        read_into(self, *arguments, **recorded)

    monkeypatch.setattr(StoreFiles, "read_into", counting)
    monkeypatch.setattr(batches, "_AHEAD", 2)
    read(files, [(file, published[0]) for file in published])
    assert len(seen) == 2 * len(published)
    assert max(seen) == 3
    assert open_files() == 0


def test_what_is_read_cannot_be_changed(files: StoreFiles, published: list[VolumeFile]) -> None:
    for batch in read_in_batches(files, [(file,) for file in published], *WHOLE, batch_bytes=10**7):
        for content in batch:
            assert isinstance(content, list)
            for voxels in content:
                array = voxels.values if isinstance(voxels, SparseArray) else voxels
                assert not array.flags.writeable


def test_only_volumes_without_gaps_are_known_to_be_complete(files: StoreFiles, published: list[VolumeFile]) -> None:
    (batch,) = read(files, [(published[0],), (published[4],)])
    complete = [content[0].complete for content in batch if isinstance(content, list)]  # type: ignore[union-attr]
    assert complete == [True, False]


@pytest.mark.parametrize("size", [1, 10**9])
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.unlink(), "is missing"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "bytes long"),
        (lambda path: path.write_bytes(path.read_bytes() + b"x"), "bytes long"),
        (lambda path: path.write_bytes(path.read_bytes()[:-9] + b"x" * 9), "differs from what was stored"),
    ],
)
def test_damaged_files_are_reported_and_the_others_are_read(
    files: StoreFiles,
    published: list[VolumeFile],
    spoil: object,
    message: str,
    size: int,
) -> None:
    spoil(files.path(published[3].path))  # type: ignore[operator]
    requests = [(file, published[3]) if number == 5 else (file,) for number, file in enumerate(published)]
    contents = [content for batch in read(files, requests, batch_bytes=size) for content in batch]
    for number, content in enumerate(contents):
        if number in (3, 5):
            assert isinstance(content, DamagedFileError)
            assert message in str(content)
        else:
            assert isinstance(content, list)
            assert_same(content[0], read_slab(files, published[number], *WHOLE))


def test_stopping_early_leaves_no_thread(files: StoreFiles, published: list[VolumeFile]) -> None:
    before = set(threading.enumerate())
    reading = read_in_batches(files, [(file,) for file in published], *WHOLE, batch_bytes=1)
    next(reading)
    reading.close()  # type: ignore[attr-defined]
    assert set(threading.enumerate()) == before


def test_slabs_of_large_volumes_come_in_batches_as_well(files: StoreFiles) -> None:
    large = Grid(25)
    array = np.zeros(large.shape, np.float32)
    array[100:110, 50, 60:70] = 0.5
    file = publish_volume(files, Volume("projection_density", array), experiment_id=1, source="test")
    found = read(files, [(file,), (file,)], (104, 200))
    # One by one: what a slab takes is known only when it has been read.
    assert [len(batch) for batch in found] == [1, 1]
    for (content,) in found:
        assert isinstance(content, list)
        assert_same(content[0], read_slab(files, file, 104, 200))
