"""Many volumes are read in order: the same voxels as one by one, in bounded memory, damage by its place."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bsv_store.errors import DamagedFileError
from bsv_store.volumes import reading
from bsv_store.volumes.files import StoreFiles
from bsv_store.volumes.grid import Grid
from bsv_store.volumes.library import VolumeFile, publish_volume, read_slab
from bsv_store.volumes.reading import Content, Voxels, read_in_order
from bsv_store.volumes.volume import SparseArray, Volume
from tests.counting import counted

GRID = Grid(100)
WHOLE = (0, GRID.shape[0])


@pytest.fixture
def files(tmp_path: Path) -> StoreFiles:
    return StoreFiles(tmp_path)


@pytest.fixture
def published(files: StoreFiles) -> list[VolumeFile]:
    """Seven volumes, no two alike; the third is a mask (dense), the fifth has a voxel without data, the last none."""
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
        found.append(publish_volume(files, Volume("data_mask", array), experiment_id=number, source="test"))
    return found


def copied(voxels: Voxels) -> Voxels:
    if isinstance(voxels, SparseArray):
        return SparseArray(voxels.grid, voxels.index.copy(), voxels.values.copy(), voxels.complete)
    return voxels.copy()


def read(files: StoreFiles, requests: Sequence[Sequence[VolumeFile]], planes: tuple[int, int] = WHOLE) -> list[Content]:
    """The contents, copied before the next one is read."""
    return [
        content if isinstance(content, DamagedFileError) else list(map(copied, content))
        for content in read_in_order(files, requests, *planes)
    ]


def assert_same(found: Voxels, expected: Voxels) -> None:
    assert type(found) is type(expected)
    if isinstance(found, SparseArray) and isinstance(expected, SparseArray):
        np.testing.assert_array_equal(found.index, expected.index)
        np.testing.assert_array_equal(found.values, expected.values)
    else:
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("mask", [2, 0], ids=["with a dense mask", "sparse only"])
@pytest.mark.parametrize("planes", [WHOLE, (10, 30), (0, 30)])
def test_requests_in_order_hold_what_each_file_holds(
    files: StoreFiles, published: list[VolumeFile], mask: int, planes: tuple[int, int]
) -> None:
    volumes = published if mask == 2 else [file for file in published if file.layout.encoding == "sparse"]
    requests = [(file, published[mask]) if number % 2 else (file,) for number, file in enumerate(volumes)]
    contents = read(files, requests, planes)
    assert len(contents) == len(requests)
    for content, request in zip(contents, requests, strict=True):
        assert isinstance(content, list)
        for voxels, file in zip(content, request, strict=True):
            assert_same(voxels, read_slab(files, file, *planes))


def open_files() -> int:
    return sum(path.is_symlink() and path.readlink().suffix == ".h5" for path in Path("/proc/self/fd").iterdir())


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
    seen = []
    read_into = StoreFiles.read_into

    def counting(self: StoreFiles, *arguments: Any, **recorded: Any) -> None:
        seen.append(open_files())
        read_into(self, *arguments, **recorded)

    monkeypatch.setattr(StoreFiles, "read_into", counting)
    monkeypatch.setattr(reading, "_AHEAD", 2)
    read(files, [(file, published[0]) for file in published])
    assert len(seen) == 2 * len(published)
    assert max(seen) == 3
    assert open_files() == 0


def test_what_is_read_cannot_be_changed(files: StoreFiles, published: list[VolumeFile]) -> None:
    for content in read_in_order(files, [(file,) for file in published], *WHOLE):
        assert isinstance(content, list)
        for voxels in content:
            array = voxels.values if isinstance(voxels, SparseArray) else voxels
            assert not array.flags.writeable


def test_only_volumes_without_gaps_are_known_to_be_complete(files: StoreFiles, published: list[VolumeFile]) -> None:
    contents = read(files, [(published[0],), (published[4],)])
    complete = [content[0].complete for content in contents if isinstance(content, list)]  # type: ignore[union-attr]
    assert complete == [True, False]


@pytest.mark.parametrize("has_mask", [True, False])
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
    has_mask: bool,
) -> None:
    spoil(files.path(published[3].path))  # type: ignore[operator]
    volumes = published if has_mask else [file for file in published if file.layout.encoding == "sparse"]
    requests = [(file, published[3]) if file is published[5] else (file,) for file in volumes]
    for file, content in zip(volumes, read(files, requests), strict=True):
        if file in (published[3], published[5]):
            assert isinstance(content, DamagedFileError)
            assert message in str(content)
        else:
            assert isinstance(content, list)
            assert_same(content[0], read_slab(files, file, *WHOLE))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files are counted in /proc")
@pytest.mark.parametrize("count", [2, 7], ids=["sparse only", "with a dense mask"])
def test_stopping_early_leaves_no_thread_and_no_open_file(
    files: StoreFiles, published: list[VolumeFile], count: int
) -> None:
    before = set(threading.enumerate())
    contents = read_in_order(files, [(file,) for file in published[:count]], *WHOLE)
    next(contents)
    contents.close()
    assert set(threading.enumerate()) == before
    assert open_files() == 0


def test_volumes_are_read_when_they_are_requested_unless_they_are_decoded(
    files: StoreFiles, published: list[VolumeFile]
) -> None:
    with counted() as work:
        contents = read_in_order(files, [(file,) for file in published[:2]], *WHOLE)
        next(contents)
        assert work.read == [Path(published[0].path).name]
        contents.close()


def test_slabs_of_large_volumes_are_read_as_well(files: StoreFiles) -> None:
    large = Grid(25)
    array = np.zeros(large.shape, np.float32)
    array[100:110, 50, 60:70] = 0.5
    file = publish_volume(files, Volume("projection_density", array), experiment_id=1, source="test")
    found = read(files, [(file,), (file,)], (104, 200))
    assert len(found) == 2
    for content in found:
        assert isinstance(content, list)
        assert_same(content[0], read_slab(files, file, 104, 200))
