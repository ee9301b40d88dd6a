from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel
import numpy as np
import pytest

from bsv_store.formats.nifti import affine_of, write_nifti
from bsv_store.formats.nifti_reader import read_nifti_labels
from bsv_store.vocabulary import SPACINGS_UM
from bsv_store.volumes.grid import Grid
from tests.formats.images import image_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

GRID = Grid(100)


def means(groups: int, dtype: str = "float32") -> NDArray[Any]:
    random = np.random.default_rng(1)
    return random.random((groups, *GRID.shape)).astype(dtype)


def write(path: Path, mean: NDArray[Any]) -> Path:
    write_nifti(image_of(mean, name="visual@1 mean"), path, compress=path.name.endswith(".gz"))
    return path


@pytest.mark.parametrize("spacing", SPACINGS_UM)
def test_world_coordinates_are_ccf_millimeters(spacing: int) -> None:
    grid = Grid(spacing)
    for index in ((0, 0, 0), (7, 3, 5)):
        right, anterior, superior, _ = affine_of(grid) @ [*index, 1]
        ap, dv, ml = ((each + 0.5) * spacing / 1000 for each in index)
        assert (right, anterior, superior) == pytest.approx((ml, -ap, -dv))


def test_the_header_is_that_of_the_format(tmp_path: Path) -> None:
    content = write(tmp_path / "a.nii", means(2)).read_bytes()
    assert struct.unpack_from("<i", content, 0) == (348,)
    assert struct.unpack_from("<8h", content, 40) == (4, 132, 80, 114, 2, 1, 1, 1)
    assert struct.unpack_from("<2h", content, 70) == (16, 32)
    assert struct.unpack_from("<f", content, 108) == (352.0,)
    assert content[123] == 2
    assert content[344:348] == b"n+1\0"
    assert len(content) == 352 + 2 * GRID.size * 4


def test_facts_are_a_comment_after_the_header(tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    mean = means(1)
    path = tmp_path / "a.nii"
    write_nifti(image_of(mean, facts={"unit": "mm\u00b3", "two": "lines\nof text"}), path, compress=False)
    content = path.read_bytes()
    (offset,) = struct.unpack_from("<f", content, 108)
    assert offset % 16 == 0
    assert content[348:352] == b"\1\0\0\0"
    assert len(content) == offset + GRID.size * 4
    image = nibabel.load(path)
    (comment,) = image.header.extensions
    assert comment.get_content().decode().rstrip("\0") == "unit: mm\u00b3\ntwo: lines of text\n"
    np.testing.assert_array_equal(np.asarray(image.dataobj), mean[0])


def test_the_first_axis_is_the_fastest(tmp_path: Path) -> None:
    mean = means(2)
    content = write(tmp_path / "a.nii", mean).read_bytes()
    stored = np.frombuffer(content, "<f4", offset=352).reshape((*GRID.shape, 2), order="F")
    np.testing.assert_array_equal(np.moveaxis(stored, -1, 0), mean)


def test_compressed_files_have_the_same_bytes_each_time(tmp_path: Path) -> None:
    mean = means(1)
    one, two = (write(tmp_path / f"{name}.nii.gz", mean).read_bytes() for name in ("one", "two"))
    assert one == two
    assert gzip.decompress(one) == write(tmp_path / "a.nii", mean).read_bytes()


@pytest.mark.parametrize(("groups", "dtype"), [(1, "float32"), (3, "float32"), (1, "float64")])
def test_nibabel_reads_values_and_orientation(tmp_path: Path, groups: int, dtype: str) -> None:
    nibabel = pytest.importorskip("nibabel")
    mean = means(groups, dtype)
    image = nibabel.load(write(tmp_path / "a.nii.gz", mean))
    values = np.asarray(image.dataobj)
    assert values.dtype == dtype
    np.testing.assert_array_equal(values, mean[0] if groups == 1 else np.moveaxis(mean, 0, -1))
    np.testing.assert_allclose(image.affine, affine_of(GRID), atol=1e-6)
    np.testing.assert_allclose(image.header.get_qform(), affine_of(GRID), atol=1e-6)
    np.testing.assert_allclose(image.header.get_sform(), affine_of(GRID), atol=1e-6)
    # The voxel axes run posterior, inferior, right.
    assert nibabel.aff2axcodes(image.affine) == ("P", "I", "R")
    assert image.header.get_zooms()[:3] == pytest.approx((0.1, 0.1, 0.1))
    assert image.header.get_xyzt_units()[0] == "mm"
    assert bytes(image.header["descrip"]).rstrip(b"\0") == b"visual@1 mean"


def test_a_sparse_label_image_is_read_whatever_its_compression(tmp_path: Path) -> None:
    grid = Grid(50)
    labels = np.zeros(grid.shape, np.int64)
    labels[60, 40, 50] = 7
    affine = np.array([[0, 0, 0.05, 0.025], [-0.05, 0, 0, -0.025], [0, -0.05, 0, -0.025], [0, 0, 0, 1]])
    header = bytearray(nibabel.Nifti1Image(labels, affine, dtype="int64").to_bytes()[:352])
    # Not finite: as without scaling.
    header[112:120] = np.full(2, np.nan, "<f4").tobytes()
    packed = zlib.compressobj(1, wbits=31)
    path = tmp_path / "labels.nii.gz"
    path.write_bytes(packed.compress(header) + packed.compress(labels.tobytes(order="F")) + packed.flush())
    assert labels.nbytes > 100 * path.stat().st_size
    assert np.array_equal(read_nifti_labels(path, grid, what="labels.nii.gz"), labels)
