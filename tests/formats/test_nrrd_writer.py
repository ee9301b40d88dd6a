from __future__ import annotations

from pathlib import Path
from typing import Any

import nrrd as pynrrd
import numpy as np
import pytest
from numpy.typing import NDArray

from bsv_store.errors import FormatError
from bsv_store.formats.nrrd import read_nrrd, write_nrrd
from tests.formats.images import image_of
from tests.sources.bodies import NRRD_HEADER, voxels


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


def test_header_is_like_allens(tmp_path: Path) -> None:
    path = write(tmp_path / "a.nrrd", voxels(), title="mean of 3: café, mm³", facts={"not": "in Allen's files"})
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
