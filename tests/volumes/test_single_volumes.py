"""Volumes of experiments without a dataset: flipped, as one lazy array, and the centroids of injections."""

from __future__ import annotations

from pathlib import Path

import nrrd
import numpy as np
import pytest

from bsv_store import Selection, Store
from bsv_store.errors import EmptySelectionError, InputError, MissingDataError
from tests.databases import sqlite_first
from tests.datasets.world import BY_ID, SHAPE, VISUAL, Fact, add_volume, change_experiments, remove_volume, voxels
from tests.datasets.world import FACTS as ALL_FACTS

pytestmark = sqlite_first

LEFT, RIGHT = 3, 1  # injected there
VISUAL_IDS = (1, 2, 3, 4, 5)


def test_single_volumes_are_flipped_so_that_injections_are_on_one_side(filled: Store, tmp_path: Path) -> None:
    read = filled.volumes.read
    np.testing.assert_array_equal(read(LEFT, hemisphere_rule="flip_to_right"), voxels(LEFT)[..., ::-1])
    np.testing.assert_array_equal(read(RIGHT, hemisphere_rule="flip_to_right"), voxels(RIGHT))
    np.testing.assert_array_equal(read(RIGHT, hemisphere_rule="flip_to_left"), voxels(RIGHT)[..., ::-1])
    flipped = read(LEFT, hemisphere_rule="flip_to_right")
    assert (flipped.dtype, flipped.flags.c_contiguous) == (np.dtype(np.float32), True)
    subtracted = read(RIGHT, hemisphere_rule="subtract_contralateral")
    assert subtracted.dtype == np.float64
    assert not subtracted[..., :57].any()
    for rule, expected in (("flip_to_right", flipped), ("none", voxels(LEFT))):
        filled.volumes.export(LEFT, tmp_path / f"{rule}.nrrd", hemisphere_rule=rule)  # type: ignore[arg-type]
        np.testing.assert_array_equal(nrrd.read(str(tmp_path / f"{rule}.nrrd"))[0], expected)
    assert nrrd.read_header(str(tmp_path / "flip_to_right.nrrd"))["hemisphere_rule"] == "flip_to_right"
    filled.volumes.export(RIGHT, tmp_path / "x.npy", hemisphere_rule="subtract_contralateral")
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), subtracted)
    with pytest.raises(InputError, match="hemisphere_rule must be one of none, subtract_contralateral"):
        read(LEFT, hemisphere_rule="mirror")  # type: ignore[arg-type]


def test_flipping_needs_a_known_injected_hemisphere(empty_sides: Store) -> None:
    with pytest.raises(InputError, match="flip_to_right needs, is not known: experiment 8"):
        empty_sides.volumes.read(8, hemisphere_rule="flip_to_right")
    np.testing.assert_array_equal(empty_sides.volumes.read(8), voxels(8))
    with pytest.raises(MissingDataError, match="flip_to_right needs, is not known: 1 experiment, 8"):
        empty_sides.volumes.stack([1, 8], hemisphere_rule="flip_to_right")
    stack = empty_sides.volumes.stack([1, 8], hemisphere_rule="flip_to_right", missing="leave_out")
    assert stack.experiment_ids == (1,)
    assert list(stack.left_out) == [8]


@pytest.fixture
def empty_sides(filled: Store) -> Store:
    """A store with an experiment whose injected hemisphere is not known."""
    change_experiments(filled, [*ALL_FACTS, Fact(8, 385, None, 0.0, 0.0)])
    add_volume(filled, 8)
    return filled


def test_experiments_are_one_lazy_array_without_a_dataset(filled: Store) -> None:
    stack = filled.volumes.stack(VISUAL)
    plain = np.stack([voxels(identifier) for identifier in VISUAL_IDS])
    assert (stack.experiment_ids, stack.shape, stack.dtype) == (VISUAL_IDS, (5, *SHAPE), np.float32)
    for key in (0, slice(1, 4, 2), (slice(None), 84), (..., 56), ([4, 0], slice(80, 90), slice(None), slice(57, None))):
        np.testing.assert_array_equal(stack[key], plain[key])
    assert not filled.datasets.list()
    lazy = filled.volumes.stack(VISUAL).to_dask()
    assert (lazy.shape, lazy.dtype, lazy.chunksize) == (stack.shape, np.float32, (1, *SHAPE))
    np.testing.assert_allclose(lazy.mean(axis=0).compute(), plain.mean(axis=0), rtol=1e-6)
    np.testing.assert_array_equal(lazy[2, 60:62].compute(), plain[2, 60:62])


def test_volumes_of_a_stack_are_flipped_and_normalized(filled: Store) -> None:
    flipped = filled.volumes.stack([LEFT, RIGHT], hemisphere_rule="flip_to_right")
    assert flipped.dtype == np.float32
    np.testing.assert_array_equal(flipped[1], voxels(LEFT)[..., ::-1])
    np.testing.assert_array_equal(flipped[0, 5:7, 3], voxels(RIGHT)[5:7, 3])
    both = filled.volumes.stack([LEFT, RIGHT], hemisphere_rule="flip_to_right", normalize="injection_volume")
    assert both.dtype == np.float64
    np.testing.assert_allclose(both[1], voxels(LEFT)[..., ::-1].astype(float) / BY_ID[LEFT].volume, rtol=1e-12)


def test_missing_volumes_are_an_error_or_left_out_with_the_reason(filled: Store) -> None:
    remove_volume(filled, 2)
    with pytest.raises(MissingDataError, match="projection_density at 100 um is not in the store: 1 experiment, 2"):
        filled.volumes.stack(VISUAL)
    stack = filled.volumes.stack(VISUAL, missing="leave_out")
    assert stack.experiment_ids == (1, 3, 4, 5)
    assert "projection_density" in stack.left_out[2]
    with pytest.raises(EmptySelectionError):
        filled.volumes.stack(Selection(injected_in="VISp", min_injection_volume=5))


def test_the_centroid_of_an_injection_is_weighted_by_density(filled: Store) -> None:
    density = np.zeros(SHAPE, np.float32)
    density[80, 20, 30], density[82, 20, 30], density[80, 20, 84] = 0.5, 0.25, 0.25
    density[5, 5, 5] = np.nan
    add_volume(filled, 1, kind="injection_density", array=density)
    dense = np.random.default_rng(0).random(SHAPE, dtype=np.float32)
    add_volume(filled, 2, kind="injection_density", array=dense)
    add_volume(filled, 3, kind="injection_density", array=np.zeros(SHAPE, np.float32))
    frame = filled.volumes.injection_centroids([1, 2, 3]).set_index("experiment_id")
    first = frame.loc[1]
    assert (first.voxels, first.density_sum, first.left_share) == (3, 1.0, 0.75)
    # Centers of voxels: half a voxel after their index.
    assert (first.centroid_ap, first.centroid_dv) == pytest.approx((8100, 2050))
    assert first.centroid_ml == pytest.approx(0.75 * 3050 + 0.25 * 8450)
    distance = np.hypot(np.hypot(8100 - 8000, 2050 - 2000), first.centroid_ml - 7000)
    assert first.distance_um == pytest.approx(distance)
    weights = dense.astype(float)
    for axis, name in enumerate(("centroid_ap", "centroid_dv", "centroid_ml")):
        profile = weights.sum(axis=tuple({0, 1, 2} - {axis}))
        expected = (profile * (np.arange(profile.size) + 0.5) * 100).sum() / profile.sum()
        assert frame.loc[2, name] == pytest.approx(expected)
    assert np.isnan(frame.loc[3, ["centroid_ap", "left_share", "distance_um"]].astype(float)).all()
    with pytest.raises(MissingDataError, match="injection_density at 100 um"):
        filled.volumes.injection_centroids([1, 4])
    left = filled.volumes.injection_centroids([1, 4], missing="leave_out")
    assert (left.experiment_id.to_list(), left.attrs["without_volume"]) == ([1], [4])
