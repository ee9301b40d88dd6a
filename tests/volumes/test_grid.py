"""Grids: shapes, voxels, mirror, hemispheres."""

from __future__ import annotations

import numpy as np
import pytest

from bsv_store.errors import FrameError, InputError
from bsv_store.vocabulary import SPACINGS_UM
from bsv_store.volumes.grid import EXTENT_UM, Grid, mirror

SHAPES = {100: (132, 80, 114), 50: (264, 160, 228), 25: (528, 320, 456), 10: (1320, 800, 1140)}


@pytest.mark.parametrize("spacing", SPACINGS_UM)
def test_shape_of_each_spacing_is_allens(spacing: int) -> None:
    assert Grid(spacing).shape == SHAPES[spacing]
    assert Grid.from_shape(SHAPES[spacing]) == Grid(spacing)


def test_unknown_spacing_is_refused() -> None:
    with pytest.raises(InputError, match="got 20"):
        Grid(20)


def test_ccfv2_grid_is_named_as_such() -> None:
    with pytest.raises(FrameError, match="CCFv2"):
        Grid.from_shape((133, 81, 115))


def test_other_shape_is_refused() -> None:
    with pytest.raises(FrameError, match="114x80x132"):
        Grid.from_shape((114, 80, 132))


def test_voxel_of_a_point_is_floor_of_the_quotient() -> None:
    assert Grid(100).voxel(0, 0, 0) == (0, 0, 0)
    assert Grid(100).voxel(9290, 1120, 8270) == (92, 11, 82)
    assert Grid(25).voxel(13_199, 7_999, 11_399) == (527, 319, 455)


@pytest.mark.parametrize("point", [(-1, 0, 0), (13_200, 0, 0), (0, 8_000, 0), (0, 0, 11_400), (float("nan"), 0, 0)])
def test_voxel_outside_the_box_is_refused(point: tuple[float, float, float]) -> None:
    with pytest.raises(InputError, match="outside"):
        Grid(100).voxel(*point)


def test_midline_separates_equal_halves_and_mirror_swaps_them() -> None:
    for spacing in SPACINGS_UM:
        grid = Grid(spacing)
        assert grid.midline * 2 == grid.shape[2]
        assert grid.midline * spacing == EXTENT_UM[2] / 2
    line = np.arange(114).reshape(1, 1, 114)
    assert mirror(line)[0, 0, 56] == 57
    assert (mirror(mirror(line)) == line).all()


def test_centers_lie_in_the_middle_of_voxels() -> None:
    centers = Grid(100).centers_um("ML")
    assert (centers[0], centers[-1], len(centers)) == (50.0, 11_350.0, 114)
