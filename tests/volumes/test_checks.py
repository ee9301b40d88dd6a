"""What numbers a volume may hold."""

from __future__ import annotations

import numpy as np
import pytest

from bsv_store.errors import FormatError, FrameError
from bsv_store.volumes.checks import checked_volume

SHAPE = (132, 80, 114)


def with_voxel(value: float, dtype: str = "f4") -> np.ndarray:
    array = np.zeros(SHAPE, dtype)
    array[1, 2, 3] = value
    return array


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, -0.5, -1.0001, 1.01])
def test_impossible_density_is_refused(bad: float) -> None:
    with pytest.raises(FormatError, match="somewhere"):
        checked_volume(with_voxel(bad), "projection_density", what="somewhere")


def test_minus_one_becomes_no_data() -> None:
    volume = checked_volume(with_voxel(-1.0), "projection_density", what="x")
    assert np.isnan(volume.array[1, 2, 3])
    assert volume.no_data_voxels == 1


def test_rounding_above_one_becomes_one() -> None:
    volume = checked_volume(with_voxel(1.0000001), "data_mask", what="x")
    assert volume.array.max() == 1


def test_energy_has_no_upper_bound() -> None:
    assert checked_volume(with_voxel(4000.0), "projection_energy", what="x").array.max() == 4000


def test_double_beyond_float32_is_refused() -> None:
    with pytest.raises(FormatError, match="infinite"):
        checked_volume(with_voxel(1e300, "f8"), "projection_energy", what="x")


def test_result_is_float32_in_c_order_whatever_came_in() -> None:
    volume = checked_volume(np.asfortranarray(with_voxel(0.5, "f8")), "projection_density", what="x")
    assert volume.array.dtype == np.float32
    assert volume.array.flags.c_contiguous
    assert volume.array[1, 2, 3] == np.float32(0.5)


def test_a_shape_that_is_not_a_grid_is_refused() -> None:
    with pytest.raises(FrameError):
        checked_volume(np.zeros((3, 3, 3), "f4"), "projection_density", what="x")


def test_minus_zero_becomes_zero() -> None:
    # A sparse file lists no zeros, so that the hash of the array would not be that of what is read back.
    volume = checked_volume(with_voxel(-0.0), "projection_density", what="x")
    assert not np.signbit(volume.array).any()
