"""Pseudo-random numbers that are the same on every machine.

Everything here is 64-bit integer arithmetic (the splitmix64 finalizer): NumPy may change its random streams between
versions, and its vectorized exp and log differ in the last bit between processors, which would change every hash.
"""

from __future__ import annotations

from functools import reduce

import numpy as np
from numpy.typing import NDArray

_MASK = (1 << 64) - 1
_STEP = 0x9E3779B97F4A7C15
_FIRST = 0xBF58476D1CE4E5B9
_SECOND = 0x94D049BB133111EB


def key_of(*parts: int | str) -> int:
    """The 64-bit key of a sequence of integers and strings; different sequences have different keys.

    Parameters
    ----------
    *parts : int or str
        Integers are taken modulo 2**64, strings by their UTF-8 bytes.
    """
    numbers: list[int] = []
    for part in parts:
        numbers.extend([part] if isinstance(part, int) else [len(part), *part.encode()])
    return reduce(lambda key, number: _mix((key ^ (number & _MASK)) + _STEP & _MASK), numbers, _STEP)


def draw(*parts: int | str) -> float:
    """A number in [0, 1), determined by these parts."""
    return (key_of(*parts) >> 11) * 2.0**-53


def field(key: int, index: NDArray[np.integer]) -> NDArray[np.float64]:
    """float64 array of the shape of ``index``, with values in [0, 1), each determined by the key and its index."""
    state = index.astype(np.uint64) * np.uint64(_STEP) + np.uint64(key)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(_FIRST)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(_SECOND)
    state ^= state >> np.uint64(31)
    return (state >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _mix(state: int) -> int:
    state = (state ^ (state >> 30)) * _FIRST & _MASK
    state = (state ^ (state >> 27)) * _SECOND & _MASK
    return state ^ (state >> 31)
