from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bsv_store.averaging.kernel import compiled, scatter
from bsv_store.averaging.kernel.accumulator import GroupAccumulator, MemberVolume
from bsv_store.volumes.grid import Grid
from bsv_store.volumes.volume import SparseArray
from tests.averaging.loops import require_compiled_loops

RANDOM = np.random.default_rng(7)
SIZE = 200_000


@pytest.fixture(autouse=True, params=["compiled", "NumPy"])
def loop(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every test runs with both loops."""
    if request.param == "NumPy":
        monkeypatch.setattr(compiled, "loops", None)
    else:
        require_compiled_loops()
    return str(request.param)


def some(count: int) -> tuple[np.ndarray, np.ndarray]:
    index = np.sort(RANDOM.choice(SIZE, count, replace=False)).astype(np.uint32)
    return index, (RANDOM.random(count) * 10.0 ** RANDOM.integers(-8, 3, count)).astype(np.float32)


def added(parts: list[tuple[np.ndarray, np.ndarray, float]], start: np.ndarray) -> np.ndarray:
    total = start.copy()
    scatter.add_parts([scatter.Part(total, *part) for part in parts])
    return total


@pytest.mark.parametrize("count", [0, 1, 1000, 150_000])
@pytest.mark.parametrize("block", [1 << 20, 70_000, 1_000])
def test_blocks_of_any_size_give_the_bits_of_plain_addition(
    count: int, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = [(*some(count), divisor) for divisor in (1.0, 0.3, 7e-4)]
    start = RANDOM.random(SIZE)
    expected = start.copy()
    for index, values, divisor in parts:
        expected[index] += values / np.float64(divisor)
    monkeypatch.setattr(scatter, "_BLOCK", block)
    assert np.array_equal(added(parts, start), expected)


@pytest.mark.parametrize("loop", ["NumPy"], indirect=True)
def test_numpy_needs_the_memory_of_one_block() -> None:
    # Four blocks of 1 MB.
    total, index = np.zeros(1 << 19), np.arange(1 << 19, dtype=np.uint32)
    parts = [scatter.Part(total, index, np.full(index.size, value, np.float32)) for value in (1, 2)]
    tracemalloc.start()
    try:
        scatter.add_parts(parts)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (total == 3).all()
    # The values of a block, and their places.
    assert most < 2 * (1 << 20) + 100_000


def test_numpy_adds_more_volumes_together_than_the_compiled_loop(loop: str) -> None:
    assert scatter.batch_bytes() == {"compiled": 4_000_000, "NumPy": 16_000_000}[loop]


@pytest.mark.parametrize("kind", [np.uint32, np.int32, np.intp])
def test_sums_that_begin_elsewhere_get_what_is_theirs(kind: type) -> None:
    first, second = np.zeros(10), np.zeros(10)
    index, values = np.array([100, 104, 109]), np.array([1, 2, 4], np.float32)
    parts = [scatter.Part(first, index.astype(kind), values), scatter.Part(second, index[:1].astype(kind), values[:1])]
    scatter.add_parts([*parts, scatter.Part(first, index[1:].astype(kind), values[1:], 2.0)], first=100)
    assert first.tolist() == [1, 0, 0, 0, 3, 0, 0, 0, 0, 6]
    assert second.tolist() == [1] + [0] * 9


def test_an_index_that_does_not_ascend_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scatter, "_BLOCK", 1_000)
    index, values = some(5_000)
    shuffled = RANDOM.permutation(5_000)
    start = np.zeros(SIZE)
    assert np.array_equal(
        added([(index[shuffled], values[shuffled], 1.0)], start), added([(index, values, 1.0)], start)
    )


@pytest.mark.parametrize("kind", [np.uint32, np.int32, np.intp])
@pytest.mark.parametrize(("first", "wrong"), [(0, -1), (0, SIZE), (50, 49), (50, SIZE + 50)])
def test_a_place_outside_is_refused_and_nothing_is_written(kind: type, first: int, wrong: int) -> None:
    total = np.zeros(SIZE)
    # Of an unsigned index, -1 is a large number.
    index: NDArray[Any] = np.array([60, wrong]).astype(kind)
    good = scatter.Part(total, np.array([70], kind), np.ones(1, np.float32))
    with pytest.raises(IndexError, match="an index is outside the 200000 voxels"):
        scatter.add_parts([good, scatter.Part(total, index, np.ones(2, np.float32))], first=first)
    assert not total.any()


@pytest.mark.parametrize("first", [2**31, 2**32 - 1, 2**32, 2**62])
@pytest.mark.parametrize("place", [0, 3, 2**31 - 1, 2**32 - 2])
def test_a_place_before_a_distant_first_voxel_is_refused(first: int, place: int) -> None:
    total = np.zeros(10)
    if first <= place < first + total.size:
        pytest.skip("the place is inside")
    with pytest.raises(IndexError, match="an index is outside the 10 voxels"):
        scatter.add_parts([scatter.Part(total, np.array([place], np.uint32), np.ones(1, np.float32))], first=first)
    assert not total.any()


@pytest.mark.parametrize("count", [0, 2, 4])
def test_more_or_fewer_values_than_places_are_refused(count: int) -> None:
    with pytest.raises(IndexError, match=f"3 indices for {count} values"):
        scatter.add_parts([scatter.Part(np.zeros(SIZE), np.arange(3, dtype=np.uint32), np.ones(count, np.float32))])


def test_sums_of_different_length_are_refused() -> None:
    parts = [scatter.Part(np.zeros(size), np.arange(3, dtype=np.uint32), np.ones(3)) for size in (5, 4)]
    with pytest.raises(IndexError, match="one sum has 4 voxels, another 5"):
        scatter.add_parts(parts)


def test_averages_are_those_of_plain_addition_in_the_order_of_the_members() -> None:
    grid = Grid(100)
    volumes = []
    for _ in range(5):
        index = np.sort(RANDOM.choice(grid.size, 50_000, replace=False)).astype(np.uint32)
        volumes.append(SparseArray(grid, index, RANDOM.random(50_000, dtype=np.float32)))
    parts = []
    for planes in ((0, 60), (60, 132)):
        accumulator = GroupAccumulator(grid, 1, ap_range=planes)
        accumulator.add_all([MemberVolume(0, volume, 0.1 + number) for number, volume in enumerate(volumes)])
        parts.append(accumulator.finish("float64").mean)
    total = np.zeros(grid.size)
    for number, volume in enumerate(volumes):
        total[volume.index] += volume.values / np.float64(0.1 + number)
    assert np.array_equal(np.concatenate(parts, axis=1)[0].reshape(-1), total / 5)


def test_an_index_that_lies_anywhere_in_the_file_is_read_correctly() -> None:
    grid = Grid(100)
    index = np.array([3, 70, 1_000], np.uint32)
    shifted = np.frombuffer(b"x" + index.tobytes(), "<u4", 3, 1)
    accumulator = GroupAccumulator(grid, 1)
    accumulator.add(0, SparseArray(grid, shifted, np.ones(3, np.float32)))
    assert np.flatnonzero(accumulator.finish().mean[0]).tolist() == [3, 70, 1_000]


@pytest.mark.parametrize("divisor", [1.0, 3.0, 1e-300, 1e300])
def test_values_of_any_size_give_the_bits_of_division_in_float64(divisor: float) -> None:
    values = np.array([0, -0.0, 1e-45, 1.5e-38, 0.1, 1, 3.4e38, np.inf, np.nan], np.float32)
    index = np.arange(values.size, dtype=np.uint32)
    with np.errstate(over="ignore"):
        expected = np.full(values.size, 0.1) + values / np.float64(divisor)
        found = added([(index, values, divisor)], np.full(values.size, 0.1))
    assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("loop", ["compiled"], indirect=True)
def test_stored_volumes_are_added_by_the_compiled_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scatter, "_add_with_numpy", None)
    index, values = some(10)
    assert np.array_equal(added([(index, values, 1.0)], np.zeros(SIZE))[index], values)


@pytest.mark.parametrize("loop", ["compiled"], indirect=True)
@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([(np.zeros(9, np.float32), np.zeros(1, np.uint32), np.zeros(1, np.float32), 1.0)], "total float64"),
        ([(np.zeros(9), np.zeros(1, np.int32), np.zeros(1, np.float32), 1.0)], "index uint32"),
        ([(np.zeros(9), np.zeros(1, ">u4"), np.zeros(1, np.float32), 1.0)], "index uint32"),
        ([(np.zeros(9), np.zeros(1, np.uint32), np.zeros(1), 1.0)], "values float32"),
        ([(np.zeros(9), np.zeros(1, np.ulonglong), np.zeros(1, np.float32), 1.0)], "index uint32"),
        ([(np.zeros(9, ">f8"), np.zeros(1, np.uint32), np.zeros(1, np.float32), 1.0)], "total float64"),
        ([(np.zeros((3, 3)), np.zeros(1, np.uint32), np.zeros(1, np.float32), 1.0)], "one dimension"),
        ([(np.zeros(()), np.zeros(1, np.uint32), np.zeros(1, np.float32), 1.0)], "one dimension"),
        ([(np.zeros(9), np.zeros(1, np.uint32), np.zeros(1, np.float32))], "a part must be"),
        ([3], "tuple"),
        ((), "list"),
    ],
)
def test_the_compiled_loop_refuses_other_arrays(parts: Any, message: str) -> None:
    from bsv_store_fast import add_parts

    with pytest.raises(TypeError, match=message):
        add_parts(parts, 0)


_FLOATS, _COUNTS, _AT = np.zeros(9), np.zeros(9, np.uint32), np.zeros(1, np.int64)


@pytest.mark.parametrize("loop", ["compiled"], indirect=True)
@pytest.mark.parametrize(
    ("arrays", "error", "message"),
    [
        (
            (_AT.astype(np.uint32), np.zeros(1), _FLOATS, _COUNTS, None, None, None, None),
            TypeError,
            "index must be",
        ),
        ((_AT, np.zeros(1, "f4"), _FLOATS, _COUNTS, None, None, None, None), TypeError, "values must be"),
        ((_AT, np.zeros(1), _FLOATS, np.zeros(9, np.int32), None, None, None, None), TypeError, "listed must be"),
        ((_AT, np.zeros(1), _FLOATS, _COUNTS, np.zeros((3, 3)), None, None, None), TypeError, "center must be"),
        ((_AT, np.zeros(1), _FLOATS, _COUNTS, np.zeros(9), None, None, None), TypeError, "given together"),
        ((_AT, np.zeros(1), _FLOATS, _COUNTS, None, None, None, np.zeros(9)), TypeError, "given together"),
        ((_AT, np.zeros(2), _FLOATS, _COUNTS, None, None, None, None), IndexError, "values has 2 elements"),
        ((_AT, np.zeros(1), _FLOATS, np.zeros(8, np.uint32), None, None, None, None), IndexError, "listed has 8"),
        ((_AT, np.zeros(1), _FLOATS, _COUNTS, np.zeros(9), np.zeros(8), None, None), IndexError, "spread has 8"),
        ((_AT - 1, np.zeros(1), _FLOATS, _COUNTS, None, None, None, None), IndexError, "outside the 9 voxels"),
        ((_AT + 9, np.zeros(1), _FLOATS, _COUNTS, None, None, None, None), IndexError, "outside the 9 voxels"),
        ((_AT, np.zeros(1), None, _COUNTS, None, None, None, None), TypeError, "bytes-like"),
        ((_AT, np.zeros(1)), TypeError, "8 arguments"),
    ],
)
def test_the_compiled_loop_of_moments_refuses_other_arrays(
    arrays: tuple[Any, ...], error: type[Exception], message: str
) -> None:
    from bsv_store_fast import add_moments

    with pytest.raises(error, match=message):
        add_moments(*arrays)
    assert not _FLOATS.any()
    assert not _COUNTS.any()


@pytest.mark.parametrize("loop", ["compiled"], indirect=True)
def test_an_index_that_would_change_while_it_is_used_is_refused() -> None:
    from bsv_store_fast import add_moments, add_parts

    total, other = np.zeros(9), np.zeros(9)
    values = np.full(2, 3, np.float32)
    shared = total.view(np.uint32)[:2]
    for parts in (
        [(total, shared, values, 1.0)],
        [(total, np.zeros(2, np.uint32), values, 1.0), (other, shared, values, 1.0)],
    ):
        with pytest.raises(ValueError, match="must not share memory"):
            add_parts(parts, 0)
    with pytest.raises(ValueError, match="center and index must not share memory"):
        add_moments(total.view(np.int64), np.ones(9), other, np.zeros(9, np.uint32), total, np.zeros(9), None, None)
    assert not total.any()
    assert not other.any()


@pytest.mark.parametrize("loop", ["compiled"], indirect=True)
@pytest.mark.parametrize(("first", "error"), [(-1, IndexError), (2**64, OverflowError), (None, TypeError)])
def test_the_compiled_loop_refuses_a_first_voxel_that_no_grid_has(first: Any, error: type[Exception]) -> None:
    from bsv_store_fast import add_parts

    with pytest.raises(error):
        add_parts([(np.zeros(9), np.zeros(1, np.uint32), np.zeros(1, np.float32), 1.0)], first)


@pytest.mark.parametrize("loop", ["compiled"], indirect=True)
def test_the_compiled_loop_refuses_arrays_with_gaps_and_read_only_sums() -> None:
    from bsv_store_fast import add_parts

    index, values = np.zeros(1, np.uint32), np.zeros(1, np.float32)
    read_only = np.zeros(9)
    read_only.flags.writeable = False
    for total in (np.zeros(18)[::2], read_only):
        with pytest.raises((BufferError, ValueError)):
            add_parts([(total, index, values, 1.0)], 0)
