"""Our axes as BrainGlobe's library and nibabel understand them: one volume, two libraries, the same brain."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from bsv_store import to_brainglobe
from bsv_store.errors import FrameError
from bsv_store.formats.nifti import affine_of, write_nifti
from bsv_store.volumes.grid import ARRAY_AXES, EXTENT_UM, MIDLINE_UM, ORIENTATION, Grid
from tests.datasets.world import ask
from tests.formats.images import image_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bsv_store import Store

brainglobe_space = pytest.importorskip("brainglobe_space", reason="brainglobe-space is not installed")

GRID = Grid(100)
# Where each axis ends, in BrainGlobe's words for where one starts: right, anterior, superior grow.
RIGHT_ANTERIOR_SUPERIOR = "lpi"


@pytest.fixture
def space() -> object:
    return brainglobe_space.AnatomicalSpace(
        ORIENTATION, shape=GRID.shape, resolution=(GRID.spacing_um,) * 3, offset=(0, 0, 0)
    )


@pytest.fixture(scope="module")
def volume() -> NDArray[np.float32]:
    """Different everywhere, so that no flip and no swap goes unnoticed."""
    return np.arange(GRID.size, dtype=np.float32).reshape(GRID.shape)


def test_the_axes_are_those_that_the_orientation_says(space: object) -> None:
    # Each by its two ends: anterior to posterior, superior to inferior, left to right.
    ends = {"AP": "ap", "DV": "si", "ML": "lr"}
    assert space.axes_description == tuple(ends[axis] for axis in ARRAY_AXES)  # type: ignore[attr-defined]
    assert space.origin == ("a", "s", "l")  # type: ignore[attr-defined]


def test_a_point_lies_where_the_coordinates_say(space: object) -> None:
    """The injection of an experiment, in um from the anterior, superior and left faces of the box."""
    ap, dv, ml = 8_450.0, 1_250.0, 9_050.0
    in_voxels = np.array([[ap, dv, ml]]) / GRID.spacing_um
    (mapped,) = space.map_points_to(RIGHT_ANTERIOR_SUPERIOR, in_voxels)  # type: ignore[attr-defined]
    from_posterior, from_inferior = EXTENT_UM[0] - ap, EXTENT_UM[1] - dv
    np.testing.assert_allclose(mapped * GRID.spacing_um, [ml, from_posterior, from_inferior])


def test_the_right_half_is_on_the_right(space: object) -> None:
    right = np.zeros(GRID.shape, np.float32)
    right[..., GRID.midline :] = 1
    assert GRID.centers_um("ML")[GRID.midline] > MIDLINE_UM
    mapped = space.map_stack_to(RIGHT_ANTERIOR_SUPERIOR, right)  # type: ignore[attr-defined]
    # The first axis grows to the right.
    assert (mapped[GRID.midline :] == 1).all()
    assert (mapped[: GRID.midline] == 0).all()


def test_nifti_files_say_the_same_as_brainglobe(space: object, volume: NDArray[np.float32], tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel", reason="nibabel is not installed")
    path = tmp_path / "a.nii"
    write_nifti(image_of(volume), path, compress=False)
    image = nibabel.as_closest_canonical(nibabel.load(path))
    assert nibabel.aff2axcodes(image.affine) == ("R", "A", "S")
    mapped = space.map_stack_to(RIGHT_ANTERIOR_SUPERIOR, volume)  # type: ignore[attr-defined]
    np.testing.assert_array_equal(np.asarray(image.dataobj), mapped)
    # Both say of a voxel where it lies, from the faces of the box.
    voxel = (84, 12, 90)
    right, anterior, superior, _ = affine_of(GRID) @ [*voxel, 1]
    assert (-anterior * 1000, -superior * 1000, right * 1000) == pytest.approx([8450, 1250, 9050])


def test_brainglobe_s_allen_atlases_are_reversed_along_ml(space: object, volume: NDArray[np.float32]) -> None:
    """Their orientation is "asr", so an index of ours is on the other side there."""
    mapped = space.map_stack_to("asr", volume)  # type: ignore[attr-defined]
    np.testing.assert_array_equal(to_brainglobe(volume), mapped)
    assert not np.array_equal(volume, mapped)
    groups = np.stack([volume, volume + 1])
    np.testing.assert_array_equal(to_brainglobe(groups)[1], mapped + 1)


@pytest.mark.parametrize("shape", [(80, 132, 114), (132, 80), (114,), ()])
def test_other_arrays_are_not_turned(shape: tuple[int, ...]) -> None:
    with pytest.raises(FrameError, match="not a CCFv3 grid"):
        to_brainglobe(np.zeros(shape))


def test_results_carry_the_orientation(filled: Store) -> None:
    version = ask(filled)
    with version.open() as file:
        assert file.attrs["orientation"] == ORIENTATION
    assert version.to_xarray().attrs["orientation"] == ORIENTATION
