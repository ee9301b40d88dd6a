"""Running sums over the members of one group that were injected on one side.

All sums are float64. Voxels that a sparse volume does not list have the value 0. They are added in closed form when
the sums are read (see ``statistics``), so that the cost of adding a volume depends on its listed voxels only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bsv_store.averaging.kernel import compiled
from bsv_store.averaging.kernel.scatter import Part, add_parts
from bsv_store.averaging.kernel.slab_reader import Flat

# Dense arrays are processed in blocks that fit into the processor's cache.
_BLOCK = 1 << 16

Float64Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class RequiredSums:
    """Which sums a cell holds.

    Attributes
    ----------
    spread : bool
        Sums of squared deviations, for sd and sem.
    extremes : bool
        Smallest and largest value.
    weighted : bool
        Members come with weights.
    """

    spread: bool = False
    extremes: bool = False
    weighted: bool = False

    @property
    def moments(self) -> bool:
        """Whether the cell has more than the plain sum."""
        return self.spread or self.extremes

    @property
    def bytes_per_voxel(self) -> int:
        """Memory of a cell, without the counts that only volumes with missing voxels need."""
        parts = [(True, 8), (self.spread, 16), (self.extremes, 16)]
        if self.weighted:
            parts += [(True, 12), (self.spread, 16)]
        else:
            parts += [(self.moments, 4)]
        return sum(size for is_required, size in parts if is_required)


class Cell:
    """Running sums of one group and side.

    Parameters
    ----------
    size : int
        Number of voxels.
    required : RequiredSums

    Attributes
    ----------
    members : int
    total : ndarray of float64
        Sum of weight times value.
    missing : ndarray of uint32 or None
        Number of members whose voxel is not counted; None as long as there are none. Without weights only.
    listed : ndarray of uint32 or None
        Number of members whose voxel was listed, and so is part of `spread`, `low` and `high`. Without weights only.
    center, spread : ndarray of float64 or None
        Mean, and weighted sum of squared deviations from it, over the listed voxels.
    low, high : ndarray of float64 or None
        Smallest and largest listed value; infinite without one.
    weight, weight_square, weight_pairs : ndarray of float64 or None
        Sums of the weights, of their squares, and of the products of each pair of them.
    counted : ndarray of uint32 or None
        Members with a weight above 0.
    """

    def __init__(self, size: int, required: RequiredSums) -> None:
        self.required = required
        self.members = 0
        self.total = np.zeros(size)
        self.missing: NDArray[np.uint32] | None = None
        plain, weighted = required.moments and not required.weighted, required.weighted
        self.listed = np.zeros(size, np.uint32) if plain else None
        self.center = np.zeros(size) if required.spread else None
        self.spread = np.zeros(size) if required.spread else None
        self.low = np.full(size, np.inf) if required.extremes else None
        self.high = np.full(size, -np.inf) if required.extremes else None
        self.weight = np.zeros(size) if weighted else None
        self.weight_square = np.zeros(size) if weighted and required.spread else None
        self.weight_pairs = np.zeros(size) if weighted and required.spread else None
        self.counted = np.zeros(size, np.uint32) if weighted else None

    def add_dense(self, values: NDArray[np.generic], divisor: float) -> None:
        """Add every voxel of a dense member without missing voxels, to the plain sum only."""
        self.members += 1
        for start in range(0, values.size, _BLOCK):
            block = slice(start, start + _BLOCK)
            self.total[block] += np.divide(values[block], divisor, dtype=np.float64)

    def add(self, flat: Flat, dropped: NDArray[np.bool_] | None) -> None:
        """Add the listed voxels of a member. Voxels in `dropped` are not counted and must not be listed."""
        self.members += 1
        if dropped is not None:
            if self.missing is None:
                self.missing = np.zeros(self.total.size, np.uint32)
            np.add(self.missing, dropped, out=self.missing)
        if self.listed is None:
            add_parts([Part(self.total, flat.index, flat.values)])
            return
        if compiled.loops is not None:
            sums = (self.total, self.listed, self.center, self.spread, self.low, self.high)
            compiled.loops.add_moments(flat.index, flat.values, *sums)
            return
        for start in range(0, flat.index.size, _BLOCK):
            self._add_moments(flat.index[start : start + _BLOCK], flat.values[start : start + _BLOCK])

    # The compiled loop does the same operations in the same order.
    def _add_moments(self, index: NDArray[Any], values: Float64Array) -> None:
        assert self.listed is not None
        total = np.take(self.total, index, mode="clip")
        total += values
        self.total[index] = total
        count = np.take(self.listed, index, mode="clip")
        count += np.uint32(1)
        self.listed[index] = count
        if self.center is not None:
            assert self.spread is not None
            # Welford (1962, doi:10.1080/00401706.1962.10490022) adds non-negative products only, so there is no
            # cancellation, and the sum is exactly 0 if all values are equal.
            center = np.take(self.center, index, mode="clip")
            deviation = values - center
            k = count.astype(np.float64)
            center += deviation / k
            self.center[index] = center
            deviation *= deviation
            deviation *= (k - 1) / k
            deviation += np.take(self.spread, index, mode="clip")
            self.spread[index] = deviation
        self._add_extremes(index, values)

    def _add_extremes(self, index: NDArray[np.intp], values: Float64Array) -> None:
        if self.low is not None:
            assert self.high is not None
            self.low[index] = np.minimum(np.take(self.low, index, mode="clip"), values)
            self.high[index] = np.maximum(np.take(self.high, index, mode="clip"), values)

    def add_weighted(self, flat: Flat, weight: Float64Array) -> None:
        """Add a member with a weight for every voxel; voxels of weight 0 are not counted."""
        assert self.weight is not None
        assert self.counted is not None
        self.members += 1
        if self.required.moments:
            dense = np.zeros(self.total.size)
            dense[flat.index] = flat.values
            for start in range(0, dense.size, _BLOCK):
                block = slice(start, start + _BLOCK)
                self._add_weighted_moments(block, dense[block], weight[block])
        self.total[flat.index] += weight[flat.index] * flat.values
        if self.weight_square is not None:
            assert self.weight_pairs is not None
            self.weight_square += weight * weight
            self.weight_pairs += weight * self.weight
        self.weight += weight
        self.counted += weight > 0

    def _add_weighted_moments(self, block: slice, values: Float64Array, weight: Float64Array) -> None:
        assert self.weight is not None
        counted = weight > 0
        if self.center is not None:
            assert self.spread is not None
            # The weighted form of the update in _add_moments (West 1979, doi:10.1145/359146.359153).
            before = self.weight[block]
            after = before + weight
            share = np.divide(weight, after, out=np.zeros_like(weight), where=after > 0)
            deviation = values - self.center[block]
            self.center[block] += share * deviation
            self.spread[block] += share * before * (deviation * deviation)
        if self.low is not None:
            assert self.high is not None
            np.minimum(self.low[block], values, out=self.low[block], where=counted)
            np.maximum(self.high[block], values, out=self.high[block], where=counted)
