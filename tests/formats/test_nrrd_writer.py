from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import nrrd as pynrrd
import numpy as np
import pytest
from numpy.typing import NDArray

from bsv_store.errors import FormatError
from bsv_store.formats.image import Image
from bsv_store.formats.nifti import affine_of
from bsv_store.formats.nrrd import header_of, read_nrrd, write_nrrd
from bsv_store.vocabulary import SPACINGS_UM
from bsv_store.volumes.grid import Grid
from tests.formats.bodies import NRRD_HEADER, voxels
from tests.formats.images import image_of


def write(path: Path, array: NDArray[Any], **facts: Any) -> Path:
    write_nrrd(image_of(array, **facts), path)
    return path


def test_written_volume_reads_back_equal(tmp_path: Path) -> None:
    path = write(tmp_path / "a.nrrd", voxels())
    assert np.array_equal(read_nrrd(path, "projection_density", what="x", spacing_um=100).array, voxels())
    array, _ = pynrrd.read(str(path), index_order="F")
    assert np.array_equal(array, voxels())


def test_no_data_of_volumes_is_allens_mark(tmp_path: Path) -> None:
    array = voxels()
    array[1, 2, 3] = np.nan
    path = write(tmp_path / "a.nrrd", array)
    assert pynrrd.read(str(path), index_order="F")[0][1, 2, 3] == -1
    assert np.array_equal(read_nrrd(path, "data_mask", what="x").array, array, equal_nan=True)
    assert np.isnan(array[1, 2, 3])


def test_computed_images_keep_negative_values_and_nan(tmp_path: Path) -> None:
    array = voxels()
    array[1, 2, 3], array[4, 5, 6], array[7, 8, 9] = np.nan, -1.0, -0.25
    found, _ = pynrrd.read(str(write(tmp_path / "a.nrrd", array, is_computed=True)), index_order="F")
    assert np.array_equal(found, array, equal_nan=True)


def test_header_is_like_allens_on_request(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.nrrd", voxels(), like_allen=True, title="mean of 3: café, mm³", facts={"not": "in Allen's"}
    )
    head = path.read_bytes().partition(b"\n\n")[0].decode("ascii").split("\n")
    fields = dict(line.split(": ", 1) for line in head[3:])
    assert head[0] == "NRRD0004"
    assert fields.pop("content") == "mean of 3: caf\\xe9, mm^3"
    assert fields == NRRD_HEADER


def test_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    assert write(tmp_path / "a", voxels()).read_bytes() == write(tmp_path / "b", voxels()).read_bytes()


@pytest.mark.parametrize("title", ["a\nencoding: raw", "", "a\x00", "x" * 300])
def test_title_cannot_add_lines_to_the_header(title: str, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="content"):
        write(tmp_path / "a.nrrd", voxels(), title=title)


AS_EXPORTED = NRRD_HEADER | {
    "space units": '"mm" "mm" "mm"',
    "space directions": "(0,0.1,0) (0,0,-0.1) (-0.1,0,0)",
    "labels": '"AP" "DV" "ML"',
    "space origin": "(-0.05,0.05,-0.05)",
}


def test_header_states_the_true_orientation(tmp_path: Path) -> None:
    head = write(tmp_path / "a.nrrd", voxels(), facts={"unit": "1"}).read_bytes().partition(b"\n\n")[0].decode("ascii")
    lines = head.split("\n")[3:]
    assert lines.pop() == "unit:=1"
    fields = dict(line.split(": ", 1) for line in lines)
    assert fields.pop("content") == "test image"
    assert fields == AS_EXPORTED


@pytest.mark.parametrize("spacing", SPACINGS_UM)
def test_nrrd_and_nifti_put_a_voxel_in_the_same_place(spacing: int) -> None:
    grid = Grid(spacing)
    image = Image(grid, "float32", lambda _: [], "title", "name", "volume")
    fields = pynrrd.read_header(io.BytesIO(header_of(image, "title")))
    index = np.array([7.0, 3.0, 5.0])
    left, posterior, superior = index @ fields["space directions"] + fields["space origin"]
    right, anterior, superior_of_nifti, _ = affine_of(grid) @ [*index, 1]
    assert (-left, -posterior, superior) == pytest.approx((right, anterior, superior_of_nifti))
    assert fields["space units"] == ["mm"] * 3


@pytest.mark.parametrize("like_allen", [False, True])
def test_both_headers_are_read_as_the_same_volume(tmp_path: Path, like_allen: bool) -> None:
    array = voxels()
    array[1, 2, 3] = np.nan
    path = write(tmp_path / "a.nrrd", array, like_allen=like_allen)
    found = read_nrrd(path, "data_mask", what="x", spacing_um=100).array
    assert np.array_equal(found, array, equal_nan=True)


def with_fields(path: Path, **changes: str) -> Path:
    """The file with other header fields."""
    head, _, data = path.read_bytes().partition(b"\n\n")
    lines = []
    for line in head.decode("ascii").split("\n"):
        name = line.split(":")[0].replace(" ", "_")
        if (value := changes.get(name)) != "":
            lines.append(line if value is None else f"{line.split(':')[0]}: {value}")
    path.write_bytes("\n".join(lines).encode() + b"\n\n" + data)
    return path


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"space_units": ""}, id="no unit"),
        pytest.param({"space_origin": ""}, id="no origin"),
        pytest.param({"space_origin": "(0,0,0)"}, id="corner as origin"),
        pytest.param({"space_directions": "(0,0.10000000000000001,0) (0,0,-0.1) (-0.10000001,0,0)"}, id="rounded"),
        pytest.param(
            {
                "space_units": '"um" "um" "um"',
                "space_directions": "(0,100,0) (0,0,-100) (-100,0,0)",
                "space_origin": "(-50,50,-50)",
            },
            id="micrometers",
        ),
        pytest.param(
            {
                "space": "right-anterior-superior",
                "space_directions": "(0,-0.1,0) (0,0,-0.1) (0.1,0,0)",
                "space_origin": "(0.05,-0.05,-0.05)",
            },
            id="RAS",
        ),
    ],
)
def test_true_orientations_that_other_programs_write_are_read(tmp_path: Path, changes: dict[str, str]) -> None:
    path = with_fields(write(tmp_path / "a.nrrd", voxels()), **changes)
    assert np.array_equal(read_nrrd(path, "projection_density", what="x").array, voxels())


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"space_directions": "(0,0.1,0) (0,0,-0.1) (0.1,0,0)"}, id="ML reversed"),
        pytest.param({"space_directions": "(0,-0.1,0) (0,0,-0.1) (-0.1,0,0)"}, id="AP reversed"),
        pytest.param({"space_directions": "(-0.1,0,0) (0,0,-0.1) (0,0.1,0)"}, id="axes exchanged"),
        pytest.param({"space_directions": "(0,0.2,0) (0,0,-0.2) (-0.2,0,0)"}, id="another spacing"),
        pytest.param({"space": "right-anterior-superior"}, id="another space"),
        pytest.param({"space": ""}, id="no space"),
        pytest.param({"space_origin": "(-0.05,1.05,-0.05)"}, id="shifted"),
    ],
)
def test_true_orientations_that_contradict_the_grid_are_refused(tmp_path: Path, changes: dict[str, str]) -> None:
    path = with_fields(write(tmp_path / "a.nrrd", voxels()), **changes)
    with pytest.raises(FormatError, match="contradict its 100 um grid"):
        read_nrrd(path, "projection_density", what="x")
