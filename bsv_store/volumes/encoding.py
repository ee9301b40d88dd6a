"""Encoding of volumes as HDF5 file images, and decoding.

Most voxels of a volume are exactly zero (93 % at 100 um), so only the others are stored: two datasets in the binsparse
"compressed vector" layout (linear C-order index, value). If more than a third is non-zero, as in data masks, the volume
is one dense compressed dataset. The image is built in memory, because the HDF5 library crashes the interpreter on a
full disk, and in the 1.10 file format with Fletcher32, in which every flipped bit of the metadata is detected or
harmless. Each sparse array is one chunk whose offset is recorded: this package reads the whole file at once, hashes
it, and calls ``frombuffer`` twice. To other programs it is plain HDF5.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xxhash
from numpy.typing import NDArray

from bsv_store.errors import DamagedFileError
from bsv_store.volumes.grid import Grid
from bsv_store.volumes.hdf5 import FILE_FORMAT, opened_hdf5
from bsv_store.volumes.hdf5_limits import HDF5_ERRORS, int_attribute, plain_dataset
from bsv_store.volumes.layout import DENSE_ABOVE, create_dense, describe_file, describe_sparse
from bsv_store.volumes.volume import SparseArray, Volume

if TYPE_CHECKING:
    import h5py

Encoding = Literal["sparse", "dense"]


@dataclass(frozen=True, slots=True)
class VolumeLayout:
    """What is recorded about a volume file: enough to read it at once and to detect any change.

    Attributes
    ----------
    grid : Grid
    encoding : {'sparse', 'dense'}
    size_bytes : int
        Of the file.
    file_sha256, file_xxh3 : str
        Of the file's bytes, hexadecimal. The short one is verified on every read.
    array_sha256 : str
        Of the decoded array: little-endian float32, C order. It does not depend on the file format.
    value_count : int
        Number of stored values.
    index_offset : int or None
        Byte offset of the uint32 indices; None if dense or chunked.
    value_offset : int or None
        Byte offset of the float32 values; None if dense or chunked.
    no_data_voxels : int
    block_hashes : bytes or None
        For a file of slabs, the hashes of its blocks, see ``volumes/blocks.py``; None if not recorded.
    """

    grid: Grid
    encoding: Encoding
    size_bytes: int
    file_sha256: str
    file_xxh3: str
    array_sha256: str
    value_count: int
    index_offset: int | None
    value_offset: int | None
    no_data_voxels: int
    block_hashes: bytes | None = field(default=None, repr=False)

    @property
    def has_slabs(self) -> bool:
        """Whether a slab of AP planes can be read and verified without the rest: 25 and 10 um."""
        return self.grid.is_large if self.encoding == "dense" else self.index_offset is None


@dataclass(frozen=True, slots=True)
class EncodedVolume:
    """The bytes of a volume file and what is recorded about it."""

    image: bytes
    layout: VolumeLayout


def array_sha256(array: NDArray[Any]) -> str:
    """SHA-256 of an array's little-endian bytes in C order, hexadecimal."""
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return hashlib.sha256(little.data).hexdigest()


def encode(volume: Volume, *, experiment_id: int, source: str) -> EncodedVolume:
    """The HDF5 file of a volume. The same volume, experiment and source give the same bytes.

    Parameters
    ----------
    volume : Volume
    experiment_id : int
    source : str
        URL or file name of its origin.
    """
    import h5py

    array = volume.array
    stored = array != 0
    count = int(np.count_nonzero(stored))
    sparse = count <= DENSE_ABOVE * array.size
    memory = io.BytesIO()
    # Not with HDF5's own in-memory driver: before HDF5 2.0 its image has a wrong checksum.
    with h5py.File(memory, "w", libver=FILE_FORMAT) as file:
        describe_file(file, volume.kind, volume.grid, experiment_id=experiment_id, source=source)
        offsets: tuple[int | None, int | None] = (None, None)
        if sparse:
            voxels = SparseArray.from_stored(array, stored)
            no_data_voxels = int(np.isnan(voxels.values).sum())
            describe_sparse(file, volume.grid, count)
            offsets = (
                _write_array(file, "indices_0", np.asarray(voxels.index, "<u4")),
                _write_array(file, "values", np.asarray(voxels.values, "<f4")),
            )
        else:
            create_dense(file, volume.grid)[...] = array
            count, no_data_voxels = array.size, volume.no_data_voxels
    image = memory.getvalue()
    layout = VolumeLayout(
        grid=volume.grid,
        encoding="sparse" if sparse else "dense",
        size_bytes=len(image),
        file_sha256=hashlib.sha256(image).hexdigest(),
        file_xxh3=xxhash.xxh3_64_hexdigest(image),
        array_sha256=array_sha256(array),
        value_count=count,
        index_offset=offsets[0],
        value_offset=offsets[1],
        no_data_voxels=no_data_voxels,
    )
    return EncodedVolume(image, layout)


def decode(image: bytes | memoryview, layout: VolumeLayout) -> SparseArray | NDArray[np.float32]:
    """The voxels in a file image that was verified before. Sparse ones are not copied.

    Returns
    -------
    SparseArray or ndarray of float32, shape (ap, dv, ml)
        As stored; read-only; NaN = no data.
    """
    if layout.index_offset is None or layout.value_offset is None:
        dense = decode_with_hdf5(image, layout.grid, what="a volume", is_verified=True)
        dense.flags.writeable = False
        return dense
    values = np.frombuffer(image, "<f4", layout.value_count, layout.value_offset)
    index = np.frombuffer(image, "<u4", layout.value_count, layout.index_offset)
    return SparseArray(layout.grid, index, values, complete=layout.no_data_voxels == 0)


def decode_with_hdf5(
    image: bytes | memoryview, grid: Grid, *, what: str, is_verified: bool = False
) -> NDArray[np.float32]:
    """The dense array in a file image, read with h5py.

    Parameters
    ----------
    image : bytes or memoryview
    grid : Grid
        That the volume must have.
    what : str
        Name of the file, for errors.
    is_verified : bool
        Whether the image has a hash that the catalog recorded, so that its compressed chunks need not be checked.

    Returns
    -------
    ndarray of float32, shape (ap, dv, ml)

    Raises
    ------
    DamagedFileError
        If the HDF5 library cannot read it or the content is inconsistent.
    """
    try:
        with opened_hdf5(io.BytesIO(image), what=what) as file:
            if int_attribute(file, "spacing_um") != grid.spacing_um:
                raise ValueError(f"it does not have a spacing of {grid.spacing_um} um")
            if "volume" in file:
                if is_verified and file["volume"].shape == grid.shape:
                    return np.asarray(file["volume"][()], np.float32)
                return np.asarray(plain_dataset(file, "volume", shape=grid.shape, dtype="<f4")[()], np.float32)
            index, values = (
                plain_dataset(file, name, dtype=dtype, limit=grid.size)[()]
                for name, dtype in (("indices_0", "<u4"), ("values", "<f4"))
            )
            return SparseArray(grid, index, values).to_dense()
    except HDF5_ERRORS as error:
        raise DamagedFileError(f"{what} is not a readable volume file: {error}") from error


def _write_array(file: h5py.File, name: str, array: NDArray[Any]) -> int:
    if array.size == 0:
        file.create_dataset(name, data=array)
        return 0
    dataset = file.create_dataset(name, data=array, chunks=array.shape, fletcher32=True)
    file.flush()
    return int(dataset.id.get_chunk_info(0).byte_offset)
