"""Masks of structures, and sums of volumes over them."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from numpy.typing import NDArray

from bsv_store.atlas.masks import StructureVoxels, absolute_hemisphere, mask_of
from bsv_store.errors import FrameError, InputError
from bsv_store.volumes.grid import Grid
from bsv_store.volumes.volume import SparseArray

GRID = Grid(100)
LARGE = 614454277
# 10 contains 11 and 12; 13 is apart; 99 has no voxel.
STRUCTURES = {10: (10, 11, 12), 12: [12], 13: {13}, 99: {99}}


def annotation() -> NDArray[np.uint32]:
    array = np.zeros(GRID.shape, np.uint32)
    array[30:60, 10:50, 20:94] = 11
    array[40:50, 20:40, 40:70] = 12
    array[55, 10, 57:60] = 10
    array[80:82, 30:40, :57] = 13
    array[100:110, 30:40, :] = LARGE
    return array


def volume(*, seed: int = 0, share: float = 0.1) -> NDArray[np.float32]:
    random = np.random.default_rng(seed)
    array = np.zeros(GRID.shape, np.float32)
    where = random.random(GRID.shape) < share
    array[where] = random.random(int(where.sum()), dtype=np.float32)
    array[41, 21, 41] = np.nan
    array[80, 35, 10] = np.nan
    return array


def expected(array: NDArray[np.float32], ids: object) -> tuple[list[float], list[int]]:
    sums, counts = [], []
    for half in (slice(0, 57), slice(57, None)):
        inside = np.isin(annotation()[..., half], list(ids))  # type: ignore[call-overload]
        values = array[..., half][inside].astype(np.float64)
        sums.append(float(np.nansum(values)))
        counts.append(int((~np.isnan(values)).sum()))
    return sums, counts


@pytest.mark.parametrize("hemisphere", ["both", "left", "right"])
def test_a_mask_holds_the_voxels_of_the_ids(hemisphere: str) -> None:
    mask = mask_of(annotation(), {10, 11, LARGE}, hemisphere=absolute_hemisphere(hemisphere))
    wanted = np.isin(annotation(), [10, 11, LARGE])
    if hemisphere != "both":
        wanted[..., slice(57, None) if hemisphere == "left" else slice(0, 57)] = False
    assert mask.dtype == np.bool_
    assert mask.flags.c_contiguous
    np.testing.assert_array_equal(mask, wanted)


def test_a_mask_of_nothing_is_empty() -> None:
    assert not mask_of(annotation(), ()).any()
    assert not mask_of(annotation(), {5}).any()


def test_unknown_hemispheres_are_named() -> None:
    with pytest.raises(InputError, match="upper") as caught:
        absolute_hemisphere("upper")
    assert "left" in str(caught.value)


@pytest.mark.parametrize("dense", [False, True])
def test_sums_are_those_of_the_masked_array(dense: bool) -> None:
    array = volume()
    voxels = StructureVoxels(annotation(), STRUCTURES)
    sums, known = voxels.sums(array if dense else SparseArray.from_dense(array))
    for place, ids in enumerate(STRUCTURES.values()):
        total, count = expected(array, ids)
        np.testing.assert_allclose(sums[place], total, rtol=1e-12)
        assert known[place].tolist() == count
    np.testing.assert_array_equal(voxels.voxels[0], [mask_of(annotation(), (10, 11, 12))[..., :57].sum(),
                                                     mask_of(annotation(), (10, 11, 12))[..., 57:].sum()])  # fmt: skip


def test_a_volume_without_voxels_there_sums_to_zero() -> None:
    empty = SparseArray(GRID, np.array([], np.uint32), np.array([], np.float32))
    voxels = StructureVoxels(annotation(), STRUCTURES)
    sums, known = voxels.sums(empty)
    assert not sums.any()
    np.testing.assert_array_equal(known, voxels.voxels)


def test_structures_without_voxels_are_not_an_error() -> None:
    voxels = StructureVoxels(annotation(), {99: {99}})
    for array in (volume(), SparseArray.from_dense(volume())):
        sums, known = voxels.sums(array)
        assert (sums.tolist(), known.tolist()) == ([[0, 0]], [[0, 0]])


def test_only_the_planes_of_the_structures_are_kept() -> None:
    assert StructureVoxels(annotation(), {13: {13}})._labels.size == 2 * 80 * 114


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("block", [7, 10_000])
def test_sums_do_not_depend_on_how_much_is_looked_at_together(
    monkeypatch: pytest.MonkeyPatch, dense: bool, block: int
) -> None:
    voxels = StructureVoxels(annotation(), {12: [12]})
    array = volume(share=0.01)
    part = array[slice(*voxels.planes)] if dense else SparseArray.from_dense(array)
    monkeypatch.setattr("bsv_store.atlas.masks.BLOCK_VOXELS", block)
    sums, known = voxels.sums(part)
    total, count = expected(array, [12])
    np.testing.assert_allclose(sums[0], total, rtol=1e-12)
    assert known[0].tolist() == count


@pytest.mark.parametrize("dense", [False, True])
def test_memory_is_bounded_by_a_block(monkeypatch: pytest.MonkeyPatch, dense: bool) -> None:
    """Each voxel once took eight bytes more while voxels were counted, and again in each volume."""
    grid = Grid(50)
    ids = np.full(grid.shape, 11, np.uint32)
    monkeypatch.setattr("bsv_store.volumes.layout._SLAB_BYTES", 1 << 20)
    monkeypatch.setattr("bsv_store.atlas.masks.BLOCK_VOXELS", 1 << 16)
    values = np.ones(grid.shape, np.float32)
    array = values if dense else SparseArray.from_dense(values)
    tracemalloc.start()
    voxels = StructureVoxels(ids, {11: [11]})
    built = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    voxels.sums(array)
    summed = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    # The labels take one byte for each voxel, a slab and what is made of it at most as much again.
    assert built < 3 * grid.size
    assert summed < grid.size


def test_a_volume_of_another_grid_is_refused() -> None:
    with pytest.raises(FrameError, match="annotation"):
        StructureVoxels(annotation(), STRUCTURES).sums(np.zeros(Grid(50).shape, np.float32))
