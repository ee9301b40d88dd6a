"""Files of large volumes (25 and 10 um), written and read slab by slab; each part that is read is verified.

They have the same datasets as those of small volumes, so that other HDF5 programs read both alike. The differences:

- ``indices_0`` and ``values`` consist of chunks, so that a part can be read. The catalog contains the hash of each
  chunk, see `bsv_store.volumes.blocks`;
- ``plane_start`` (uint64, one element more than AP planes) is the offset of each plane in them: a slab of AP planes is
  one contiguous range, since the indices ascend in C order;
- the attribute ``array_sha256`` identifies the volume.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from bsv_store.errors import DamagedFileError
from bsv_store.progress import do_nothing
from bsv_store.vocabulary import VolumeKind
from bsv_store.volumes.blocks import BlockHasher, BlockReader, file_blocks, little_endian
from bsv_store.volumes.encoding import Encoding, VolumeLayout
from bsv_store.volumes.files import FileHashes, repair_hint
from bsv_store.volumes.grid import Grid
from bsv_store.volumes.hdf5 import GuardedFile, opened_hdf5, written_hdf5
from bsv_store.volumes.hdf5_limits import HDF5_ERRORS, int_attribute, plain_dataset, text_attribute
from bsv_store.volumes.layout import DENSE_ABOVE, create_dense, describe_file, describe_sparse, slab_ranges
from bsv_store.volumes.volume import SparseArray

if TYPE_CHECKING:
    import h5py


class SlabSource(Protocol):
    """A validated volume that is read in slabs: `Volume` or `SpooledVolume`."""

    @property
    def kind(self) -> VolumeKind:
        """The kind of volume."""

    @property
    def grid(self) -> Grid:
        """The voxel grid."""

    @property
    def non_zero(self) -> int:
        """Number of voxels that are not 0, including those without data."""

    @property
    def no_data_voxels(self) -> int:
        """Number of voxels without data."""

    def slabs(self) -> Iterator[NDArray[np.float32]]:
        """The voxels in the slabs of `slab_ranges`."""


@dataclass(frozen=True, slots=True)
class LargeContent:
    """Facts about a large volume; together with the hashes of its file they are the layout."""

    grid: Grid
    encoding: Encoding
    value_count: int
    array_sha256: str
    no_data_voxels: int
    block_hashes: bytes | None

    def layout(self, hashes: FileHashes) -> VolumeLayout:
        """The layout of the file with these hashes."""
        return VolumeLayout(
            grid=self.grid,
            encoding=self.encoding,
            size_bytes=hashes.size_bytes,
            file_sha256=hashes.sha256,
            file_xxh3=hashes.xxh3,
            array_sha256=self.array_sha256,
            value_count=self.value_count,
            index_offset=None,
            value_offset=None,
            no_data_voxels=self.no_data_voxels,
            block_hashes=self.block_hashes,
        )


def slabs_sha256(volume: SlabSource) -> str:
    """SHA-256 of the little-endian C-order array of a volume, computed slab by slab."""
    digest = hashlib.sha256()
    for slab in volume.slabs():
        digest.update(little_endian(slab).data)
    return digest.hexdigest()


def write_large(sink: BinaryIO, volume: SlabSource, *, experiment_id: int, source: str) -> LargeContent:
    """Write the HDF5 file of a large volume; the same volume gives the same bytes.

    Parameters
    ----------
    sink : BinaryIO
        Unbuffered, readable and seekable.
    volume : SlabSource
    experiment_id : int
    source : str
        URL or file name of its origin.

    Returns
    -------
    LargeContent

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    grid = volume.grid
    is_sparse = volume.non_zero <= DENSE_ABOVE * grid.size
    count = volume.non_zero if is_sparse else grid.size
    encoding: Encoding = "sparse" if is_sparse else "dense"
    hasher = BlockHasher(file_blocks(grid, encoding, count))
    guard = GuardedFile(sink)
    with written_hdf5(guard) as file:
        describe_file(file, volume.kind, grid, experiment_id=experiment_id, source=source)
        slabs = _hashed(volume, guard, digest := hashlib.sha256())
        if is_sparse:
            describe_sparse(file, grid, volume.non_zero)
            _write_sparse(file, volume, slabs, hasher)
        else:
            dataset = create_dense(file, grid)
            for (start, stop), slab in zip(slab_ranges(grid), slabs, strict=True):
                dataset[start:stop] = slab
                hasher.add("volume", start, slab)
        file.attrs["array_sha256"] = np.bytes_(digest.hexdigest().encode())
    return LargeContent(grid, encoding, count, digest.hexdigest(), volume.no_data_voxels, hasher.finish())


def _hashed(volume: SlabSource, guard: GuardedFile, digest: Any) -> Iterator[NDArray[Any]]:
    for slab in volume.slabs():
        # Stop at once on a full disk, not after ten minutes of work.
        guard.check()
        little = little_endian(slab)
        digest.update(little.data)
        yield little


def _write_sparse(file: h5py.File, volume: SlabSource, slabs: Iterator[NDArray[Any]], hasher: BlockHasher) -> None:
    grid, count = volume.grid, volume.non_zero
    plane = grid.shape[1] * grid.shape[2]
    index_of = _Appender(file, hasher, "indices_0", "<u4", count)
    values_of = _Appender(file, hasher, "values", "<f4", count)
    starts = [0]
    for (start, stop), slab in zip(slab_ranges(grid), slabs, strict=True):
        flat = slab.reshape(-1)
        listed = np.flatnonzero(flat)
        before = starts[-1]
        ends = np.searchsorted(listed, np.arange(1, stop - start + 1) * plane)
        starts += [before + int(end) for end in ends]
        values_of.append(flat[listed])
        listed += start * plane
        index_of.append(listed.astype("<u4"))
    index_of.close()
    values_of.close()
    places = np.array(starts, "<u8")
    file.create_dataset("plane_start", data=places, chunks=places.shape, fletcher32=True)
    hasher.add("plane_start", 0, places)


class _Appender:
    """Writes a dataset in whole chunks, from pieces of any size."""

    def __init__(self, file: h5py.File, hasher: BlockHasher, name: str, dtype: str, size: int) -> None:
        blocks = hasher.blocks[name]
        options = {"chunks": blocks.chunks, "fletcher32": True} if size else {}
        self._dataset = file.create_dataset(name, shape=(size,), dtype=dtype, **options)
        self._hasher = hasher
        self._name = name
        self._chunk = blocks.length
        self._pending = np.empty(0, dtype)
        self._written = 0

    def append(self, values: NDArray[Any]) -> None:
        """Append values."""
        self._pending = np.concatenate([self._pending, values])
        self._flush(self._pending.size // self._chunk * self._chunk)

    def close(self) -> None:
        """Write the remaining values."""
        self._flush(self._pending.size)

    def _flush(self, count: int) -> None:
        if count:
            values = self._pending[:count]
            self._dataset[self._written : self._written + count] = values
            self._hasher.add(self._name, self._written, values)
            self._written += count
            self._pending = self._pending[count:].copy()


def block_hashes(
    stream: BinaryIO, layout: VolumeLayout, *, what: str, on_block: Callable[[], None] = do_nothing
) -> bytes:
    """Compute the hashes of the blocks of a file, whose content the caller must verify by other means.

    Parameters
    ----------
    on_block : callable
        Called before each block; may raise to stop the work.

    Raises
    ------
    DamagedFileError
        If the file is not that of a large volume with this layout.
    """
    hasher = BlockHasher(file_blocks(layout.grid, layout.encoding, layout.value_count))
    with _opened(stream, layout, what) as file:
        for part in hasher.blocks.values():
            dataset = part.dataset(file)
            for first in range(0, part.shape[0], part.length):
                on_block()
                hasher.add(part.name, first, dataset[first : first + part.length])
    return hasher.finish()


def read_large(
    stream: BinaryIO, layout: VolumeLayout, start: int, stop: int, *, what: str
) -> SparseArray | NDArray[np.float32]:
    """The voxels of the AP planes [start, stop) in a file whose size was verified.

    Only the blocks that contain them are read; each is compared with ``layout.block_hashes``.

    Returns
    -------
    SparseArray or ndarray of float32, shape (stop - start, dv, ml)
        NaN = no data. The index of a sparse array is over the whole grid.

    Raises
    ------
    DamagedFileError
        If a block differs from what was published.
    """
    if layout.block_hashes is None:
        raise ValueError(f"the hashes of the blocks of {what} are not known")
    with _opened(stream, layout, what) as file:
        blocks = BlockReader(file, file_blocks(layout.grid, layout.encoding, layout.value_count), layout.block_hashes)
        if layout.encoding == "dense":
            return blocks.read("volume", start, stop)
        places = blocks.read("plane_start", 0, layout.grid.shape[0] + 1)[start : stop + 1].astype(np.int64)
        low, high = int(places[0]), int(places[-1])
        if not 0 <= low <= high <= layout.value_count:
            raise ValueError("its parts are inconsistent")
        index, values = blocks.read("indices_0", low, high), blocks.read("values", low, high)
        _check_sparse(layout.grid, start, places - low, index, values)
    return SparseArray(layout.grid, index, values)


@contextmanager
def _opened(stream: BinaryIO, layout: VolumeLayout, what: str) -> Iterator[h5py.File]:
    """Context manager that opens a file with h5py and converts errors caused by its content.

    Raises
    ------
    DamagedFileError
        If the file cannot be read, or is that of another volume.
    """
    try:
        with opened_hdf5(stream, what=what) as file:
            if text_attribute(file, "array_sha256") != layout.array_sha256:
                raise DamagedFileError(
                    f"{what} contains a different volume from the one in the catalog", hint=repair_hint(what)
                )
            yield file
    except HDF5_ERRORS as error:
        raise DamagedFileError(f"{what} is damaged: {error}", hint=repair_hint(what)) from error


def _check_sparse(
    grid: Grid, start: int, places: NDArray[np.int64], index: NDArray[np.uint32], values: NDArray[np.float32]
) -> None:
    """Check that the parts of a slab are consistent: AP planes from ``start``, with their offsets ``places``.

    Raises
    ------
    ValueError
        If they are inconsistent.
    """
    if not (index[1:] > index[:-1]).all():
        raise ValueError("its indices do not ascend")
    if np.count_nonzero(values) < values.size:
        raise ValueError("it has zeros among the stored values")
    plane = grid.shape[1] * grid.shape[2]
    bounds = np.arange(start, start + len(places)) * plane
    if not np.array_equal(np.searchsorted(index, bounds.astype(index.dtype)), places):
        raise ValueError("its parts are inconsistent")


def read_content(
    stream: BinaryIO,
    grid: Grid,
    *,
    kind: VolumeKind,
    experiment_id: int,
    what: str,
    on_slab: Callable[[], None] = do_nothing,
) -> LargeContent:
    """Facts about a large volume from its file alone, which is read completely and compared with its hash.

    Parameters
    ----------
    on_slab : callable
        Called before each block and each slab; may raise to stop the work.

    Raises
    ------
    DamagedFileError
        If it is not an intact file of that volume.
    """
    try:
        with opened_hdf5(stream, what=what) as file:
            stated = (
                text_attribute(file, "kind"),
                int_attribute(file, "experiment_id"),
                int_attribute(file, "spacing_um"),
            )
            array_sha256 = text_attribute(file, "array_sha256")
            encoding: Encoding = "dense" if "volume" in file else "sparse"
            if encoding == "dense":
                count = plain_dataset(file, "volume", shape=grid.shape, dtype="<f4").size
            else:
                plain_dataset(file, "plane_start", shape=(grid.shape[0] + 1,), dtype="<u8")
                plain_dataset(file, "indices_0", dtype="<u4", limit=grid.size)
                count = len(plain_dataset(file, "values", dtype="<f4", limit=grid.size))
    except HDF5_ERRORS as error:
        raise DamagedFileError(f"{what} is not a readable volume file: {error}") from error
    if stated != (kind, experiment_id, grid.spacing_um):
        raise DamagedFileError(f"{what} is a file of another volume: {stated}")
    content = LargeContent(grid, encoding, count, array_sha256, 0, None)
    unverified = content.layout(FileHashes(0, "", ""))
    # Below, the slabs are compared with these hashes, and their digest with that of the array.
    content = replace(content, block_hashes=block_hashes(stream, unverified, what=what, on_block=on_slab))
    layout = content.layout(FileHashes(0, "", ""))
    digest, no_data = hashlib.sha256(), 0
    for start, stop in slab_ranges(grid):
        on_slab()
        slab = dense_planes(read_large(stream, layout, start, stop, what=what), start, stop)
        no_data += int(np.isnan(slab).sum())
        digest.update(little_endian(slab).data)
    if digest.hexdigest() != array_sha256:
        raise DamagedFileError(f"{what} does not match its own hash")
    return replace(content, no_data_voxels=no_data)


def dense_planes(voxels: SparseArray | NDArray[np.float32], start: int, stop: int) -> NDArray[np.float32]:
    """Voxels of the AP planes [start, stop) as a dense array of shape (stop - start, dv, ml)."""
    return voxels.dense_planes(start, stop) if isinstance(voxels, SparseArray) else voxels
