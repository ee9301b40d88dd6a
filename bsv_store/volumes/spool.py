"""Transposition of large volumes on disk: from blocks of ML planes to slabs of AP planes.

NRRD files store the first axis fastest, so they are read one ML plane after the other. The store keeps the last axis
fastest and reads AP planes. A spool is a temporary file in between. It takes at most a float32 for each voxel, and for
blocks with many zeros only the other voxels. One block and one slab are in memory at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from bsv_store.checkpoints import checkpoint
from bsv_store.progress import do_nothing
from bsv_store.vocabulary import VolumeKind
from bsv_store.volumes.files import store_errors
from bsv_store.volumes.grid import Grid
from bsv_store.volumes.layout import slab_ranges

_VOXEL = np.dtype("<f4")
# A non-zero voxel: its place in its slab, and its value.
_RECORD = np.dtype([("at", "<u4"), ("value", _VOXEL)])
# A record is twice as large as a value.
_RECORDS_BELOW = 1 / 2


@dataclass(frozen=True, slots=True)
class _Block:
    """Position of a block of ML planes in the spool, which has its non-zero voxels by slab, or all voxels.

    Attributes
    ----------
    first, count : int
        First ML plane, and number of planes.
    offset : int
        Of the block in the file, in bytes.
    ends : ndarray of int64 or None
        Number of records before each slab; None if all voxels are stored, in C order.
    """

    first: int
    count: int
    offset: int
    ends: NDArray[np.int64] | None


@dataclass(frozen=True, slots=True)
class SpooledVolume:
    """A validated volume in a spool, valid while the spool is open.

    Attributes
    ----------
    kind : VolumeKind
    grid : Grid
    non_zero : int
        Number of voxels that are not 0, including those without data.
    no_data_voxels : int
    """

    kind: VolumeKind
    grid: Grid
    non_zero: int
    no_data_voxels: int
    _spool: VolumeSpool

    def slabs(self) -> Iterator[NDArray[np.float32]]:
        """The voxels in consecutive slabs of AP planes: shape (planes, dv, ml), C order; NaN = no data.

        Raises
        ------
        StoreError
            If the spool cannot be read.
        """
        return self._spool.slabs(self.grid)


class VolumeSpool:
    """A spool in a new file, which the caller removes. A context manager.

    Parameters
    ----------
    path : pathlib.Path
        Of a temporary file.
    on_block : callable
        Called before each block that is written and each slab that is read, of which a volume of 10 um has hundreds. It
        may raise to stop the work.

    Raises
    ------
    NoSpaceError, ReadOnlyStoreError, StoreError
        If the file cannot be written.
    """

    def __init__(self, path: Path, *, on_block: Callable[[], None] = do_nothing) -> None:
        self._path = path
        self._on_block = on_block
        with store_errors(path):
            self._file: BinaryIO = path.open("x+b", buffering=0)
        self._blocks: list[_Block] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def fill(self, kind: VolumeKind, grid: Grid, blocks: Iterable[tuple[int, NDArray[np.float32]]]) -> SpooledVolume:
        """Write the blocks of a volume; they replace what was in the spool.

        Parameters
        ----------
        blocks : iterable of (int, ndarray)
            First ML plane and validated voxels, shape (ap, dv, planes), in ascending order; fastest in Fortran order.

        Raises
        ------
        NoSpaceError, StoreError
            If the spool cannot be written.
        """
        self._blocks.clear()
        with store_errors(self._path):
            self._file.seek(0)
            self._file.truncate()
        non_zero = no_data = 0
        for first, block in blocks:
            self._on_block()
            # In memory order.
            flat = block.reshape(-1, order="F")
            count = int(np.count_nonzero(flat))
            non_zero += count
            no_data += int(np.isnan(flat).sum())
            ends: NDArray[np.int64] | None = None
            if count <= _RECORDS_BELOW * flat.size:
                ends, content = _records(grid, first, flat)
            else:
                content = np.ascontiguousarray(block, _VOXEL)
            with store_errors(self._path):
                self._blocks.append(_Block(first, block.shape[2], self._file.tell(), ends))
                self._write(content)
            checkpoint("spool:block")
        return SpooledVolume(kind, grid, non_zero, no_data, self)

    def slabs(self, grid: Grid) -> Iterator[NDArray[np.float32]]:
        """See :meth:`SpooledVolume.slabs`."""
        for number, (start, stop) in enumerate(slab_ranges(grid)):
            self._on_block()
            slab = np.zeros((stop - start, *grid.shape[1:]), np.float32)
            for block in self._blocks:
                if block.ends is not None:
                    low, high = block.ends[number : number + 2]
                    records = self._read(block.offset, int(low), int(high), _RECORD)
                    slab.reshape(-1)[records["at"]] = records["value"]
                else:
                    plane = grid.shape[1] * block.count
                    voxels = self._read(block.offset, start * plane, stop * plane, _VOXEL)
                    slab[..., block.first : block.first + block.count] = voxels.reshape(stop - start, -1, block.count)
            yield slab

    def _write(self, content: NDArray[Any]) -> None:
        view = content.reshape(-1).view(np.uint8).data
        while view:
            view = view[self._file.write(view) :]

    def _read(self, offset: int, low: int, high: int, dtype: np.dtype[Any]) -> NDArray[Any]:
        content = np.empty((high - low) * dtype.itemsize, np.uint8)
        view = content.data
        with store_errors(self._path):
            self._file.seek(offset + low * dtype.itemsize)
            while view:
                part = self._file.readinto(view)  # type: ignore[attr-defined]
                if not part:
                    raise OSError(f"the temporary file {self._path} is truncated")
                view = view[part:]
        return content.view(dtype)


def _records(grid: Grid, first: int, flat: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Number of non-zero voxels before each slab and in total, and these voxels by slab and place in it.

    Parameters
    ----------
    first : int
        First ML plane of the block.
    flat : ndarray
        The block, AP axis fastest.
    """
    listed = np.flatnonzero(flat)
    size_ap, size_dv, size_ml = grid.shape
    rest, ap = np.divmod(listed, size_ap)
    ml, dv = np.divmod(rest, size_dv)
    starts = np.array([start for start, _ in slab_ranges(grid)])
    slab = np.searchsorted(starts, ap, side="right") - 1
    order = np.argsort(slab.astype(np.uint16), kind="stable")
    records = np.empty(listed.size, _RECORD)
    records["at"] = (((ap - starts[slab]) * size_dv + dv) * size_ml + (ml + first))[order]
    records["value"] = flat[listed[order]]
    counts = np.bincount(slab, minlength=len(starts))
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), records
