from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bsv_store.averaging.kernel.accumulator import GroupAccumulator
from bsv_store.averaging.kernel.result import GroupResult
from bsv_store.datasets.region_means import region_means
from bsv_store.errors import FrameError, InputError
from bsv_store.vocabulary import HemisphereRule
from tests.averaging.reference import TinyGrid

GRID = TinyGrid((3, 2, 4))
# 10 has the descendants 11 and 12; 12 lies on the right only; 99 has no voxel.
STRUCTURES = {10: (10, 11, 12), 12: [12], 11: {11}, 99: {99}}


def annotation() -> NDArray[np.uint32]:
    array = np.zeros(GRID.shape, np.uint32)
    array[1] = [[11, 11, 11, 12], [10, 0, 0, 614454277]]
    return array


def result_of(*volumes: NDArray[np.float32], hemisphere: HemisphereRule = "none") -> GroupResult:
    accumulator = GroupAccumulator(GRID, len(volumes), hemisphere_rule=hemisphere)
    for group, volume in enumerate(volumes):
        accumulator.add(group, volume, injected="right")
    return accumulator.finish("float64")


def rows(result: GroupResult) -> dict[tuple[int, int, str], tuple[int, Any]]:
    columns = region_means(result.mean, annotation(), STRUCTURES, hemisphere_rule=result.hemisphere_rule).columns()
    keys = zip(*(columns[name].tolist() for name in ("group", "structure_id", "hemisphere")), strict=True)
    return dict(zip(keys, zip(columns["voxels"].tolist(), columns["mean"].tolist(), strict=True), strict=True))


def test_means_are_those_over_the_voxels_of_structure_and_descendants() -> None:
    volume = np.random.default_rng(3).random(GRID.shape, dtype=np.float32)
    table = rows(result_of(np.zeros_like(volume), volume))
    plane = volume[1].astype(np.float64)
    assert table[1, 12, "right"] == (1, plane[0, 3])
    assert table[1, 11, "left"] == (2, pytest.approx(plane[0, :2].mean()))
    assert table[1, 10, "left"] == (3, pytest.approx((plane[0, 0] + plane[0, 1] + plane[1, 0]) / 3))
    assert table[1, 10, "right"] == (2, pytest.approx(plane[0, 2:].mean()))
    assert table[1, 10, "both"] == (5, pytest.approx((plane[0].sum() + plane[1, 0]) / 5))
    assert table[0, 10, "both"] == (5, 0)
    assert len(table) == 2 * 4 * 3


def test_structures_without_voxels_have_no_mean() -> None:
    table = rows(result_of(np.ones(GRID.shape, np.float32)))
    for key in ((0, 12, "left"), (0, 99, "both")):
        voxels, mean = table[key]
        assert voxels == 0
        assert np.isnan(mean)


def test_voxels_without_data_are_left_out() -> None:
    volume = np.full(GRID.shape, 0.5, np.float32)
    volume[1, 0, 0] = np.nan
    table = rows(result_of(volume))
    assert table[0, 11, "left"] == (1, 0.5)


def test_folded_results_name_the_hemispheres_by_the_injection() -> None:
    volume = np.zeros(GRID.shape, np.float32)
    volume[1, 0] = [0.1, 0.2, 0.4, 0.8]
    table = rows(result_of(volume, hemisphere="fold_ipsilateral"))
    assert table[0, 12, "ipsilateral"] == (1, pytest.approx(0.8))
    assert table[0, 11, "contralateral"] == (2, pytest.approx(0.15))


def test_rows_follow_groups_structures_and_hemispheres() -> None:
    table = region_means(result_of(np.ones(GRID.shape, np.float32)).mean, annotation(), STRUCTURES)
    assert table.structure_id[::3].tolist() == [10, 12, 11, 99]
    assert table.hemisphere[:3].tolist() == ["left", "right", "both"]
    assert len(table) == 12


def test_no_structure_gives_no_row() -> None:
    assert len(region_means(result_of(np.ones(GRID.shape, np.float32)).mean, annotation(), {})) == 0


def test_annotation_of_another_grid_is_refused() -> None:
    with pytest.raises(FrameError, match="annotation"):
        region_means(result_of(np.ones(GRID.shape, np.float32)).mean, annotation()[:2], STRUCTURES)


def test_annotation_of_fractions_is_refused() -> None:
    with pytest.raises(InputError, match="integer dtype"):
        region_means(result_of(np.ones(GRID.shape, np.float32)).mean, np.ones(GRID.shape), STRUCTURES)
