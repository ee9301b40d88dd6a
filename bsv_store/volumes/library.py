"""Volumes as files of a store: publishing and reading. The catalog knows which volumes exist."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from bsv_store.html import card
from bsv_store.vocabulary import VOLUME_KINDS, VolumeKind
from bsv_store.volumes.encoding import VolumeLayout, decode, encode
from bsv_store.volumes.large import block_hashes, dense_planes, read_large, write_large
from bsv_store.volumes.layout import slab_ranges
from bsv_store.volumes.volume import SparseArray, Volume

if TYPE_CHECKING:
    from bsv_store.volumes.files import StoreFiles
    from bsv_store.volumes.spool import SpooledVolume


@dataclass(frozen=True, slots=True)
class VolumeFile:
    """A published volume file, as recorded in the catalog.

    Attributes
    ----------
    experiment_id : int
    kind : VolumeKind
    path : str
        Relative to the store's folder.
    layout : VolumeLayout
    source : str
        URL or file name of its origin.
    fetched_at : datetime.datetime
        Aware UTC.
    """

    experiment_id: int
    kind: VolumeKind
    path: str
    layout: VolumeLayout
    source: str
    fetched_at: datetime

    def _repr_html_(self) -> str:
        facts = [
            ("Spacing", f"{self.spacing_um} um"),
            ("Source", self.source),
            ("Fetched", f"{self.fetched_at:%Y-%m-%d %H:%M} UTC"),
            ("File", self.path),
        ]
        return card(f"Experiment {self.experiment_id}", kind=VOLUME_KINDS[self.kind].words, facts=facts)

    @property
    def spacing_um(self) -> int:
        """Edge of a voxel, um."""
        return self.layout.grid.spacing_um


def publish_volume(files: StoreFiles, volume: Volume | SpooledVolume, *, experiment_id: int, source: str) -> VolumeFile:
    """Write the file of a volume; the caller commits its row afterwards.

    Volumes of 25 and 10 um are written slab by slab.

    Raises
    ------
    NoSpaceError, ReadOnlyStoreError, StoreError
        If the file cannot be written; nothing is published.
    """
    kind, grid = volume.kind, volume.grid

    def name(file_sha256: str) -> str:
        return f"volumes/{kind}/{grid.spacing_um}um/{experiment_id}.{file_sha256[:16]}.h5"

    if isinstance(volume, Volume) and not grid.is_large:
        encoded = encode(volume, experiment_id=experiment_id, source=source)
        path, layout = name(encoded.layout.file_sha256), encoded.layout
        files.publish(path, encoded.image)
    else:
        published = files.publish_stream(
            lambda sink: write_large(sink, volume, experiment_id=experiment_id, source=source),
            lambda hashes: name(hashes.sha256),
        )
        path, layout = published.path, published.content.layout(published.hashes)
    return VolumeFile(experiment_id, kind, path, layout, source, datetime.now(UTC))


def read_voxels(files: StoreFiles, file: VolumeFile) -> SparseArray | NDArray[np.float32]:
    """The voxels of a published volume as stored, every byte verified.

    This takes up to 308 MB at 25 um and 4.8 GB at 10 um; `read_slab` reads a part.

    Returns
    -------
    SparseArray or ndarray of float32, shape (ap, dv, ml)
        Read-only; NaN = no data.

    Raises
    ------
    DamagedFileError
        If the file is missing or differs in any bit from what was published.
    """
    layout = file.layout
    if not layout.has_slabs:
        return decode(files.read(file.path, size_bytes=layout.size_bytes, xxh3=layout.file_xxh3), layout)
    with _opened_large(files, file, verify_all=True) as (stream, layout):
        voxels = read_large(stream, layout, 0, layout.grid.shape[0], what=file.path)
    for array in (voxels.index, voxels.values) if isinstance(voxels, SparseArray) else (voxels,):
        array.flags.writeable = False
    return voxels


def read_slab(files: StoreFiles, file: VolumeFile, start: int, stop: int) -> SparseArray | NDArray[np.float32]:
    """The voxels of the AP planes [start, stop) of a published volume, every byte read is verified.

    At 25 and 10 um, only the blocks that contain these planes are read. If their hashes are not recorded
    (``layout.block_hashes``), the whole file is verified once per process. Smaller files are read completely.

    Returns
    -------
    SparseArray or ndarray of float32, shape (stop - start, dv, ml)
        NaN = no data. The index of a sparse array is over the whole grid; all voxels are in these planes.

    Raises
    ------
    DamagedFileError
        If the file is missing, or what was read of it differs from what was published.
    """
    if file.layout.has_slabs:
        return files.read_undamaged(file.path, lambda: _read_large_slab(files, file, start, stop))
    voxels = read_voxels(files, file)
    return voxels.planes(start, stop) if isinstance(voxels, SparseArray) else voxels[start:stop]


def _read_large_slab(files: StoreFiles, file: VolumeFile, start: int, stop: int) -> SparseArray | NDArray[np.float32]:
    with _opened_large(files, file) as (stream, layout):
        return read_large(stream, layout, start, stop, what=file.path)


def prefetch(files: StoreFiles, volumes: Iterable[VolumeFile]) -> None:
    """Make volumes available that are about to be read one after the other, except those that are read in slabs."""
    files.prefetch([file.path for file in volumes if not file.layout.has_slabs])


def computed_block_hashes(files: StoreFiles, file: VolumeFile) -> bytes:
    """Verify the whole file of a published large volume, and compute the hashes of its blocks.

    Raises
    ------
    DamagedFileError
        If the file is missing or differs in any bit from what was published.
    """
    with _opened_large(files, file, verify_all=True) as (_, layout):
        return layout.block_hashes or b""


# Cache of block hashes that are not in the catalog, by the SHA-256 of the file.
_computed: dict[str, bytes] = {}
_MAX_COMPUTED = 10_000


@contextmanager
def _opened_large(
    files: StoreFiles, file: VolumeFile, *, verify_all: bool = False
) -> Iterator[tuple[BinaryIO, VolumeLayout]]:
    """Context manager that opens a large volume for `read_large`; also yields its layout with block hashes.

    The whole file is verified if requested, or if the hashes are unknown.

    Raises
    ------
    DamagedFileError
        If the file is missing, has another size, or differs in any bit from what was published.
    """
    layout = file.layout
    hashes = layout.block_hashes or _computed.get(layout.file_sha256)
    xxh3 = layout.file_xxh3 if verify_all or hashes is None else None
    with files.opened(file.path, size_bytes=layout.size_bytes, xxh3=xxh3) as stream:
        if hashes is None:
            hashes = block_hashes(stream, layout, what=file.path)
            if len(_computed) >= _MAX_COMPUTED:
                _computed.clear()
            _computed[layout.file_sha256] = hashes
        yield stream, replace(layout, block_hashes=hashes)


def dense_slabs(files: StoreFiles, file: VolumeFile) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """First AP plane and voxels, shape (planes, dv, ml), of consecutive slabs of a volume, every byte verified.

    Memory: one slab, or the whole volume at 50 and 100 um.

    Raises
    ------
    DamagedFileError
        If the file is missing or differs in any bit from what was published.
    """
    if not file.layout.has_slabs:
        yield 0, read_array(files, file)
        return
    with _opened_large(files, file, verify_all=True) as (stream, layout):
        for start, stop in slab_ranges(layout.grid):
            yield start, dense_planes(read_large(stream, layout, start, stop, what=file.path), start, stop)


def read_array(files: StoreFiles, file: VolumeFile) -> NDArray[np.float32]:
    """The dense array of a published volume, every byte verified.

    Returns
    -------
    ndarray of float32, shape (ap, dv, ml)
        A new array, C order; NaN = no data. 308 MB at 25 um, 4.8 GB at 10 um.

    Raises
    ------
    DamagedFileError
        If the file is missing or differs in any bit from what was published.
    """
    voxels = read_voxels(files, file)
    return voxels.to_dense() if isinstance(voxels, SparseArray) else voxels.copy()


def describe(files: StoreFiles, file: VolumeFile) -> dict[str, Any]:
    """Facts about a published volume: grid, values, hashes, origin. Every byte is verified.

    Raises
    ------
    DamagedFileError
        If the file is missing or differs in any bit from what was published.
    """
    layout = file.layout
    count = non_zero = 0
    total, highest = 0.0, -np.inf
    for _, slab in dense_slabs(files, file):
        known = slab[~np.isnan(slab)]
        count += known.size
        non_zero += int(np.count_nonzero(known))
        total += float(known.sum(dtype=np.float64))
        highest = max(highest, float(known.max(initial=-np.inf)))
    return {
        "experiment_id": file.experiment_id,
        "kind": file.kind,
        "spacing_um": file.spacing_um,
        "shape_ap_dv_ml": "x".join(map(str, layout.grid.shape)),
        "non_zero": f"{non_zero / layout.grid.size:.1%}",
        "mean": total / count if count else None,
        "max": highest if count else None,
        "no_data_voxels": layout.no_data_voxels,
        "encoding": layout.encoding,
        "size_bytes": layout.size_bytes,
        "path": file.path,
        "array_sha256": layout.array_sha256,
        "file_sha256": layout.file_sha256,
        "source": file.source,
        "fetched_at": file.fetched_at,
    }
