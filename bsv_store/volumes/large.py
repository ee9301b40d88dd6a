"""Files of large volumes (25 and 10 um), written and read slab by slab, each part with its own checksums.

They have the same datasets as those of small volumes, so that other HDF5 programs read both alike. The differences:

- ``indices_0`` and ``values`` consist of chunks with a Fletcher32 checksum each, so that a part is verified when read;
- ``plane_start`` (uint64, one element more than AP planes) is the offset of each plane in them: a slab of AP planes is
  one contiguous range, since the indices ascend in C order;
- the attribute ``array_sha256`` identifies the volume, since reading a part does not verify the hash of the file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from bsv_store.errors import DamagedFileError
from bsv_store.progress import do_nothing
from bsv_store.vocabulary import VolumeKind
from bsv_store.volumes.encoding import Encoding, VolumeLayout
from bsv_store.volumes.files import REPAIR_HINT, FileHashes
from bsv_store.volumes.grid import Grid
from bsv_store.volumes.hdf5 import GuardedFile, written_hdf5
from bsv_store.volumes.layout import DENSE_ABOVE, create_dense, describe_file, describe_sparse, slab_ranges
from bsv_store.volumes.volume import SparseArray

if TYPE_CHECKING:
    import h5py

# 256 KiB: a slab at 25 um is about 20 chunks, so that reading whole chunks adds a few percent.
_CHUNK_VALUES = 1 << 16
_UNREADABLE = (OSError, KeyError, ValueError, IndexError, RuntimeError, TypeError)


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
        )


def slabs_sha256(volume: SlabSource) -> str:
    """SHA-256 of the little-endian C-order array of a volume, computed slab by slab."""
    digest = hashlib.sha256()
    for slab in volume.slabs():
        digest.update(_little(slab).data)
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
    guard = GuardedFile(sink)
    with written_hdf5(guard) as file:
        describe_file(file, volume.kind, grid, experiment_id=experiment_id, source=source)
        slabs = _hashed(volume, guard, digest := hashlib.sha256())
        if is_sparse:
            describe_sparse(file, grid, volume.non_zero)
            _write_sparse(file, volume, slabs)
        else:
            dataset = create_dense(file, grid)
            for (start, stop), slab in zip(slab_ranges(grid), slabs, strict=True):
                dataset[start:stop] = slab
        file.attrs["array_sha256"] = np.bytes_(digest.hexdigest().encode())
    count = volume.non_zero if is_sparse else grid.size
    encoding: Encoding = "sparse" if is_sparse else "dense"
    return LargeContent(grid, encoding, count, digest.hexdigest(), volume.no_data_voxels)


def _hashed(volume: SlabSource, guard: GuardedFile, digest: Any) -> Iterator[NDArray[Any]]:
    for slab in volume.slabs():
        # Stop at once on a full disk, not after ten minutes of work.
        guard.check()
        little = _little(slab)
        digest.update(little.data)
        yield little


def _write_sparse(file: h5py.File, volume: SlabSource, slabs: Iterator[NDArray[Any]]) -> None:
    grid, count = volume.grid, volume.non_zero
    plane = grid.shape[1] * grid.shape[2]
    index_of = _Appender(file, "indices_0", "<u4", count)
    values_of = _Appender(file, "values", "<f4", count)
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
    file.create_dataset("plane_start", data=np.array(starts, "<u8"), chunks=(len(starts),), fletcher32=True)


class _Appender:
    """Writes a dataset in whole chunks, from pieces of any size."""

    def __init__(self, file: h5py.File, name: str, dtype: str, size: int) -> None:
        options = {"chunks": (min(_CHUNK_VALUES, size),), "fletcher32": True} if size else {}
        self._dataset = file.create_dataset(name, shape=(size,), dtype=dtype, **options)
        self._pending = np.empty(0, dtype)
        self._written = 0

    def append(self, values: NDArray[Any]) -> None:
        """Append values."""
        self._pending = np.concatenate([self._pending, values])
        self._flush(self._pending.size // _CHUNK_VALUES * _CHUNK_VALUES)

    def close(self) -> None:
        """Write the remaining values."""
        self._flush(self._pending.size)

    def _flush(self, count: int) -> None:
        if count:
            self._dataset[self._written : self._written + count] = self._pending[:count]
            self._written += count
            self._pending = self._pending[count:].copy()


def read_large(
    stream: BinaryIO, layout: VolumeLayout, start: int, stop: int, *, what: str
) -> SparseArray | NDArray[np.float32]:
    """The voxels of the AP planes [start, stop) in a file whose size was verified; the rest is not read.

    Returns
    -------
    SparseArray or ndarray of float32, shape (stop - start, dv, ml)
        NaN = no data. The index of a sparse array is over the whole grid.

    Raises
    ------
    DamagedFileError
        If a checksum is wrong, or it is the file of another volume.
    """
    import h5py

    try:
        with h5py.File(stream, "r") as file:
            if bytes(file.attrs["array_sha256"]).decode() != layout.array_sha256:
                raise DamagedFileError(
                    f"{what} contains a different volume from the one in the catalog", hint=REPAIR_HINT
                )
            if layout.encoding == "dense":
                dense: NDArray[np.float32] = file["volume"][start:stop]
                return dense
            places = file["plane_start"][start : stop + 1]
            low, high = int(places[0]), int(places[-1])
            index, values = file["indices_0"][low:high], file["values"][low:high]
    except _UNREADABLE as error:
        raise DamagedFileError(f"{what} is damaged: {error}", hint=REPAIR_HINT) from error
    plane = layout.grid.shape[1] * layout.grid.shape[2]
    listed = len(index)
    if not listed == len(values) == high - low or (
        listed and not start * plane <= int(index.min()) <= int(index.max()) < stop * plane
    ):
        raise DamagedFileError(f"{what} is damaged: its parts are inconsistent", hint=REPAIR_HINT)
    return SparseArray(layout.grid, index, values)


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
        Called before each slab; may raise to stop the work.

    Raises
    ------
    DamagedFileError
        If it is not an intact file of that volume.
    """
    import h5py

    try:
        with h5py.File(stream, "r") as file:
            stated = file.attrs["kind"].decode(), int(file.attrs["experiment_id"]), int(file.attrs["spacing_um"])
            array_sha256 = bytes(file.attrs["array_sha256"]).decode()
            encoding: Encoding = "dense" if "volume" in file else "sparse"
            count = grid.size if encoding == "dense" else len(file["values"])
    except _UNREADABLE as error:
        raise DamagedFileError(f"{what} is not a readable volume file: {error}") from error
    if stated != (kind, experiment_id, grid.spacing_um):
        raise DamagedFileError(f"{what} is a file of another volume: {stated}")
    digest, no_data = hashlib.sha256(), 0
    layout = LargeContent(grid, encoding, count, array_sha256, 0).layout(FileHashes(0, "", ""))
    for start, stop in slab_ranges(grid):
        on_slab()
        slab = dense_planes(read_large(stream, layout, start, stop, what=what), start, stop)
        no_data += int(np.isnan(slab).sum())
        digest.update(_little(slab).data)
    if digest.hexdigest() != array_sha256:
        raise DamagedFileError(f"{what} does not match its own hash")
    return LargeContent(grid, encoding, count, array_sha256, no_data)


def dense_planes(voxels: SparseArray | NDArray[np.float32], start: int, stop: int) -> NDArray[np.float32]:
    """Voxels of the AP planes [start, stop) as a dense array of shape (stop - start, dv, ml)."""
    return voxels.dense_planes(start, stop) if isinstance(voxels, SparseArray) else voxels


def _little(slab: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(slab).astype(slab.dtype.newbyteorder("<"), copy=False)
