"""Adding values at listed positions of arrays: the inner loop that determines the speed of an average.

Without the compiled loop, two measures make NumPy fast. Positions are processed block by block of the sum, with all
volumes of a batch in each block, which stays in the processor's caches; a whole sum (10 MB at 100 um) would be loaded
from memory for every volume. And ``numpy.add.at`` adds at a contiguous index of type intp in one pass; take, add and
put need three.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bsv_store.averaging.kernel import compiled

# Maximum number of voxels per block: 1 MB. Smaller blocks fit into faster caches, but each block costs some calls.
_BLOCK = 1 << 17


@dataclass(frozen=True, slots=True)
class Part:
    """Values to add to a sum.

    Attributes
    ----------
    total : ndarray of float64, shape (n_voxels,)
        The sum; changed in place.
    index : ndarray of uint32, int32 or intp, shape (n,)
        Unique and ascending. If it does not ascend, all values are added, but not in the order of the parts.
    values : ndarray of float32 or float64, shape (n,)
    divisor : float
        The values are divided by it first, in float64.
    """

    total: NDArray[np.float64]
    index: NDArray[np.integer[Any]]
    values: NDArray[np.floating[Any]]
    divisor: float = 1.0


def batch_bytes() -> int:
    """Bytes of volumes to read and add together.

    The compiled loop is fastest while the volumes are still in the processor's cache; NumPy needs many volumes for each
    block of the sum.
    """
    return 16_000_000 if compiled.loops is None else 4_000_000


def add_parts(parts: Sequence[Part], *, first: int = 0) -> None:
    """Add values to sums: to each voxel in the order of the parts.

    Parameters
    ----------
    parts : sequence of Part
        Their sums have one length. Parts of one sum should be adjacent.
    first : int
        Index of the sums' first voxel.

    Raises
    ------
    IndexError
        If an index is outside the sums, or the number of values differs from that of the index. No sum is changed then.
    """
    parts = [part for part in parts if part.index.size or part.values.size]
    if not parts:
        return
    size = parts[0].total.size
    for part in parts:
        if part.total.size != size:
            raise IndexError(f"one sum has {part.total.size} voxels, another {size}")
    if compiled.loops is not None and all(_is_stored(part) for part in parts):
        compiled.loops.add_parts([(part.total, part.index, part.values, part.divisor) for part in parts], first)
    else:
        _add_with_numpy(parts, first, size)


def _is_stored(part: Part) -> bool:
    """Whether index and values are those of a stored volume, which the compiled loop can add."""
    return part.index.dtype == np.uint32 and part.values.dtype == np.float32


def _add_with_numpy(parts: Sequence[Part], first: int, size: int) -> None:
    # Checked before anything is added, because a negative index would count from the end.
    for part in parts:
        _check(part, first, size)
    cuts = np.arange(first, first + size, _BLOCK)
    # Bounds ascend even if an index does not, so every value is added exactly once.
    ranges = [
        (part, [*np.searchsorted(part.index, cuts.astype(part.index.dtype)).tolist(), part.index.size])
        for part in parts
    ]
    add = _adder(first, max(high - low for _, ends in ranges for low, high in itertools.pairwise(ends)))
    for block in range(len(cuts)):
        for part, ends in ranges:
            low, high = ends[block], ends[block + 1]
            if low < high:
                add(part.total, part.index[low:high], part.values[low:high], part.divisor)


def _adder(
    first: int, longest: int
) -> Callable[[NDArray[np.float64], NDArray[np.integer[Any]], NDArray[np.floating[Any]], float], None]:
    """A function that adds a range of values to a sum, with reused buffers."""
    buffer, places_buffer = np.empty(longest), np.empty(longest, np.intp)

    def add(
        total: NDArray[np.float64], index: NDArray[np.integer[Any]], values: NDArray[np.floating[Any]], divisor: float
    ) -> None:
        quotients, places = buffer[: index.size], places_buffer[: index.size]
        if divisor == 1:
            np.copyto(quotients, values)
        else:
            np.divide(values, divisor, out=quotients, dtype=np.float64)
        np.subtract(index, first, out=places)
        np.add.at(total, places, quotients)

    return add


def _check(part: Part, first: int, size: int) -> None:
    index = part.index
    if part.values.size != index.size:
        raise IndexError(f"{index.size} indices for {part.values.size} values")
    outside = int(index.max()) >= first + size
    # Unsigned numbers are never below 0.
    if not outside and (first or index.dtype.kind != "u"):
        outside = int(index.min()) < first
    if outside:
        raise IndexError(f"an index is outside the {size} voxels")
