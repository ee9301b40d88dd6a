"""Blocks of planes: every plane has the bits of the volume, however it is cached; the cache keeps its limit."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bsv_store.server.images import blocks
from bsv_store.server.images.blocks import SparseBlock, WholeVolume, block_range, read_block, read_whole, turned
from bsv_store.server.images.memory import Memory
from bsv_store.vocabulary import PLANES
from bsv_store.volumes.grid import ARRAY_AXES

ORIENTATIONS = ("coronal", "sagittal", "horizontal")


@dataclass(frozen=True)
class SmallGrid:
    """A grid that is treated as those of 25 and 10 um."""

    shape: tuple[int, int, int] = (23, 10, 14)
    is_large: bool = True

    @property
    def size(self) -> int:
        return int(np.prod(self.shape))


GRID: Any = SmallGrid()


def volume(filled: float) -> NDArray[np.float32]:
    random = np.random.default_rng(5)
    array = random.random(GRID.shape, dtype=np.float32)
    array[random.random(GRID.shape) > filled] = 0
    array[3, 4, 5] = np.nan
    array[7] = 0
    return np.asarray(array)


def wanted(array: NDArray[Any], orientation: str, index: int) -> NDArray[Any]:
    row = PLANES[orientation]
    found = np.take(array, index, axis=ARRAY_AXES.index(row.across))
    return np.ascontiguousarray(found if ARRAY_AXES.index(row.down) < ARRAY_AXES.index(row.right) else found.T)


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    # Slabs of 4 coronal planes, blocks of 5 sagittal and 3 horizontal planes.
    monkeypatch.setattr(blocks, "_SLAB_BYTES", 4 * 10 * 14 * 4)
    monkeypatch.setattr(blocks, "_BLOCK_BYTES", 5 * 23 * 10 * 4)


@pytest.mark.parametrize("filled", [0.0, 0.05, 0.6])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_planes_of_blocks_are_those_of_the_volume(orientation: str, filled: float) -> None:
    array, row = volume(filled), PLANES[orientation]
    seen = set()
    for index in range(GRID.shape[ARRAY_AXES.index(row.across)]):
        where = block_range(GRID, row, index, 4)
        seen.add(where)
        block = read_block(lambda first, last: array[first:last], GRID, row, where, 4)
        found = block.plane(row, index)
        assert found.dtype == np.float32
        assert found.tobytes() == wanted(array, orientation, index).tobytes()
    assert len(seen) > 1


@pytest.mark.parametrize(("filled", "kind"), [(0.0, SparseBlock), (0.05, SparseBlock), (0.6, WholeVolume)])
def test_planes_of_a_whole_volume_are_those_of_the_volume(filled: float, kind: type) -> None:
    array = volume(filled)
    read = []

    def slab(first: int, last: int) -> NDArray[np.float32]:
        read.append((first, last))
        return array[first:last]

    whole = read_whole(slab, GRID, 4)
    assert isinstance(whole, kind)
    assert read == [(first, min(first + 4, 23)) for first in range(0, 23, 4)]
    for orientation in ORIENTATIONS:
        row = PLANES[orientation]
        block = whole
        if isinstance(whole, SparseBlock) and orientation != "coronal":
            block = turned(whole, GRID, row)
        for index in range(GRID.shape[ARRAY_AXES.index(row.across)]):
            assert block.plane(row, index).tobytes() == wanted(array, orientation, index).tobytes()


def test_the_cache_keeps_the_entries_used_last_within_its_limit() -> None:
    memory: Memory[bytes] = Memory(100, len)
    for name in "abcd":
        memory.add(name, bytes(30))
        memory.find("a")
    assert memory.find("a") is not None
    assert memory.find("b") is None
    assert memory.size_bytes == 90
    memory.add("large", bytes(101))
    assert memory.find("large") is None
    assert memory.size_bytes == 90


def test_simultaneous_requests_share_the_work_and_its_failure() -> None:
    memory: Memory[bytes] = Memory(100, len)
    computed = []

    def work() -> bytes:
        computed.append(1)
        if len(computed) == 1:
            raise OSError("first")
        return b"x"

    async def many() -> list[Any]:
        return await asyncio.gather(*(memory.get("key", work) for _ in range(5)), return_exceptions=True)

    assert [type(each) for each in asyncio.run(many())] == [OSError] * 5
    assert asyncio.run(many()) == [b"x"] * 5
    assert len(computed) == 2
