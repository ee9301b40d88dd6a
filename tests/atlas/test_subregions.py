"""Signal in subdivisions of structures: bins of coordinates, and label images of the user's own."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import nibabel
import nrrd
import numpy as np
import pytest
from numpy.typing import NDArray

from bsv_store import Store, by_coordinate
from bsv_store.errors import FormatError, FrameError, InputError
from bsv_store.formats.label_files import Label, write_color_table
from tests.datasets.world import BY_ID, MOP, SHAPE, VISP, add_annotation, ask, fill, voxels
from tests.stores import store_with


def blocks() -> NDArray[np.uint32]:
    """VISp from AP 8,000 to 9,000 um and ML 4,000 to 7,400 um, symmetric."""
    array = np.zeros(SHAPE, np.uint32)
    array[80:90, 10:40, 40:74] = VISP
    array[40:50, 10:20, 60:70] = MOP
    return array


def _fill(store: Store) -> None:
    fill(store)
    add_annotation(store, blocks())


annotated = store_with(_fill)


def test_bins_of_an_axis_divide_the_extent_of_the_structure(annotated: Store) -> None:
    frame = annotated.atlas.subregions([1, 3], "VISp", bins={"AP": 5})
    assert frame.columns.to_list() == [
        *("experiment_id", "label", "subregion", "ap_lower", "ap_upper", "hemisphere", "voxels", "mean", "sum")
    ]
    assert frame.experiment_id.to_list() == [1] * 5 + [3] * 5
    assert frame.ap_lower.to_list()[:5] == [8000, 8200, 8400, 8600, 8800]
    assert frame.subregion[4] == "AP 8800-9000"
    for row in frame.itertuples():
        part = voxels(row.experiment_id)[78 + 2 * row.label : 80 + 2 * row.label, 10:40, 40:74].astype(float)
        assert (row.voxels, row.mean, row.sum) == (part.size, pytest.approx(part.mean()), pytest.approx(part.sum()))
    whole = annotated.atlas.signal([1, 3], "VISp")
    np.testing.assert_allclose(frame.groupby("experiment_id")["sum"].sum().to_numpy(), whole["sum"])


def test_bins_of_several_axes_are_crossed_and_ml_begins_at_the_midline(annotated: Store) -> None:
    options: dict[str, Any] = {"hemisphere": ["ipsilateral", "contralateral"], "normalize": "injection_volume"}
    frame = annotated.atlas.subregions([1, 3], "VISp", bins={"ML": [0, 500, 1200], "AP": [8000, 8500]}, **options)
    assert frame.columns.to_list()[3:7] == ["ap_lower", "ap_upper", "ml_lower", "ml_upper"]
    assert frame.subregion.unique().tolist() == ["AP 8000-8500, ML 0-500", "AP 8000-8500, ML 500-1200"]
    halves = {"left": [slice(52, 57), slice(45, 52)], "right": [slice(57, 62), slice(62, 69)]}
    for row in frame.itertuples():
        fact = BY_ID[row.experiment_id]
        side = fact.injected if row.hemisphere == "ipsilateral" else {"left": "right", "right": "left"}[fact.injected]
        part = voxels(row.experiment_id)[80:85, 10:40, halves[side][row.label - 1]].astype(float) / fact.volume
        assert (row.voxels, row.mean) == (part.size, pytest.approx(part.mean()))


def test_labels_of_the_user_divide_the_grid_or_a_structure(annotated: Store, tmp_path: Path) -> None:
    labels = np.zeros(SHAPE, np.int16)
    labels[70:85], labels[85:95] = 7, 300
    frame = annotated.atlas.subregions(1, labels=labels)
    assert frame.label.to_list() == [7, 300]
    assert frame["mean"].to_list() == pytest.approx(
        [voxels(1)[70:85].mean(dtype=float), voxels(1)[85:95].mean(dtype=float)]
    )
    inside = annotated.atlas.subregions(1, "VISp", labels=labels, label_names={7: "front"})
    assert inside.subregion.to_list() == ["front", "300"]
    assert inside.voxels.to_list() == [5 * 30 * 34] * 2
    nrrd.write(str(tmp_path / "parts.nrrd"), labels.astype(np.uint16), {"endian": "little"})
    np.save(tmp_path / "parts.npy", labels)
    write_color_table([Label(7, "the front", (1, 2, 3)), Label(300, "back", (1, 2, 3))], tmp_path / "parts.ctbl")
    affine = np.array([[0, 0, 0.1, 0.05], [-0.1, 0, 0, -0.05], [0, -0.1, 0, -0.05], [0, 0, 0, 1]])
    nibabel.Nifti1Image(labels, affine).to_filename(tmp_path / "parts.nii")
    # As a program that stores right to left first, then posterior to anterior.
    closest = nibabel.as_closest_canonical(nibabel.Nifti1Image(labels.astype(np.uint16), affine))
    assert closest.shape == (SHAPE[2], SHAPE[0], SHAPE[1])
    closest.to_filename(tmp_path / "parts.nii.gz")
    for name in ("parts.nrrd", "parts.npy", "parts.nii", "parts.nii.gz"):
        read = annotated.atlas.subregions(1, "VISp", labels=tmp_path / name, label_names=tmp_path / "parts.ctbl")
        assert read.subregion.to_list() == ["the front", "back"]
        np.testing.assert_array_equal(read["mean"], inside["mean"])


def test_groups_of_a_version(annotated: Store) -> None:
    version = ask(annotated, grouping=by_coordinate("AP", edges=[7000, 7500, 8200, 10_000]))
    frame = annotated.datasets.subregions(version, "VISp", bins={"AP": 2}, hemisphere=["right", "both"])
    assert frame.columns.to_list() == [
        *("group", "group_label", "label", "subregion", "ap_lower", "ap_upper", "hemisphere", "voxels", "mean")
    ]
    assert frame.hemisphere.to_list() == ["right", "both"] * 6
    for row in frame.itertuples():
        half = slice(57, 74) if row.hemisphere == "right" else slice(40, 74)
        part = version.mean[row.group][75 + 5 * row.label : 80 + 5 * row.label, 10:40, half].astype(float)
        if row.group == 0:
            assert (row.voxels, np.isnan(row.mean)) == (0, True)
        else:
            assert (row.voxels, row.mean) == (part.size, pytest.approx(part.mean()))
    labels = np.zeros(SHAPE, np.uint8)
    labels[3, 3, 3:6] = 1
    one = annotated.datasets.subregions(version, labels=labels, groups=1, hemisphere="left")
    assert one["mean"].item() == pytest.approx(version.mean[1][3, 3, 3:6].mean(dtype=float))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, InputError, "either bins or labels must be given"),
        ({"bins": {"AP": 2}, "labels": np.zeros(SHAPE, int)}, InputError, "either bins or labels"),
        ({"structures": None, "bins": {"AP": 2}}, InputError, "bins need a structure"),
        ({"bins": {"XY": 2}}, InputError, "bins must be one of AP, DV, ML, got 'XY'"),
        ({"bins": {"AP": 0}}, InputError, "bins of AP must be a positive integer, got 0"),
        ({"bins": {"AP": [2, 1]}}, InputError, "two or more increasing numbers"),
        ({"bins": {"AP": [7, 8, 9]}}, InputError, r"edges of AP must be in um, got \[7, 8, 9\]"),
        ({"bins": {"AP": ["a", "b"]}}, InputError, "each edge of AP must be a finite number, got 'a'"),
        ({"bins": {"AP": 1000, "DV": 1000}}, InputError, "at most 2,000 subregions, got 1,000,000"),
        ({"bins": {"AP": 2}, "label_names": {1: "a"}}, InputError, "no meaning without labels"),
        ({"labels": np.zeros(SHAPE, np.uint8)}, InputError, "has no label inside the structures"),
        ({"labels": np.zeros(SHAPE, float)}, InputError, "integer dtype"),
        ({"labels": np.full(SHAPE, -1)}, InputError, "must be integers from 0"),
        ({"labels": np.zeros((3, 3, 3), int)}, FrameError, "has the shape"),
        ({"labels": "parts.tif"}, InputError, r"Valid endings are \.nrrd, \.nii, \.nii\.gz, \.npy"),
        ({"labels": "none.npy"}, InputError, "cannot be read"),
    ],
    ids=str,
)
def test_what_is_not_valid_is_refused(
    annotated: Store, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        annotated.atlas.subregions(1, **{"structures": "VISp", **arguments})


def _moved(header: bytearray, image: NDArray[Any]) -> None:
    struct.pack_into("<f", header, 280 + 12, 0.06)


def _tilted(header: bytearray, image: NDArray[Any]) -> None:
    struct.pack_into("<f", header, 280, 0.02)


def _floating(header: bytearray, image: NDArray[Any]) -> None:
    struct.pack_into("<h", header, 70, 16)


def _scaled(header: bytearray, image: NDArray[Any]) -> None:
    struct.pack_into("<f", header, 112, 2.0)


def _without_position(header: bytearray, image: NDArray[Any]) -> None:
    struct.pack_into("<2h", header, 252, 0, 0)


def _shifted(header: bytearray, image: NDArray[Any]) -> None:
    struct.pack_into("<f", header, 108, 1e9)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (_moved, FrameError, "the first voxel of .* is at 50, 50, 60 um"),
        (_tilted, FrameError, "are not parallel to those of the volumes with a spacing of 100 um"),
        (_floating, FormatError, "must be integers, got the NIfTI data type 16"),
        (_scaled, FormatError, "are scaled by 2 and 0"),
        (_without_position, FormatError, "has no position in space"),
        (_shifted, FormatError, "which is not in the file"),
    ],
)
def test_nifti_labels_on_another_grid_are_refused(
    annotated: Store, tmp_path: Path, change: Any, error: type[Exception], message: str
) -> None:
    labels = np.ones(SHAPE, np.uint8)
    affine = np.array([[0, 0, 0.1, 0.05], [-0.1, 0, 0, -0.05], [0, -0.1, 0, -0.05], [0, 0, 0, 1]])
    path = tmp_path / "parts.nii"
    nibabel.Nifti1Image(labels, affine).to_filename(path)
    content = bytearray(path.read_bytes())
    change(content, labels)
    path.write_bytes(content)
    with pytest.raises(error, match=message):
        annotated.atlas.subregions(1, labels=path)


def test_a_position_may_be_a_quaternion_and_a_truncated_file_is_refused(annotated: Store, tmp_path: Path) -> None:
    labels = np.zeros(SHAPE, np.uint8)
    labels[70:85] = 7
    affine = np.array([[0, 0, 0.1, 0.05], [-0.1, 0, 0, -0.05], [0, -0.1, 0, -0.05], [0, 0, 0, 1]])
    image = nibabel.Nifti1Image(labels, affine)
    image.set_sform(None, 0)
    image.set_qform(affine, 1)
    path = tmp_path / "parts.nii"
    image.to_filename(path)
    found = annotated.atlas.subregions(1, labels=path)
    np.testing.assert_array_equal(found["mean"], annotated.atlas.subregions(1, labels=labels)["mean"])
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(FormatError, match="it is truncated"):
        annotated.atlas.subregions(1, labels=path)


def test_statistics_over_the_animals_of_a_group(annotated: Store) -> None:
    version = ask(annotated, grouping=by_coordinate("AP", edges=[7500, 10_000]))
    frame = annotated.datasets.subregions(version, "VISp", bins={"AP": 2}, hemisphere="both", over_animals=True)
    assert frame.columns.to_list()[-6:] == ["hemisphere", "voxels", "n", "mean", "sd", "sem"]
    ids = version.groups[0].experiment_ids
    for row in frame.itertuples():
        own = [voxels(each)[75 + 5 * row.label : 80 + 5 * row.label, 10:40, 40:74].mean(dtype=float) for each in ids]
        assert (row.n, row.mean, row.sd) == (len(ids), pytest.approx(np.mean(own)), pytest.approx(np.std(own, ddof=1)))
    assert frame.attrs["annotation_sha256"]


def test_a_damaged_label_image_is_refused(annotated: Store, tmp_path: Path) -> None:
    (tmp_path / "x.npy").write_bytes(b"not an array")
    with pytest.raises(FormatError, match="is not a NumPy file"):
        annotated.atlas.subregions(1, labels=tmp_path / "x.npy")
