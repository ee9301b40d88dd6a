from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bsv_store.averaging.kernel.accumulator import GroupAccumulator
from bsv_store.averaging.kernel.slabs import bytes_per_plane, slabs_within
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
