"""Shared by all volume files: attributes, the dense dataset, and slabs of AP planes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bsv_store.vocabulary import VOLUME_KINDS, VolumeKind
from bsv_store.volumes.grid import FRAME, ORIENTATION, Grid

if TYPE_CHECKING:
    import h5py


DENSE_ABOVE = 1 / 3
"""Fraction of non-zero voxels above which the dense layout is smaller and faster."""

_DENSE_CHUNK_BYTES = 1 << 20
# Size of a slab. Writing and reading large volumes and annotations takes the memory of a few slabs.
_SLAB_BYTES = 1 << 24

# NRRD and NIfTI files store ML planes one after the other, our files AP planes. Large volumes are therefore read once
# for each block of ML planes: twice at 25 um, 19 times at 10 um.
_BLOCK_BYTES = 1 << 28


def describe_file(file: h5py.File, kind: VolumeKind, grid: Grid, *, experiment_id: int, source: str) -> None:
    """Write the attributes of a volume file."""
    row = VOLUME_KINDS[kind]
    describe(
        file,
        grid,
        kind=kind,
        unit=row.unit,
        source=source,
        meaning=row.meaning,
        no_data="NaN",
        experiment_id=experiment_id,
    )


def describe(
    file: h5py.File,
    grid: Grid,
    *,
    kind: str,
    unit: str,
    source: str,
    meaning: str | None = None,
    no_data: str | None = None,
    experiment_id: int | None = None,
) -> None:
    """Write the attributes of a file of voxels that are not None."""
    attributes: dict[str, str | int | None] = {
        "kind": kind,
        "unit": unit,
        "axis_order": "ap dv ml",
        "frame": FRAME,
        "orientation": ORIENTATION,
        "source": source,
        "meaning": meaning,
        "no_data": no_data,
        "experiment_id": experiment_id,
        "spacing_um": grid.spacing_um,
    }
    for name, value in attributes.items():
        if value is None:
            continue
        # Fixed-length strings are in parts of the file that have checksums; variable-length ones are not.
        file.attrs[name] = np.int64(value) if isinstance(value, int) else np.bytes_(value.encode())
    file.attrs["shape"] = np.array(grid.shape, np.int64)


def describe_sparse(file: h5py.File, grid: Grid, count: int) -> None:
    """Write the binsparse descriptor of a sparse vector with ``count`` stored values."""
    description = {
        "binsparse": {
            "version": "0.1.0",
            "format": "CVEC",
            "shape": [grid.size],
            "number_of_stored_values": count,
            "data_types": {"indices_0": "uint32", "values": "float32"},
        }
    }
    file.attrs["binsparse"] = np.bytes_(json.dumps(description, separators=(",", ":")).encode())


def create_dense(file: h5py.File, grid: Grid, dtype: str = "<f4") -> h5py.Dataset:
    """Create the empty dataset of a dense volume, an annotation or a template."""
    return file.create_dataset(
        "volume",
        shape=grid.shape,
        dtype=dtype,
        # A few coronal planes per chunk, so that reading a region does not decompress the whole brain.
        chunks=(dense_chunk_planes(grid), *grid.shape[1:]),
        shuffle=True,
        compression="gzip",
        compression_opts=1,
        fletcher32=True,
    )


def slab_ranges(grid: Grid) -> list[tuple[int, int]]:
    """AP planes [start, stop) of the slabs in which files are written and read: whole chunks, about 16 MiB each."""
    chunk = dense_chunk_planes(grid)
    planes = max(1, _SLAB_BYTES // (chunk * _plane_bytes(grid))) * chunk
    return [(start, min(start + planes, grid.shape[0])) for start in range(0, grid.shape[0], planes)]


def ml_blocks(
    slabs: Callable[[], Iterable[tuple[int, NDArray[Any]]]], grid: Grid, dtype: str = "float32"
) -> Iterator[NDArray[Any]]:
    """Blocks of ML planes, shape (ap, dv, planes), at most 256 MiB each, of a volume that is read in slabs.

    Parameters
    ----------
    slabs : callable
        Returns the first AP plane and the voxels, shape (planes, dv, ml), of consecutive slabs. Called once per block.
    grid : Grid
    dtype : str
        Of the blocks.
    """
    ap, dv, ml = grid.shape
    depth = max(1, _BLOCK_BYTES // (ap * dv * np.dtype(dtype).itemsize))
    for first in range(0, ml, depth):
        block = np.empty((ap, dv, min(depth, ml - first)), dtype)
        for start, slab in slabs():
            block[start : start + len(slab)] = slab[..., first : first + depth]
        yield block


def dense_chunk_planes(grid: Grid) -> int:
    """Number of AP planes in a chunk of a dense dataset."""
    return min(max(1, _DENSE_CHUNK_BYTES // _plane_bytes(grid)), grid.shape[0])


def _plane_bytes(grid: Grid) -> int:
    return grid.shape[1] * grid.shape[2] * 4
