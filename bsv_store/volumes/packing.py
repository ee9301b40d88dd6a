"""Arrays that are compressed in memory: slabs of AP planes, or of files that store one ML plane after the other."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bsv_store.errors import FormatError
from bsv_store.volumes.grid import Grid
from bsv_store.volumes.layout import slab_ranges

_LEVEL = 1


class Packer:
    """Compresses arrays up to a total size.

    Parameters
    ----------
    limit_bytes : int
        Maximum size of all compressed arrays.
    message, hint : str
        Of the error above it.
    """

    def __init__(self, limit_bytes: int, message: str, *, hint: str) -> None:
        self._limit_bytes = limit_bytes
        self._message = message
        self._hint = hint
        self._size_bytes = 0

    def pack(self, array: NDArray[Any]) -> bytes:
        """Compress a C-contiguous array.

        Raises
        ------
        FormatError
            If the compressed arrays exceed the maximum.
        """
        packed = zlib.compress(array.data, _LEVEL)
        self._size_bytes += len(packed)
        if self._size_bytes > self._limit_bytes:
            raise FormatError(self._message, hint=self._hint)
        return packed


def unpacked(packed: bytes, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    """A compressed array, read-only."""
    return np.frombuffer(zlib.decompress(packed), dtype).reshape(shape)


def turned_slabs(
    grid: Grid, blocks: Iterable[NDArray[Any]], dtype: str, *, packer: Packer, on_block: Callable[[], None]
) -> Callable[[int, int], NDArray[Any]]:
    """The slabs of `slab_ranges`, from consecutive blocks of ML planes of shape (ap, dv, planes).

    Parameters
    ----------
    dtype : str
        Of the slabs.
    packer : Packer
        Compresses the parts of the slabs.
    on_block : callable
        Called before each block and slab; may raise to stop the work.

    Returns
    -------
    callable
        ``read(first, last)`` returns a slab, shape (last - first, dv, ml), once.

    Raises
    ------
    FormatError
        If the blocks compress too badly.
    """
    slabs = slab_ranges(grid)
    pieces: dict[int, list[bytes]] = {first: [] for first, _ in slabs}
    for block in blocks:
        on_block()
        turned = np.ascontiguousarray(block, dtype)
        for first, last in slabs:
            pieces[first].append(packer.pack(turned[first:last]))

    def read(first: int, last: int) -> NDArray[Any]:
        on_block()
        shape = (last - first, grid.shape[1], -1)
        return np.concatenate([unpacked(piece, shape, dtype) for piece in pieces.pop(first)], axis=2)

    return read
