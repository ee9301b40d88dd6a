from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bsv_store.averaging.kernel.accumulator import GroupAccumulator
from bsv_store.averaging.kernel.cells import Cell, RequiredSums
from bsv_store.averaging.kernel.slabs import bytes_per_plane, slabs_within
from bsv_store.errors import RecipeError
from bsv_store.vocabulary import STATISTICS as STATISTIC_ROWS
from tests.averaging.reference import TinyGrid

STATISTICS = tuple(STATISTIC_ROWS)


@given(st.integers(1, 600), st.integers(1, 1000), st.integers(1, 100_000), st.integers(1, 20))
def test_slabs_cover_all_planes_within_the_budget(planes: int, plane_bytes: int, budget: int, step: int) -> None:
    slabs = slabs_within(planes, plane_bytes, budget, step=step)
    assert [plane for first, last in slabs for plane in range(first, last)] == list(range(planes))
    assert all((last - first) * plane_bytes <= max(budget, step * plane_bytes) for first, last in slabs)
    assert all(first % step == 0 for first, _ in slabs)
    # The first is as large as can be.
    assert slabs[0][1] == planes or (slabs[0][1] + step) * plane_bytes > budget


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("spread", "extremes"), [(False, False), (True, False), (False, True), (True, True)])
def test_the_memory_of_a_cell_is_that_of_its_arrays(spread: bool, extremes: bool, weighted: bool) -> None:
    required = RequiredSums(spread=spread, extremes=extremes, weighted=weighted)
    arrays = [each for each in vars(Cell(5, required)).values() if isinstance(each, np.ndarray)]
    assert sum(array.nbytes for array in arrays) == 5 * required.bytes_per_voxel


def test_without_a_choice_a_cell_holds_the_plain_sum() -> None:
    assert RequiredSums() == RequiredSums(spread=False, extremes=False, weighted=False)


@pytest.mark.parametrize(
    ("groups", "options", "bytes_per_voxel"),
    [
        # While the first group is read out: its sums, counts of missing voxels, and the result.
        (1, {}, 8 + 4 + 4 + 4),
        (5, {}, 5 * (8 + 4) + 4 + 4),
        (2, {"hemisphere_rule": "flip_to_right"}, 2 * 2 * (8 + 4) + 4 + 4),
        (2, {"hemisphere_rule": "subtract_contralateral", "statistics": ("sd",)}, 2 * (28 + 4) + 2 * 4 + 4),
        (4, {"statistics": ("min", "max"), "dtype": "float64"}, 4 * (28 + 4) + 3 * 8 + 4),
        # While volumes are added: sums and buffers.
        (1, {"weighted": True}, 20 + 2 + 24),
        (3, {"weighted": True, "dtype": "float64"}, 3 * 20 + 2 + 24),
        (1, {"weighted": True, "hemisphere_rule": "subtract_contralateral", "statistics": ("max",)}, 36 + 2 + 8 + 24),
        # While the last group is read out: its sums, and the result of all groups.
        (10, {"statistics": STATISTICS, "dtype": "float64"}, (44 + 4) + 10 * (6 * 8 + 4)),
    ],
)
def test_the_memory_of_a_plane_is_the_most_at_any_time(
    groups: int, options: dict[str, Any], bytes_per_voxel: int
) -> None:
    assert bytes_per_plane((7, 2, 3), groups, **options) == 2 * 3 * bytes_per_voxel


@pytest.mark.parametrize("options", [{"hemisphere_rule": "mirror"}, {"statistics": ("median",)}, {"dtype": "float16"}])
def test_the_memory_of_what_does_not_exist_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match=next(iter(options))):
        bytes_per_plane((7, 2, 3), 1, **options)


def test_a_slab_is_one_plane_where_no_step_is_asked_for() -> None:
    assert slabs_within(3, 10, 5) == ((0, 1), (1, 2), (2, 3))


@pytest.mark.parametrize(
    ("options", "data"),
    [
        ({}, "plain"),
        ({}, "missing"),
        ({"hemisphere_rule": "subtract_contralateral"}, "plain"),
        ({"hemisphere_rule": "subtract_contralateral", "statistics": STATISTICS}, "missing"),
        ({"hemisphere_rule": "flip_to_right", "statistics": ("sd",)}, "missing"),
        ({"weighted": True}, "plain"),
        ({"weighted": True, "statistics": STATISTICS, "hemisphere_rule": "flip_to_left"}, "missing"),
    ],
)
def test_memory_stays_within_the_estimate_however_many_volumes(options: dict[str, Any], data: str) -> None:
    grid = TinyGrid((40, 80, 114))
    volume = np.zeros(grid.shape, np.float32)
    volume[::9] = 0.5
    if data == "missing":
        volume[3, 3, 3] = np.nan
    weights = np.ones(grid.shape, np.float32) if options.get("weighted") else None
    estimate = grid.shape[0] * bytes_per_plane(grid.shape, 2, dtype="float64", **options)
    tracemalloc.start()
    accumulator = GroupAccumulator(grid, 2, **options)
    for number in range(12):
        accumulator.add(number % 2, volume, injected="left" if number % 3 else "right", weights=weights)
    held = tracemalloc.get_traced_memory()[0]
    result = accumulator.finish("float64")
    held_with_result = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert result.counts == (6, 6)
    # What is kept of the volume at hand: index and value of its listed voxels, twice with room to spare.
    volume_bytes = 3 * 1.25 * 8 * np.count_nonzero(volume) + 100_000
    assert held < estimate + volume_bytes
    assert held_with_result < estimate + volume_bytes
    # And it is no empty promise: at first the sums of all groups stand beside the result of one.
    assert estimate < 2 * (held + held_with_result / 2)
