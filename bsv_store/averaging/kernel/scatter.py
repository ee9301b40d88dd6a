"""Adding values at listed positions of a sum: the inner loop that determines the speed of an average.

``numpy.add.at`` adds at a contiguous index of type intp in one compiled loop, where take, add and put are three passes.
The values are divided and the index is converted in chunks, which stay in the processor's caches.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Maximum number of values per chunk: 256 KiB of index and quotients.
_CHUNK = 1 << 14


def add_listed(
    total: NDArray[np.float64],
    index: NDArray[np.integer[Any]],
    values: NDArray[np.floating[Any]],
    divisor: float = 1.0,
    *,
    first: int = 0,
) -> None:
    """Add values to a sum at the positions of an index, in their order.

    Parameters
    ----------
    total : ndarray of float64, shape (n_voxels,)
        The sum; changed in place.
    index : ndarray of uint32, int32 or intp, shape (n,)
    values : ndarray of float32 or float64, shape (n,)
    divisor : float
        The values are divided by it first, in float64.
    first : int
        Index of the sum's first voxel.

    Raises
    ------
    IndexError
        If an index is outside the sum, or the number of values differs from that of the index. The sum is not changed
        then.
    """
    _check(total.size, index, values, first)
    size = min(_CHUNK, index.size)
    quotients, places = np.empty(size), np.empty(size, np.intp)
    for start in range(0, index.size, _CHUNK):
        part = index[start : start + _CHUNK]
        some, where = quotients[: part.size], places[: part.size]
        if divisor == 1:
            np.copyto(some, values[start : start + _CHUNK])
        else:
            np.divide(values[start : start + _CHUNK], divisor, out=some, dtype=np.float64)
        if first:
            np.subtract(part, first, out=where, dtype=np.intp)
        else:
            np.copyto(where, part)
        np.add.at(total, where, some)


def _check(size: int, index: NDArray[np.integer[Any]], values: NDArray[np.floating[Any]], first: int) -> None:
    # Before anything is added, because a negative index would count from the end.
    if values.size != index.size:
        raise IndexError(f"{index.size} indices for {values.size} values")
    if not index.size:
        return
    outside = int(index.max()) >= first + size
    # Unsigned numbers are never below 0.
    if not outside and (first or index.dtype.kind != "u"):
        outside = int(index.min()) < first
    if outside:
        raise IndexError(f"an index is outside the {size} voxels")
