"""The annotation as an NRRD file."""

from __future__ import annotations

import gzip
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bsv_store.errors import FormatError, FrameError, InputError
from bsv_store.formats.annotation import read_annotation_nrrd
from bsv_store.volumes.annotation import Annotation
from bsv_store.volumes.grid import Grid
from bsv_store_synthetic import SyntheticAtlas, anatomy, wire_volumes
from tests.formats.bodies import GRID, nrrd, raw


def array_of(annotation: Annotation) -> NDArray[np.uint32]:
    return np.concatenate([planes for _, planes in annotation.slabs()])


def body(ids: NDArray[np.generic], dtype: str = "<u4", kind: str = "unsigned int", **changes: str) -> bytes:
    return nrrd(gzip.compress(raw(ids, dtype), 1), type=kind, **changes)


def some_ids(grid: Grid = GRID) -> NDArray[np.uint32]:
    ids = np.zeros(grid.shape, np.uint32)
    ids[5, 6, 7] = 4_294_967_295
    ids[60:70, 8, :] = 1
    return ids


@pytest.mark.parametrize(
    ("kind", "dtype", "changes"),
    [
        ("unsigned int", "<u4", {}),
        ("uint32", ">u4", {"endian": "big"}),
        ("long long int", "<i8", {}),
        ("double", "<f8", {}),
    ],
)
def test_it_is_read_from_any_type_of_whole_numbers(kind: str, dtype: str, changes: dict[str, str]) -> None:
    annotation = read_annotation_nrrd(body(some_ids(), dtype, kind, **changes), what="x")
    assert annotation.grid == GRID
    np.testing.assert_array_equal(array_of(annotation), some_ids())


def test_a_narrow_type_and_raw_encoding_do_as_well() -> None:
    ids = np.zeros(GRID.shape, np.uint16)
    ids[1, 2, 3] = 997
    annotation = read_annotation_nrrd(nrrd(raw(ids, "<u2"), type="ushort", encoding="raw"), what="x")
    np.testing.assert_array_equal(array_of(annotation), ids)


def test_whole_numbers_of_a_floating_point_type_are_read_if_all_ids_are_exact() -> None:
    ids = np.minimum(some_ids(), 2**24 - 1)
    annotation = read_annotation_nrrd(body(ids, "<f4", "float"), what="x")
    np.testing.assert_array_equal(array_of(annotation), ids)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        pytest.param(b"", "must be an NRRD file", id="empty"),
        pytest.param(b"<html>404</html>", "web page", id="html"),
        pytest.param(body(some_ids())[:-20], "truncated", id="cut"),
        pytest.param(body(some_ids()) + b"x", "more data", id="trailing"),
        pytest.param(body(some_ids() + 0.5, "<f8", "double"), "numbers with fractions", id="fractions"),
        pytest.param(body(np.where(some_ids() == 1, np.nan, 0), "<f4", "float"), "with fractions", id="nan"),
        pytest.param(body(np.minimum(some_ids(), 2**24), "<f4", "float"), "float32, which is exact", id="rounded"),
    ],
)
def test_files_that_are_not_annotations_are_refused(content: bytes, complaint: str) -> None:
    with pytest.raises(FormatError, match=complaint):
        read_annotation_nrrd(content, what="the file")


@pytest.mark.parametrize(("kind", "dtype", "value"), [("int", "<i4", -1), ("long long int", "<i8", 2**32)])
def test_numbers_that_are_not_ids_are_refused(kind: str, dtype: str, value: int) -> None:
    ids = np.zeros(GRID.shape, np.int64)
    ids[1, 2, 3] = value
    with pytest.raises(FormatError, match="not structure ids"):
        read_annotation_nrrd(body(ids, dtype, kind), what="x")


@pytest.mark.parametrize(
    ("sizes", "complaint"), [("133 81 115", "CCFv2"), ("132 80 113", "not a CCFv3 grid"), ("264 160 228", "directions")]
)
def test_another_grid_is_refused(sizes: str, complaint: str) -> None:
    with pytest.raises(FrameError, match=complaint):
        read_annotation_nrrd(nrrd(type="unsigned int", sizes=sizes), what="x")


def test_another_spacing_than_asked_for_is_refused() -> None:
    with pytest.raises(FrameError, match="100 um, not of 25 um"):
        read_annotation_nrrd(body(some_ids()), what="x", spacing_um=25)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="gone"):
        read_annotation_nrrd(tmp_path / "gone.nrrd", what="gone.nrrd")


@pytest.mark.parametrize("spacing", [25, pytest.param(10, marks=pytest.mark.long)])
def test_memory_is_bounded_by_blocks_not_by_the_grid(tmp_path: Path, spacing: int) -> None:
    path = tmp_path / "annotation.nrrd"
    # The voxels of 100 um, repeated, because sampling the shapes at 25 um takes ten seconds.
    path.write_bytes(wire_volumes.nrrd(anatomy.INVENTED.annotation, spacing, dtype="u4"))
    tracemalloc.start()
    annotation = read_annotation_nrrd(path, what="x", spacing_um=spacing)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # The arrays would be 308 MB and 4.8 GB.
    assert peak < 200e6
    assert annotation.grid == Grid(spacing)
    repeat = 100 // spacing
    for first, planes in annotation.slabs():
        expected = SyntheticAtlas().annotation[(first + np.arange(len(planes))) // repeat]
        np.testing.assert_array_equal(planes[:, ::repeat, repeat - 1 :: repeat], expected)
