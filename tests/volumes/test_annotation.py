"""The annotation as a value and as a file: packed, published, read in part, refused where it is damaged."""

from __future__ import annotations

import hashlib
import io
import itertools
import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from bsv_store.errors import DamagedFileError, FormatError
from bsv_store.volumes import annotation as module
from bsv_store.volumes.annotation import (
    Annotation,
    annotation_from_image,
    annotation_image,
    opened_annotation,
    publish_annotation,
    runs,
)
from bsv_store.volumes.files import StoreFiles
from bsv_store.volumes.grid import Grid

GRID = Grid(100)


@pytest.fixture
def files(tmp_path: Path) -> StoreFiles:
    return StoreFiles(tmp_path)


def ids(grid: Grid = GRID) -> NDArray[np.uint32]:
    """Ids that differ along every axis."""
    array = np.zeros(grid.shape, np.uint32)
    array[5:90, 10:60, 20:90] = 997
    array[40:50, 20:30, 30:70] = 614454277
    array[60:, 20, 50:52] = 1
    return array


def annotation(array: NDArray[np.uint32] | None = None) -> Annotation:
    known = ids() if array is None else array
    return Annotation.from_planes(Grid.from_shape(known.shape), lambda first, last: known[first:last])


def unpacked(value: Annotation) -> NDArray[np.uint32]:
    return np.concatenate([planes for _, planes in value.slabs()])


@pytest.mark.parametrize("spacing", [50, 100])
def test_blocks_along_ml_and_planes_along_ap_make_the_same(spacing: int) -> None:
    array = ids(Grid(spacing))
    cuts = [0, 3, 50, array.shape[2]]
    blocks = [np.asfortranarray(array[:, :, a:b]) for a, b in itertools.pairwise(cuts)]
    from_blocks = Annotation.from_blocks(Grid(spacing), blocks)
    from_planes = annotation(array)
    np.testing.assert_array_equal(unpacked(from_blocks), array)
    assert from_blocks.packed == from_planes.packed
    for value in (from_blocks, from_planes):
        assert value.grid == Grid(spacing)
        assert value.structure_ids == (1, 997, 614454277)
        assert value.annotated_voxels == np.count_nonzero(array)
        assert value.array_sha256 == hashlib.sha256(array.astype("<u4").tobytes()).hexdigest()


def test_noise_is_not_an_annotation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_PACKED_BYTES", 1 << 20)
    noise = np.random.default_rng(0).integers(1, 2**32, GRID.shape, np.uint32)
    with pytest.raises(FormatError, match="not an annotation"):
        annotation(noise)
    annotation()


def test_file_reads_back_by_hdf5_alone(files: StoreFiles) -> None:
    file = publish_annotation(files, annotation(), source="annotation_100.nrrd")
    assert file.path == f"volumes/annotation/100um/annotation.{file.file_sha256[:16]}.h5"
    assert (files.root / file.path).stat().st_size == file.size_bytes
    assert (file.structure_count, file.annotated_voxels) == (3, int(np.count_nonzero(ids())))
    with h5py.File(files.root / file.path) as opened:
        dataset = opened["volume"]
        np.testing.assert_array_equal(dataset[:], ids())
        assert dataset.dtype == np.dtype("<u4")
        assert (dataset.compression, dataset.shuffle, dataset.fletcher32) == ("gzip", True, True)
        assert dataset.chunks[1:] == GRID.shape[1:]
        facts = {name: opened.attrs[name] for name in ("kind", "frame", "orientation", "source", "axis_order")}
        assert (opened.attrs["spacing_um"], opened.attrs["shape"].tolist()) == (100, list(GRID.shape))
    assert facts == {
        "kind": b"annotation",
        "frame": b"Allen CCFv3 (2017)",
        "orientation": b"asl",
        "source": b"annotation_100.nrrd",
        "axis_order": b"ap dv ml",
    }


def test_the_same_annotation_gives_the_same_bytes() -> None:
    image = annotation_image(annotation(), source="x")
    assert annotation_image(annotation(), source="x") == image
    again, source = annotation_from_image(image, what="x")
    assert source == "x"
    assert annotation_image(again, source=source) == image
    assert annotation_image(annotation(), source="y") != image


def test_a_slab_is_read_without_the_rest(files: StoreFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    array = ids(Grid(50))
    file = publish_annotation(files, annotation(array), source="x")
    with opened_annotation(files, file) as dataset:
        tracemalloc.start()
        part = dataset[100:104]
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    np.testing.assert_array_equal(part, array[100:104])
    assert peak < array.nbytes / 4


def test_any_flipped_bit_is_noticed(files: StoreFiles) -> None:
    file = publish_annotation(files, annotation(), source="x")
    path = files.root / file.path
    good = path.read_bytes()
    random = np.random.default_rng(0)
    for _ in range(100):
        bad = bytearray(good)
        bad[random.integers(len(bad))] ^= 1 << random.integers(8)
        path.write_bytes(bad)
        with pytest.raises(DamagedFileError), opened_annotation(files, file):
            pass
    path.unlink()
    with pytest.raises(DamagedFileError, match="missing"), opened_annotation(files, file):
        pass


def test_files_that_are_not_annotations_are_named() -> None:
    other = io.BytesIO()
    with h5py.File(other, "w") as file:
        file["volume"] = np.zeros((3, 4))
    for image in (b"", b"HDF", other.getvalue(), annotation_image(annotation(), source="x")[:-200]):
        with pytest.raises((DamagedFileError, FormatError), match="this file"):
            annotation_from_image(image, what="this file")


def test_runs_are_stretches_of_equal_neighbors() -> None:
    starts, lengths = runs(np.array([[7, 7, 0], [0, 0, 3]]))
    assert starts.tolist() == [0, 2, 5]
    assert lengths.tolist() == [2, 3, 1]
    starts, lengths = runs(np.array([4]))
    assert (starts.tolist(), lengths.tolist()) == ([0], [1])
