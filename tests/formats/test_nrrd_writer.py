from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import nrrd as pynrrd
import numpy as np
import pytest

from bsv_store.errors import FormatError, FrameError, InputError, NoSpaceError
from bsv_store.formats.nrrd import read_nrrd
from bsv_store.formats.nrrd_writer import write_nrrd
from bsv_store.volumes.grid import Grid
from tests.sources.bodies import GRID, NRRD_HEADER, voxels


def test_written_volume_reads_back_equal(tmp_path: Path) -> None:
    path = tmp_path / "a.nrrd"
    write_nrrd(path, voxels(), GRID, content="projection density")
    assert np.array_equal(read_nrrd(path, "projection_density", what="x", spacing_um=100).array, voxels())
    array, _ = pynrrd.read(str(path), index_order="F")
    assert np.array_equal(array, voxels())
    assert list(tmp_path.iterdir()) == [path]


def test_no_data_comes_back_where_allens_mark_is_used(tmp_path: Path) -> None:
    array = voxels()
    array[1, 2, 3] = np.nan
    write_nrrd(tmp_path / "a.nrrd", array, GRID, content="x", no_data=-1.0)
    assert np.array_equal(read_nrrd(tmp_path / "a.nrrd", "data_mask", what="x").array, array, equal_nan=True)
    assert np.isnan(array[1, 2, 3])


def test_averages_keep_negative_values_and_nan(tmp_path: Path) -> None:
    array = voxels()
    array[1, 2, 3], array[4, 5, 6], array[7, 8, 9] = np.nan, -1.0, -0.25
    write_nrrd(tmp_path / "a.nrrd", array, GRID, content="mean")
    found, _ = pynrrd.read(str(tmp_path / "a.nrrd"), index_order="F")
    assert np.array_equal(found, array, equal_nan=True)


def test_header_is_like_allens(tmp_path: Path) -> None:
    write_nrrd(tmp_path / "a.nrrd", voxels(), GRID, content="mean of 3: café")
    head = (tmp_path / "a.nrrd").read_bytes().partition(b"\n\n")[0].decode("ascii").split("\n")
    fields = dict(line.split(": ", 1) for line in head[3:])
    assert head[0] == "NRRD0004"
    assert fields.pop("content") == "mean of 3: caf\\xe9"
    assert fields == NRRD_HEADER


def test_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_nrrd(tmp_path / name, voxels(), GRID, content="x")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_array_off_the_grid_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FrameError):
        write_nrrd(tmp_path / "a.nrrd", voxels(), Grid(50), content="x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["a\nencoding: raw", "", "a\x00", "x" * 300])
def test_content_cannot_add_lines_to_the_header(content: str, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="content"):
        write_nrrd(tmp_path / "a.nrrd", voxels(), GRID, content=content)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("number", "error"), [(errno.ENOSPC, NoSpaceError), (errno.EIO, InputError)])
def test_failed_write_leaves_the_old_file_and_nothing_else(
    number: int, error: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.nrrd"
    path.write_bytes(b"old")

    def fail(*_: Any) -> None:
        raise OSError(number, "no")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(error, match=r"a\.nrrd"):
        write_nrrd(path, voxels(), GRID, content="x")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_folder_that_is_not_there_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        write_nrrd(tmp_path / "missing/a.nrrd", voxels(), GRID, content="x")
