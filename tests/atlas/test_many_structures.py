"""Voxel counts and masks of many structures from one reading of the annotation."""

from __future__ import annotations

from pathlib import Path

import nrrd
import numpy as np
import pytest
from numpy.typing import NDArray

from bsv_store import Store
from bsv_store.errors import InputError, UnknownStructureError
from bsv_store.volumes.grid import Grid
from tests.datasets.world import MOP, VISL, VISP, add_annotation, fill
from tests.stores import store_with


def blocks() -> NDArray[np.uint32]:
    """VISp and VISl inside VIS, which has voxels of its own; MOp on the left only; nothing in VISpm."""
    array = np.zeros(Grid(100).shape, np.uint32)
    array[60:70, 10:20, 50:66] = VISP
    array[60:70, 20:25, 50:64] = VISL
    array[60:70, 25:27, 50:64] = 669
    array[3, 5, 4] = MOP
    return array


def _fill(store: Store) -> None:
    fill(store)
    add_annotation(store, blocks())


annotated = store_with(_fill)


def test_voxels_are_counted_directly_and_with_descendants(annotated: Store) -> None:
    frame = annotated.atlas.voxel_counts(["MOp", "VIS", VISP, "VISpm", "VIS"])
    assert frame.structure.to_list() == ["VIS", "VISp", "VISpm", "MOp"]
    assert frame.direct_voxels.to_list() == [280, 1600, 0, 1]
    assert frame.voxels.to_list() == [2580, 1600, 0, 1]
    assert frame.left_voxels.to_list() == [700 + 490, 700, 0, 1]
    assert (frame.left_voxels + frame.right_voxels == frame.voxels).all()
    assert frame.volume.to_list() == pytest.approx([2.58, 1.6, 0, 0.001])
    assert frame.attrs["annotation_sha256"]
    everything = annotated.atlas.voxel_counts()
    assert everything.direct_voxels.sum() == everything.voxels.max() == (blocks() > 0).sum()


def test_masks_are_those_of_single_calls(annotated: Store) -> None:
    masks = dict(annotated.atlas.masks(["VISp", "VIS", MOP, "VISp"]))
    assert [row.acronym for row in masks] == ["VISp", "VIS", "MOp"]
    for row, mask in masks.items():
        assert mask.dtype == np.bool_
        np.testing.assert_array_equal(mask, annotated.atlas.mask(row.id))
    for row, mask in annotated.atlas.masks(["VISp", "VIS"], hemisphere="right", include_descendants=False):
        single = annotated.atlas.mask(row.id, hemisphere="right", include_descendants=False)
        np.testing.assert_array_equal(mask, single)


def test_structures_without_a_voxel_are_named_together_before_the_first_mask(annotated: Store) -> None:
    with pytest.raises(InputError, match="no voxel on the right in VISpm, MOp"):
        annotated.atlas.masks(["VISp", "VISpm", "MOp"], hemisphere="right")
    with pytest.raises(UnknownStructureError, match="'VISx'"):
        annotated.atlas.masks(["VISp", "VISx"])
    with pytest.raises(InputError, match="structures must not be empty"):
        annotated.atlas.masks([])


def test_each_mask_is_written_to_a_file_of_its_own(annotated: Store, tmp_path: Path) -> None:
    written = annotated.atlas.export_masks(["VISp", "MOp"], tmp_path, hemisphere="left")
    assert [path.name for path in written] == [f"{VISP}_VISp.nrrd", f"{MOP}_MOp.nrrd"]
    for path, structure in zip(written, ("VISp", "MOp"), strict=True):
        content, _ = nrrd.read(str(path))
        np.testing.assert_array_equal(content > 0, annotated.atlas.mask(structure, hemisphere="left"))
    before = {path: path.read_bytes() for path in written}
    with pytest.raises(InputError, match=r"MOp\.nrrd exists"):
        annotated.atlas.export_masks(["VISl", "MOp"], tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.glob("*.nrrd")} == before
    with pytest.raises(InputError, match=r"\.docx"):
        annotated.atlas.export_masks("VISp", tmp_path, ending=".docx")
    with pytest.raises(InputError, match="does not exist"):
        annotated.atlas.export_masks("VISp", tmp_path / "none")
