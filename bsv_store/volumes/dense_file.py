"""HDF5 files of one array that is compressed by AP planes: annotations and templates."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bsv_store.progress import do_nothing
from bsv_store.volumes.grid import Grid
from bsv_store.volumes.hdf5 import FILE_FORMAT, opened_hdf5
from bsv_store.volumes.layout import create_dense, describe, slab_ranges

if TYPE_CHECKING:
    from bsv_store.volumes.files import StoreFiles


def dense_image(
    grid: Grid,
    slabs: Iterable[tuple[int, NDArray[Any]]],
    *,
    dtype: str,
    kind: str,
    unit: str,
    source: str,
    on_slab: Callable[[], None] = do_nothing,
) -> bytes:
    """The HDF5 file of an array. The same array and attributes give the same bytes.

    Dataset ``volume``: axes [ap, dv, ml]; attributes as in the files of volumes.

    Parameters
    ----------
    slabs : iterable of (int, ndarray)
        First AP plane and values, shape (planes, dv, ml), of consecutive slabs.
    dtype : str
        NumPy's code, little-endian.
    kind, unit, source : str
        See `describe`.
    on_slab : callable
        Called before each slab; may raise to stop the work.
    """
    import h5py

    memory = io.BytesIO()
    with h5py.File(memory, "w", libver=FILE_FORMAT) as file:
        describe(file, grid, kind=kind, unit=unit, source=source)
        dataset = create_dense(file, grid, dtype)
        for first, planes in slabs:
            on_slab()
            dataset[first : first + len(planes)] = planes
    return memory.getvalue()


@contextmanager
def opened_dense(files: StoreFiles, path: str, *, size_bytes: int, xxh3: str) -> Iterator[Any]:
    """The HDF5 dataset of such a file, shape (ap, dv, ml). The whole file is verified; slices are read on demand.

    Raises
    ------
    DamagedFileError
        If the file is missing or differs in any bit from what was published.
    """
    image = files.read(path, size_bytes=size_bytes, xxh3=xxh3)
    with opened_hdf5(io.BytesIO(image), what=f"the file {path}") as opened:
        yield opened["volume"]


def dataset_slabs(dataset: Any, grid: Grid) -> Iterator[tuple[int, NDArray[Any]]]:
    """First AP plane and values of the slabs of `slab_ranges`, read one after the other."""
    for first, last in slab_ranges(grid):
        yield first, dataset[first:last]


def ap_planes(dataset: Any, ap: slice) -> NDArray[Any]:
    """The AP planes of a dataset that a slice selects; its step may be negative."""
    first, last, step = ap.indices(dataset.shape[0])
    if step > 0:
        return np.asarray(dataset[first:last:step])
    return np.ascontiguousarray(np.asarray(dataset[last + 1 : first + 1])[::step])
