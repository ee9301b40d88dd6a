"""Volumes as files of a store: publish one, read one. Which volumes there are is the catalog's business."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bsv_store.volumes.encoding import VolumeLayout, decode, encode
from bsv_store.volumes.volume import SparseArray, Volume, VolumeKind

if TYPE_CHECKING:
    from bsv_store.volumes.files import StoreFiles


@dataclass(frozen=True, slots=True)
class VolumeFile:
    """A published volume file: the catalog's row of it, as a value.

    Attributes
    ----------
    experiment_id : int
    kind : VolumeKind
    path : str
        Relative to the store's folder.
    layout : VolumeLayout
    source : str
        URL or file name that it came from.
    fetched_at : datetime.datetime
        Aware UTC.
    """

    experiment_id: int
    kind: VolumeKind
    path: str
    layout: VolumeLayout
    source: str
    fetched_at: datetime

    @property
    def spacing_um(self) -> int:
        """Edge of a voxel, um."""
        return self.layout.grid.spacing_um


def publish_volume(files: StoreFiles, volume: Volume, *, experiment_id: int, source: str) -> VolumeFile:
    """The published file of a volume; the caller commits its row afterwards.

    Raises
    ------
    NoSpaceError, ReadOnlyStoreError, StoreError
        If the file cannot be written; nothing is published then.
    """
    encoded = encode(volume, experiment_id=experiment_id, source=source)
    layout = encoded.layout
    path = f"volumes/{volume.kind}/{layout.grid.spacing_um}um/{experiment_id}.{layout.file_sha256[:16]}.h5"
    files.publish(path, encoded.image)
    return VolumeFile(experiment_id, volume.kind, path, layout, source, datetime.now(UTC))


def read_voxels(files: StoreFiles, file: VolumeFile) -> SparseArray | NDArray[np.float32]:
    """The voxels of a published volume as the file stores them, every byte checked.

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
    return decode(files.read(file.path, size_bytes=layout.size_bytes, xxh3=layout.file_xxh3), layout)


def read_array(files: StoreFiles, file: VolumeFile) -> NDArray[np.float32]:
    """The dense array of a published volume, every byte checked.

    Returns
    -------
    ndarray of float32, shape (ap, dv, ml)
        C order, writable, the caller's own; NaN = no data.

    Raises
    ------
    DamagedFileError
        If the file is missing or differs in any bit from what was published.
    """
    voxels = read_voxels(files, file)
    return voxels.to_dense() if isinstance(voxels, SparseArray) else voxels.copy()


def describe(files: StoreFiles, file: VolumeFile) -> dict[str, Any]:
    """What is known of a published volume: grid, values, hashes, origin; every byte checked.

    Raises
    ------
    DamagedFileError
        If the file is missing or differs in any bit from what was published.
    """
    array = read_array(files, file)
    layout = file.layout
    known = array[~np.isnan(array)]
    return {
        "experiment_id": file.experiment_id,
        "kind": file.kind,
        "spacing_um": file.spacing_um,
        "shape_ap_dv_ml": "x".join(map(str, array.shape)),
        "non_zero": f"{np.count_nonzero(known) / array.size:.1%}",
        "mean": float(known.mean(dtype=np.float64)) if known.size else None,
        "max": float(known.max()) if known.size else None,
        "no_data_voxels": layout.no_data_voxels,
        "encoding": layout.encoding,
        "size_bytes": layout.size_bytes,
        "path": file.path,
        "array_sha256": layout.array_sha256,
        "file_sha256": layout.file_sha256,
        "source": file.source,
        "fetched_at": file.fetched_at,
    }
