"""Volumes and masks in a slab: what is listed, dropped and weighted, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bsv_store.averaging.kernel import compiled
from bsv_store.averaging.kernel.accumulator import GroupAccumulator
from bsv_store.averaging.kernel.slab_reader import SlabReader
from bsv_store.errors import FrameError, InputError
from bsv_store.vocabulary import STATISTICS
from bsv_store.volumes.volume import SparseArray
from tests.averaging.reference import TinyGrid

GRID = TinyGrid((4, 3, 6))
ONES = np.ones(GRID.shape, np.float32)


def listing(index: list[int], values: list[float], grid: TinyGrid = GRID) -> SparseArray:
    return SparseArray(grid, np.array(index, np.uint32), np.array(values, np.float32))  # type: ignore[arg-type]


@pytest.mark.parametrize("statistics", [("mean", "n"), tuple(STATISTICS)])
def test_a_voxel_without_data_that_is_the_only_one_listed_is_not_counted(statistics: tuple[str, ...]) -> None:
    accumulator = GroupAccumulator(GRID, 1, statistics=statistics)
    accumulator.add(0, listing([5], [np.nan]))
    result = accumulator.finish()
    assert result.n[0].ravel().tolist() == [0 if place == 5 else 1 for place in range(ONES.size)]
    assert np.isnan(result.mean[0].ravel()[5])
    assert np.count_nonzero(np.isnan(result.mean)) == 1


def test_a_voxel_that_an_exclusion_mask_lists_with_0_is_counted() -> None:
    accumulator = GroupAccumulator(GRID, 1)
    accumulator.add(0, ONES, exclude=listing([1, 2, 3, 4], [0, 0.1, np.nan, -0.5]))
    assert accumulator.finish().n[0].ravel()[:6].tolist() == [1, 1, 0, 0, 1, 1]


@pytest.mark.parametrize("statistics", [("mean",), ("mean", "sd")])
def test_a_weight_of_a_whole_volume_is_that_of_each_voxel(statistics: tuple[str, ...]) -> None:
    accumulator = GroupAccumulator(GRID, 1, weighted=True, statistics=statistics)
    for value, weight in ((1, 3.0), (5, 1.0), (7, 0.0)):
        accumulator.add(0, ONES * value, weights=weight)
    result = accumulator.finish()
    assert (result.mean == 2).all()
    assert (result.n == 2).all()


@pytest.mark.parametrize("kind", [np.bool_, np.uint8, np.int64, np.float32, np.float64])
def test_dense_weights_may_be_of_any_number_type(kind: type) -> None:
    weights: NDArray[Any] = np.zeros(GRID.shape, kind)
    weights[1] = 1
    accumulator = GroupAccumulator(GRID, 1, weighted=True)
    accumulator.add(0, ONES * 3, weights=weights)
    result = accumulator.finish()
    assert (result.mean[0, 1] == 3).all()
    assert result.n[0, :, 0, 0].tolist() == [0, 1, 0, 0]


_ROLES: dict[str, tuple[str, Callable[[Any], dict[str, Any]]]] = {
    "voxels": ("experiment 12", lambda given: {"voxels": given}),
    "exclude": ("the exclusion mask of experiment 12", lambda given: {"voxels": ONES, "exclude": given}),
    "weights": ("the weights of experiment 12", lambda given: {"voxels": ONES, "weights": given}),
}


@pytest.mark.parametrize("role", list(_ROLES))
@pytest.mark.parametrize(
    ("given", "error", "complaint"),
    [
        (ONES[:2, :2], FrameError, r"has the shape \(2, 2, 6\), the average has \(4, 3, 6\)"),
        (listing([0], [1], TinyGrid((4, 3, 8))), FrameError, r"has the shape \(4, 3, 8\)"),
        (listing([1, 72], [1, 1]), InputError, "lists voxels outside its grid"),
        (listing([1, 2, 3], [1, 1]), InputError, "lists 3 voxels with 2 values"),
        (listing([1, 2, 3], [1]), InputError, "lists 3 voxels with 1 values"),
        (listing([1, 2], [1, 1, 1]), InputError, "lists 2 voxels with 3 values"),
    ],
)
def test_what_does_not_fit_is_refused_and_named(role: str, given: Any, error: type[Exception], complaint: str) -> None:
    what, arguments = _ROLES[role]
    accumulator = GroupAccumulator(GRID, 1, weighted=role == "weights")
    with pytest.raises(error, match=f"^{what} {complaint}"):
        accumulator.add(0, what="experiment 12", **arguments(given))
    assert accumulator.finish().counts == (0,)


def test_a_reader_reads_on_after_its_buffers_were_freed() -> None:
    reader = SlabReader(GRID.shape, (1, 3))
    voxels = listing([17, 18, 20, 23, 53, 54], [9, 1, np.nan, 2, 3, 9])

    def read() -> tuple[list[float], NDArray[np.bool_], list[tuple[int, float]]]:
        flat = reader.flat(voxels, 1.0, "it")
        dropped = reader.dropped(flat, None, symmetric=True, what="it")
        assert dropped is not None
        difference = reader.subtracted(reader.without(flat, dropped), "right")
        pairs = sorted(zip(difference.index.tolist(), difference.values.tolist(), strict=True))
        return [*flat.index.tolist(), *flat.values.tolist()], dropped.copy(), pairs

    listed, dropped, pairs = read()
    np.testing.assert_array_equal(listed, [0, 2, 5, 35, 1, np.nan, 2, 3])
    assert np.flatnonzero(dropped).tolist() == [2, 3]
    assert pairs == [(5, 1.0), (35, 3.0)]
    reader.release()
    again = read()
    np.testing.assert_array_equal(again[0], listed)
    assert np.array_equal(again[1], dropped)
    assert again[2] == pairs


@pytest.mark.parametrize("loop", ["compiled", "NumPy"])
def test_two_readings_of_different_size_share_no_voxels(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The buffers of a larger volume are used for a smaller one."""
    if loop == "NumPy":
        monkeypatch.setattr(compiled, "loops", None)
    accumulator = GroupAccumulator(GRID, 1, statistics=["sum", "max"])
    for voxels in (listing([1, 2, 3, 4], [1, 2, 3, 4]), listing([2, 70], [10, 20]), listing([], [])):
        accumulator.add(0, voxels)
    total = accumulator.finish().values["sum"][0].ravel()
    assert {place: total[place] for place in np.flatnonzero(total).tolist()} == {1: 1, 2: 12, 3: 3, 4: 4, 70: 20}
