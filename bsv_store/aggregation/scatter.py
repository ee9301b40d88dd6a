"""Adding values at listed places of an array: the one inner loop that decides how fast an average is.

NumPy needs an index of 64 bits and three passes (take, add, put). SciPy's product of a sparse column and a number is
the same sum in one compiled loop over the 32 bits that files hold, and takes 40 % of the time. It accumulates into an
array only below SciPy's public surface, so it is tried out once before it is trusted; NumPy gives the same bits.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

_ONE = np.ones(1)
# NumPy's three passes go through the arrays in pieces that stay in the processor's cache.
_BLOCK = 1 << 16

_CompiledLoop = Callable[..., None]


def index_type() -> type[np.signedinteger[Any]]:
    """The type of an index with which `add_at` is fastest here."""
    return np.intp if _compiled_loop() is None else np.int32


def add_at(total: NDArray[np.float64], index: NDArray[np.signedinteger[Any]], values: NDArray[np.float64]) -> None:
    """Add values to the voxels of a sum.

    Parameters
    ----------
    total : ndarray of float64, shape (n_voxels,)
        Changed in place.
    index : ndarray of int32 or intp, shape (n,)
        Unique.
    values : ndarray of float64, shape (n,)

    Raises
    ------
    IndexError
        If an index lies outside the sum, or there are more or fewer values; the sum is unchanged then.
    """
    # The compiled loop believes what it is told, and would read and write beyond the ends.
    if values.size != index.size:
        raise IndexError(f"{index.size} places for {values.size} values")
    if not index.size:
        return
    if index.min() < 0 or index.max() >= total.size:
        raise IndexError(f"an index lies outside the {total.size} voxels")
    loop = _compiled_loop() if index.dtype == np.int32 else None
    if loop is not None:
        loop(total.size, 1, np.array([0, index.size], np.int32), index, values, _ONE, total)
        return
    for start in range(0, index.size, _BLOCK):
        block = index[start : start + _BLOCK]
        # take and put: three times as fast as np.add.at, and every index is there once.
        part = np.take(total, block, mode="clip")
        part += values[start : start + _BLOCK]
        total[block] = part


@cache
def _compiled_loop() -> _CompiledLoop | None:
    """SciPy's ``total[index] += values * one``, or None if it is not there or not what it was."""
    try:
        from scipy.sparse import _sparsetools

        loop: _CompiledLoop = _sparsetools.csc_matvec
        total, index = np.array([1.0, 2.0, 4.0]), np.array([0, 2], np.int32)
        loop(3, 1, np.array([0, 2], np.int32), index, np.array([0.5, 0.25]), _ONE, total)
    except (ImportError, AttributeError, TypeError, ValueError):
        return None
    return loop if total.tolist() == [1.5, 2.0, 4.25] else None
