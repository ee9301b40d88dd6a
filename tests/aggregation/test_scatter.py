from __future__ import annotations

import numpy as np
import pytest

from bsv_store.aggregation import scatter
from bsv_store.aggregation.kernel import GroupAccumulator
from bsv_store.volumes.grid import Grid
from bsv_store.volumes.volume import SparseArray

RANDOM = np.random.default_rng(7)
SIZE = 200_000


@pytest.fixture
def without_scipy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scatter, "_compiled_loop", lambda: None)


def some(count: int) -> tuple[np.ndarray, np.ndarray]:
    index = np.sort(RANDOM.choice(SIZE, count, replace=False))
    return index, RANDOM.random(count) * 10.0 ** RANDOM.integers(-8, 3, count)


def test_scipy_has_the_loop_that_is_relied_on() -> None:
    assert scatter.index_type() is np.int32


def test_without_scipy_an_index_has_64_bits(without_scipy: None) -> None:
    assert scatter.index_type() is np.intp


@pytest.mark.parametrize("count", [0, 1, 1000, 150_000])
def test_both_loops_give_the_same_bits(count: int) -> None:
    index, values = some(count)
    start = RANDOM.random(SIZE)
    compiled, plain = start.copy(), start.copy()
    scatter.add_at(compiled, index.astype(np.int32), values)
    scatter.add_at(plain, index.astype(np.intp), values)
    start[index] += values
    assert np.array_equal(compiled, start)
    assert np.array_equal(plain, start)


@pytest.mark.parametrize("kind", [np.int32, np.intp])
@pytest.mark.parametrize("wrong", [-1, SIZE])
def test_a_place_outside_is_refused_and_nothing_is_written(kind: type, wrong: int) -> None:
    total = np.zeros(SIZE)
    with pytest.raises(IndexError, match="outside the 200000 voxels"):
        scatter.add_at(total, np.array([5, wrong], kind), np.ones(2))
    assert not total.any()


@pytest.mark.parametrize("kind", [np.int32, np.intp])
def test_fewer_values_than_places_are_refused(kind: type) -> None:
    with pytest.raises(IndexError, match="3 places for 2 values"):
        scatter.add_at(np.zeros(SIZE), np.arange(3, dtype=kind), np.ones(2))


def test_averages_do_not_depend_on_scipy(monkeypatch: pytest.MonkeyPatch) -> None:
    grid = Grid(100)
    volumes = []
    for _ in range(5):
        index = np.sort(RANDOM.choice(grid.size, 50_000, replace=False)).astype(np.uint32)
        volumes.append(SparseArray(grid, index, RANDOM.random(50_000, dtype=np.float32)))

    def mean() -> np.ndarray:
        parts = []
        for planes in ((0, 60), (60, 132)):
            accumulator = GroupAccumulator(grid, 1, ap_range=planes)
            for number, volume in enumerate(volumes):
                accumulator.add(0, volume, divisor=0.1 + number)
            parts.append(accumulator.finish("float64").mean)
        return np.concatenate(parts, axis=1)

    compiled = mean()
    monkeypatch.setattr(scatter, "_compiled_loop", lambda: None)
    assert np.array_equal(compiled, mean())


def test_an_index_that_lies_anywhere_in_the_file_is_read_rightly() -> None:
    grid = Grid(100)
    index = np.array([3, 70, 1_000], np.uint32)
    shifted = np.frombuffer(b"x" + index.tobytes(), "<u4", 3, 1)
    accumulator = GroupAccumulator(grid, 1)
    accumulator.add(0, SparseArray(grid, shifted, np.ones(3, np.float32)))
    assert np.flatnonzero(accumulator.finish().mean[0]).tolist() == [3, 70, 1_000]
