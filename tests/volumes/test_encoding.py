"""Volumes to HDF5 and back, by our own reading and by anybody's."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import h5py
import numpy as np
import pytest

from bsv_store.errors import DamagedFileError
from bsv_store.volumes.encoding import array_sha256, decode, decode_with_hdf5, encode
from bsv_store.volumes.grid import Grid
from bsv_store.volumes.volume import SparseArray, Volume

SHAPE = Grid(100).shape


def volume(fraction: float, *, no_data: bool = False) -> Volume:
    random = np.random.default_rng(7)
    array = random.random(SHAPE, np.float32)
    array[random.random(SHAPE) >= fraction] = 0
    if no_data:
        array[0, 0, :3] = np.nan
    return Volume("projection_density", array)


def dense(voxels: SparseArray | np.ndarray) -> np.ndarray:
    return voxels.to_dense() if isinstance(voxels, SparseArray) else voxels


@pytest.mark.parametrize(("fraction", "encoding"), [(0.0, "sparse"), (0.07, "sparse"), (0.5, "dense"), (1.0, "dense")])
@pytest.mark.parametrize("no_data", [False, True])
def test_both_ways_of_reading_return_what_was_written(fraction: float, encoding: str, no_data: bool) -> None:
    original = volume(fraction, no_data=no_data)
    encoded = encode(original, experiment_id=1, source="test")
    assert encoded.layout.encoding == encoding
    np.testing.assert_array_equal(dense(decode(encoded.image, encoded.layout)), original.array)
    np.testing.assert_array_equal(decode_with_hdf5(encoded.image, original.grid, what="x"), original.array)
    assert encoded.layout.array_sha256 == array_sha256(original.array)
    assert encoded.layout.no_data_voxels == (3 if no_data else 0)


def test_same_volume_gives_same_bytes() -> None:
    first, second = (encode(volume(0.07), experiment_id=1, source="test") for _ in range(2))
    assert first == second


def test_exactly_a_third_of_the_voxels_is_stored_sparse() -> None:
    array = np.zeros(SHAPE, np.float32)
    array.reshape(-1)[: array.size // 3] = 1
    assert encode(Volume("data_mask", array), experiment_id=1, source="test").layout.encoding == "sparse"
    array.reshape(-1)[array.size // 3] = 1
    assert encode(Volume("data_mask", array), experiment_id=1, source="test").layout.encoding == "dense"


@pytest.mark.parametrize("no_data", [False, True])
def test_only_a_volume_without_missing_voxels_is_read_as_complete(no_data: bool) -> None:
    """An average trusts this, and looks for no NaN in such a volume."""
    encoded = encode(volume(0.07, no_data=no_data), experiment_id=1, source="test")
    voxels = decode(encoded.image, encoded.layout)
    assert isinstance(voxels, SparseArray)
    assert voxels.complete is not no_data
    one = replace(encoded.layout, no_data_voxels=1)
    incomplete = decode(encoded.image, one)
    assert isinstance(incomplete, SparseArray)
    assert incomplete.complete is False


def test_an_empty_volume_has_no_voxels_at_offset_0() -> None:
    encoded = encode(volume(0.0), experiment_id=1, source="test")
    assert (encoded.layout.index_offset, encoded.layout.value_offset, encoded.layout.value_count) == (0, 0, 0)
    voxels = decode(encoded.image, encoded.layout)
    assert isinstance(voxels, SparseArray)
    assert voxels.index.size == 0


@pytest.mark.parametrize("fraction", [0.07, 0.5])
def test_what_was_read_cannot_be_changed(fraction: float) -> None:
    encoded = encode(volume(fraction), experiment_id=1, source="test")
    voxels = decode(encoded.image, encoded.layout)
    for array in (voxels.index, voxels.values) if isinstance(voxels, SparseArray) else (voxels,):
        assert not array.flags.writeable


def test_only_a_dense_file_at_25_um_has_slabs() -> None:
    small = encode(volume(0.5), experiment_id=1, source="test").layout
    assert not small.has_slabs
    assert replace(small, grid=Grid(25)).has_slabs
    sparse = encode(volume(0.07), experiment_id=1, source="test").layout
    assert not sparse.has_slabs
    assert replace(sparse, index_offset=None, value_offset=None).has_slabs


def test_verified_numbers_of_another_type_are_read_as_float32() -> None:
    """A file whose hash the catalog knows is read as it is; any other one must be as this package writes it."""
    grid, memory = Grid(100), io.BytesIO()
    with h5py.File(memory, "w") as file:
        file.attrs["spacing_um"] = 100
        file["volume"] = np.ones(grid.shape, ">f8")
    image = memory.getvalue()
    empty = encode(volume(0.0), experiment_id=1, source="test").layout
    found = decode(image, replace(empty, index_offset=None, value_offset=None))
    assert isinstance(found, np.ndarray)
    assert found.dtype == np.dtype("<f4")
    assert (found == 1).all()
    with pytest.raises(DamagedFileError, match="has the type"):
        decode_with_hdf5(image, grid, what="x")


def test_a_volume_of_another_spacing_is_refused() -> None:
    """Its voxels would be elsewhere in the larger grid."""
    image = encode(volume(0.07), experiment_id=1, source="test").image
    with pytest.raises(DamagedFileError, match="x is not a readable volume file: it does not have a spacing of 50 um"):
        decode_with_hdf5(image, Grid(50), what="x")


def test_metadata_has_checksums() -> None:
    """They begin with version 2 of the superblock."""
    assert encode(volume(0.07), experiment_id=1, source="test").image[8] >= 2


def test_sparse_file_is_a_fraction_of_the_dense_size() -> None:
    encoded = encode(volume(0.07), experiment_id=1, source="test")
    assert encoded.layout.size_bytes < 0.15 * Grid(100).size * 4


def test_file_describes_itself() -> None:
    encoded = encode(volume(0.07), experiment_id=158375425, source="https://somewhere/158375425")
    with h5py.File(io.BytesIO(encoded.image)) as file:
        assert file.attrs["kind"] == b"projection_density"
        assert file.attrs["experiment_id"] == 158375425
        assert file.attrs["spacing_um"] == 100
        assert tuple(file.attrs["shape"]) == SHAPE
        assert file.attrs["axis_order"] == b"ap dv ml"
        assert file.attrs["source"] == b"https://somewhere/158375425"
        description = json.loads(file.attrs["binsparse"])["binsparse"]
        assert description["format"] == "CVEC"
        assert description["number_of_stored_values"] == len(file["values"]) == len(file["indices_0"])


def test_flipped_bit_in_the_data_is_noticed_by_the_hdf5_library() -> None:
    encoded = encode(volume(0.07), experiment_id=1, source="test")
    for offset in (encoded.layout.index_offset, encoded.layout.value_offset):
        assert offset is not None
        image = bytearray(encoded.image)
        image[offset + 1000] ^= 4
        with pytest.raises(DamagedFileError):
            decode_with_hdf5(bytes(image), Grid(100), what="x")


def test_hash_of_an_array_does_not_depend_on_its_layout_in_memory() -> None:
    array = np.arange(24, dtype="f4").reshape(2, 3, 4)
    assert array_sha256(array) == array_sha256(np.asfortranarray(array)) == array_sha256(array.astype(">f4"))
    assert array_sha256(array) != array_sha256(array + 1)
