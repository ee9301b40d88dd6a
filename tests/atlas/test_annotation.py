"""Masks of structures, by the annotation of the store, in memory and as files."""

from __future__ import annotations

from pathlib import Path

import nibabel
import nrrd
import numpy as np
import pytest
from numpy.typing import NDArray

from bsv_store import Store
from bsv_store.atlas.annotation import mask_title
from bsv_store.errors import InputError, MissingDataError, UnknownStructureError
from bsv_store.volumes.grid import Grid
from tests.datasets.world import MOP, VISL, VISP, add_annotation, fill
from tests.stores import store_with


def blocks(grid: Grid) -> NDArray[np.uint32]:
    """VISp on both sides, VISl on the right, MOp on the left; nothing in VISpm."""
    array = np.zeros(grid.shape, np.uint32)
    ap, dv, ml = grid.shape
    array[ap // 2 : ap // 2 + 5, 10:20, ml // 2 - 5 : ml // 2 + 5] = VISP
    array[ap // 2, 20:25, ml - 20 : ml - 10] = VISL
    array[3, dv - 2, 4] = MOP
    return array


def _fill(store: Store) -> None:
    fill(store)
    for spacing in (50, 100):
        add_annotation(store, blocks(Grid(spacing)))


annotated = store_with(_fill)


@pytest.mark.parametrize("spacing", [50, 100])
def test_a_structure_contains_what_lies_inside(annotated: Store, spacing: int) -> None:
    ids = blocks(Grid(spacing))
    mask = annotated.atlas.mask("VIS", spacing_um=spacing)
    assert mask.dtype == np.bool_
    np.testing.assert_array_equal(mask, np.isin(ids, [VISP, VISL]))
    np.testing.assert_array_equal(annotated.atlas.mask(["VISp", MOP], spacing_um=spacing), np.isin(ids, [VISP, MOP]))
    root = annotated.atlas.mask("root", spacing_um=spacing)
    np.testing.assert_array_equal(root, ids > 0)


def test_hemispheres_make_up_the_whole(annotated: Store) -> None:
    left, right = (annotated.atlas.mask("VISp", hemisphere=side) for side in ("left", "right"))
    assert not left[..., 57:].any()
    assert not right[..., :57].any()
    np.testing.assert_array_equal(left | right, annotated.atlas.mask("VISp"))


def test_a_mask_without_a_voxel_is_an_error_and_says_why(annotated: Store) -> None:
    with pytest.raises(InputError, match=r"no voxel in VISpm(?s:.*)finer spacing\. It is part of VIS\."):
        annotated.atlas.mask("VISpm")
    with pytest.raises(InputError, match=r"VIS without its descendants(?s:.*)include the descendants\."):
        annotated.atlas.mask("VIS", include_descendants=False)
    with pytest.raises(InputError, match=r"on the right in MOp(?s:.*)in the other hemisphere; use 'both'"):
        annotated.atlas.mask("MOp", hemisphere="right")
    assert annotated.atlas.mask("VISp", include_descendants=False).any()


def test_bad_questions_are_named(annotated: Store) -> None:
    with pytest.raises(UnknownStructureError, match="VISx"):
        annotated.atlas.mask("VISx")
    with pytest.raises(InputError, match="structures must not be empty"):
        annotated.atlas.mask([])
    with pytest.raises(InputError, match="top"):
        annotated.atlas.mask("VISp", hemisphere="top")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="got 30"):
        annotated.atlas.mask("VISp", spacing_um=30)
    with pytest.raises(InputError, match="must be a slice"):
        annotated.atlas.annotation(ap=5)  # type: ignore[arg-type]
    with pytest.raises(MissingDataError, match="no annotation at 25 um") as caught:
        annotated.atlas.mask("VISp", spacing_um=25)
    assert "bsv-store sync annotation --spacing 25" in str(caught.value)


def test_a_slab_of_the_annotation(annotated: Store) -> None:
    ids = blocks(Grid(100))
    for ap in (slice(64, 70), slice(None), slice(70, 60, -2), slice(-5, None), slice(5, 5)):
        part = annotated.atlas.annotation(ap=ap)
        np.testing.assert_array_equal(part, ids[ap])
        assert part.flags.writeable


@pytest.mark.parametrize(
    ("ending", "like_allen"), [(".nrrd", False), (".nrrd", True), (".nii", False), (".nii.gz", False)]
)
def test_an_exported_mask_names_its_annotation(annotated: Store, tmp_path: Path, ending: str, like_allen: bool) -> None:
    path = tmp_path / f"mask{ending}"
    annotated.atlas.export_mask("VISp", path, like_allen=like_allen)
    sha256 = annotated.sql("SELECT array_sha256 FROM annotation WHERE spacing_um = 100")["array_sha256"].item()
    if ending == ".nrrd":
        header = nrrd.read_header(str(path))
        assert header["annotation_sha256"] == sha256
        assert f"array SHA-256 {sha256[:16]}" in header["annotation"]
    else:
        (comment,) = nibabel.Nifti1Image.from_filename(path).header.extensions
        assert comment.get_code() == 6
        first, second = comment.get_content().decode().rstrip("\0").splitlines()
        assert first.startswith("annotation: ")
        assert f"array SHA-256 {sha256[:16]}" in first
        assert second == f"annotation_sha256: {sha256}"


@pytest.mark.parametrize("ending", [".nrrd", ".nii", ".nii.gz", ".npy"])
def test_an_exported_mask_reads_back_in_other_programs(annotated: Store, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"mask{ending}"
    annotated.atlas.export_mask(["VISp", "MOp"], path, hemisphere="left")
    expected = annotated.atlas.mask(["VISp", "MOp"], hemisphere="left")
    if ending == ".npy":
        np.testing.assert_array_equal(np.load(path), expected)
    elif ending == ".nrrd":
        array, header = nrrd.read(str(path))
        np.testing.assert_array_equal(array, expected)
        assert array.dtype == np.uint8
        assert header["content"] == "mask of VISp, MOp, left hemisphere"
        assert header["space"] == "left-posterior-superior"
        directions = [[0, 0.1, 0], [0, 0, -0.1], [-0.1, 0, 0]]
        np.testing.assert_array_equal(header["space directions"], directions)
    else:
        image = nibabel.Nifti1Image.from_filename(path)
        np.testing.assert_array_equal(np.asarray(image.dataobj), expected)
        assert image.get_data_dtype() == np.uint8
        assert image.header["intent_name"].item() == b"mask"
        assert image.affine[0, 2] == pytest.approx(0.1)
    assert [each.name for each in tmp_path.glob(".*")] == []


def test_a_file_is_not_replaced_unasked(annotated: Store, tmp_path: Path) -> None:
    path = tmp_path / "mask.npy"
    path.write_text("mine")
    with pytest.raises(InputError, match="exists"):
        annotated.atlas.export_mask("VISp", path)
    assert path.read_text() == "mine"
    annotated.atlas.export_mask("VISp", path, overwrite=True)
    assert np.load(path).any()
    with pytest.raises(InputError, match=r"mask\.tif"):
        annotated.atlas.export_mask("VISp", tmp_path / "mask.tif")
    assert not (tmp_path / "mask.tif").exists()


def test_a_mask_is_named_in_plain_characters_and_shortly() -> None:
    assert mask_title("CP", "both") == "mask of CP"
    assert mask_title(["é", 997], "right") == "mask of ?, 997, right hemisphere"
    assert len(mask_title(["VISp"] * 100, "right")) < 79
