"""Group statistics of volumes in one streaming pass.

Memory depends on the number of groups and injected sides, not on the number of volumes. Each voxel of the result
depends on the members and their order only: slabs of AP planes that are computed separately and joined are identical to
the whole computed at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bsv_store.averaging.hemisphere import checked_divisor, checked_side, is_mirrored
from bsv_store.averaging.kernel.cells import Cell
from bsv_store.averaging.kernel.result import GroupResult
from bsv_store.averaging.kernel.scatter import Part, add_parts
from bsv_store.averaging.kernel.slab_reader import Mask, SlabReader, Voxels
from bsv_store.averaging.kernel.statistics import (
    Sums,
    checked_statistics,
    pooled,
    read_cell,
    required_sums,
    statistics_of,
    subtracted,
)
from bsv_store.check import choice
from bsv_store.errors import InputError, RecipeError
from bsv_store.vocabulary import HEMISPHERE_RULES, RESULT_DTYPES, STATISTICS, Hemisphere, Statistic
from bsv_store.volumes.volume import SparseArray

# Index, values and divisor of volumes that are added together, by group and injected side.
_Pending = dict[tuple[int, Hemisphere | None], list[tuple[NDArray[np.uint32], NDArray[np.float32], float]]]

_SIDES: tuple[Hemisphere, ...] = ("right", "left")
# Voxels that finish() processes at once, so that its temporary arrays stay in the processor's cache.
_BLOCK_VOXELS = 1 << 17


class GridShape(Protocol):
    """Anything with the shape of a grid."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along AP, DV and ML."""


@dataclass(frozen=True, slots=True)
class MemberVolume:
    """A volume to add to a group.

    Attributes
    ----------
    group : int
        From 0.
    voxels : SparseArray, or ndarray of float32 or float64, shape (ap, dv, ml)
        NaN = no data: such a voxel is not counted. Sparse and dense volumes give identical results.
    divisor : float
        Every voxel is divided by it in float64.
    injected : {'left', 'right'}, optional
        The injected hemisphere; required by hemisphere rules that need it.
    weights : SparseArray, ndarray or float, optional
        Weight of every voxel, such as the data mask, or one weight of all voxels; required if the accumulator is
        `weighted`, else not allowed. Voxels of weight 0 or NaN are not counted.
    exclude : SparseArray or ndarray, optional
        Voxels above 0 (such as an injection fraction) or true are not counted.
    what : str
        Name of the volume in errors, such as "experiment 127084296".
    """

    group: int
    voxels: Voxels
    divisor: float = 1.0
    injected: Hemisphere | None = None
    weights: Mask | float | None = None
    exclude: Mask | None = None
    what: str = "the volume"


class GroupAccumulator:
    """Statistics per voxel and group of volumes that are added one or many at a time.

    Parameters
    ----------
    grid : Grid
        The grid of all volumes.
    n_groups : int
        At least 1.
    statistics : sequence of Statistic
        Names of `STATISTICS`. 'mean' and 'n' are always computed; the mean alone is the fastest.
    hemisphere_rule : HemisphereRule
        See `bsv_store.averaging.hemisphere`.
    weighted : bool
        Whether every volume has weights.
    ap_range : tuple of int, optional
        AP planes [first, last) to process; by default the whole grid. Volumes are added whole, or only these planes of
        them: a dense one as an array of fewer planes, a sparse one with the index of the whole grid.

    Raises
    ------
    RecipeError
        If a statistic or the hemisphere rule is not valid, or ``n_groups`` is less than 1.
    InputError
        If the range of planes is outside the grid.

    Examples
    --------
    >>> import numpy as np
    >>> from bsv_store.volumes.grid import Grid
    >>> accumulator = GroupAccumulator(Grid(100), 1)
    >>> accumulator.add(0, np.ones(Grid(100).shape, np.float32), divisor=0.5)
    >>> float(accumulator.finish().mean[0].max())
    2.0
    """

    def __init__(
        self,
        grid: GridShape,
        n_groups: int,
        *,
        statistics: Sequence[str] = ("mean",),
        hemisphere_rule: str = "none",
        weighted: bool = False,
        ap_range: tuple[int, int] | None = None,
    ) -> None:
        if n_groups < 1:
            raise RecipeError(f"n_groups must be a positive integer, got {n_groups}")
        self.statistics = checked_statistics(statistics)
        self._rule = choice("hemisphere_rule", hemisphere_rule, HEMISPHERE_RULES, error=RecipeError)
        self._required = required_sums(self.statistics, weighted=weighted)
        self._reader = SlabReader(grid.shape, _checked_range(grid.shape, ap_range))
        if self._rule.needs_side and grid.shape[2] % 2:
            raise InputError(f"a grid of {grid.shape[2]} voxels along ML has no midline between two voxels")
        # Statistics that are not linear need the subtraction for every volume; sums are subtracted once at the end.
        self._subtract_each = self._rule.subtracts and self._required.moments
        self._cells: dict[tuple[int, Hemisphere | None], Cell] = {}
        self._counts = [0] * n_groups
        self._is_finished = False

    @property
    def n_groups(self) -> int:
        """Number of groups."""
        return len(self._counts)

    def add(
        self,
        group: int,
        voxels: Voxels,
        *,
        divisor: float = 1.0,
        injected: Hemisphere | None = None,
        weights: Mask | float | None = None,
        exclude: Mask | None = None,
        what: str = "the volume",
    ) -> None:
        """Add one volume to a group; parameters and errors are those of `MemberVolume` and `add_all`."""
        self.add_all([MemberVolume(group, voxels, divisor, injected, weights, exclude, what)])

    def add_all(self, volumes: Sequence[MemberVolume]) -> None:
        """Add volumes in order. The result is identical to adding them one by one; it is twice as fast.

        Raises
        ------
        RecipeError
            If an injected hemisphere, a divisor or weights are required and missing.
        FrameError
            If a volume, its weights or its exclusion mask are on another grid.
        InputError
            If a group does not exist, or a sparse index or weights are not valid. Volumes before the one at fault may
            have been added then.
        """
        self._check_open()
        pending: _Pending = {}
        for volume in volumes:
            side, divisor = self._checked(volume)
            listed = self._listed(volume)
            if listed is not None:
                pending.setdefault((volume.group, side), []).append((*listed, divisor))
                continue
            # Members are added to each sum in their order.
            self._flush(pending)
            self._add_alone(volume, side, divisor)
        self._flush(pending)

    def _checked(self, volume: MemberVolume) -> tuple[Hemisphere | None, float]:
        """The injected hemisphere, if the rule needs it, and the divisor."""
        if not 0 <= volume.group < self.n_groups:
            raise InputError(f"{volume.what} cannot be in group {volume.group}: groups are 0 to {self.n_groups - 1}")
        if (volume.weights is None) == self._required.weighted:
            raise RecipeError(
                f"{volume.what} has {'no ' if volume.weights is None else ''}weights, but the average is"
                f" {'' if self._required.weighted else 'not '}weighted",
                hint="Either all volumes of an average have weights, or none.",
            )
        return (
            checked_side(self._rule.name, volume.injected, volume.what),
            checked_divisor(volume.divisor, volume.what),
        )

    def _listed(self, volume: MemberVolume) -> tuple[NDArray[np.uint32], NDArray[np.float32]] | None:
        """Index and values of a sparse volume that is added to a plain sum only; None for other volumes."""
        voxels = volume.voxels
        if self._required.weighted or self._required.moments or volume.exclude is not None:
            return None
        if not isinstance(voxels, SparseArray):
            return None
        index, values = self._reader.listed(voxels, volume.what)
        if not voxels.complete and values.size and np.isnan(values.min()):
            return None
        return index, values

    def _flush(self, pending: _Pending) -> None:
        cells = {key: self._cell(*key) for key in pending}
        parts = [Part(cells[key].total, *listed) for key, volumes in pending.items() for listed in volumes]
        add_parts(parts, first=self._reader.first)
        for key, volumes in pending.items():
            cells[key].members += len(volumes)
            self._counts[key[0]] += len(volumes)
        pending.clear()

    def _check_open(self) -> None:
        if self._is_finished:
            raise InputError("finish() was called already", hint="The sums have been freed; use a new accumulator.")

    def _add_alone(self, volume: MemberVolume, side: Hemisphere | None, divisor: float) -> None:
        group, voxels, what = volume.group, volume.voxels, volume.what
        weights, exclude = volume.weights, volume.exclude
        if (
            weights is None
            and exclude is None
            and not self._required.moments
            and self._add_dense(group, voxels, divisor, side, what)
        ):
            return
        flat = self._reader.flat(voxels, divisor, what)
        paired = self._rule.subtracts
        dropped = self._reader.dropped(flat, exclude, symmetric=paired, what=what)
        weight = None
        if weights is not None:
            weight = self._reader.weights(weights, dropped, symmetric=paired, what=what)
        if dropped is not None:
            flat = self._reader.without(flat, dropped)
        if self._subtract_each and side is not None:
            flat = self._reader.subtracted(flat, side)
        cell = self._cell(group, side)
        if weight is None:
            cell.add(flat, dropped)
        else:
            cell.add_weighted(flat, weight)
        self._counts[group] += 1

    def _add_dense(self, group: int, voxels: Voxels, divisor: float, side: Hemisphere | None, what: str) -> bool:
        """Add a dense volume without missing voxels directly; False for other volumes."""
        if isinstance(voxels, SparseArray):
            return False
        values = self._reader.slab_of(voxels, what)
        if np.isnan(values.min()):
            return False
        self._cell(group, side).add_dense(values, divisor)
        self._counts[group] += 1
        return True

    def _cell(self, group: int, side: Hemisphere | None) -> Cell:
        key = (group, None if self._subtract_each else side)
        if key not in self._cells:
            self._cells[key] = Cell(self._reader.size, self._required)
        return self._cells[key]

    def finish(self, dtype: str = "float32") -> GroupResult:
        """The statistics of the added volumes. Can be called once: the sums of each group are freed for its result.

        Parameters
        ----------
        dtype : {'float32', 'float64'}
            Of the result; sums are float64 in any case.

        Returns
        -------
        GroupResult

        Raises
        ------
        RecipeError
            If the dtype is not valid, or a value is too large for it.
        InputError
            If it was called already.
        """
        self._check_open()
        # At 25 um the buffers take as much memory as the result.
        self._reader.release()
        shape, number_type = self._reader.shape, checked_dtype(dtype)
        self._is_finished = True
        arrays: dict[Statistic, NDArray[Any]] = {
            name: np.empty((self.n_groups, *shape), number_type) for name in self.statistics if name != "n"
        }
        for group, count in enumerate(self._counts):
            for name, array in arrays.items() if count == 0 else ():
                array[group] = STATISTICS[name].empty_value
        arrays["n"] = self._empty_n()
        written = tuple(arrays) if arrays["n"].flags.writeable else tuple(name for name in arrays if name != "n")
        planes = max(1, _BLOCK_VOXELS // math.prod(shape[1:]))
        for group in range(self.n_groups):
            for start in range(0, shape[0], planes):
                block = slice(start, min(start + planes, shape[0]))
                sums = self._sums(group, block)
                for name, values in statistics_of(sums, written).items() if sums is not None else ():
                    _store(values, arrays[name][group, block], name, group)
            self._cells = {key: cell for key, cell in self._cells.items() if key[0] != group}
        return GroupResult(
            arrays, tuple(self._counts), self.statistics, self._rule.name, ap_range=self._reader.ap_range
        )

    def _empty_n(self) -> NDArray[np.uint32]:
        """The array of counts to fill, or a complete read-only view if all voxels of a group have the same count."""
        shape = (self.n_groups, *self._reader.shape)
        if any(cell.missing is not None or cell.counted is not None for cell in self._cells.values()):
            return np.zeros(shape, np.uint32)
        return np.broadcast_to(np.array(self._counts, np.uint32).reshape(-1, 1, 1, 1), shape)

    def _sums(self, group: int, planes: slice) -> Sums | None:
        def read(side: Hemisphere | None) -> Sums | None:
            cell = self._cells.get((group, side))
            if cell is None:
                return None
            return read_cell(cell, self._reader.shape, planes, mirrored=is_mirrored(self._rule.name, side))

        if not self._rule.needs_side or self._subtract_each:
            return read(None)
        if self._rule.subtracts:
            return subtracted(read("right"), read("left"))
        return pooled(part for side in _SIDES if (part := read(side)) is not None)


def _store(values: NDArray[np.float64], target: NDArray[Any], name: Statistic, group: int) -> None:
    """Convert values to the dtype of the result.

    Raises
    ------
    RecipeError
        If a value is too large for it. In float64 all values are finite, because volumes and divisors are checked.
    """
    try:
        with np.errstate(over="raise"):
            target[...] = values
    except FloatingPointError as error:
        largest = float(np.nanmax(np.abs(values)))
        raise RecipeError(
            f"the {name} of group {group} reaches {largest:.3g}, which is too large for {target.dtype.name}",
            hint='Use dtype="float64" (--dtype float64).',
        ) from error


def checked_dtype(name: str) -> np.dtype[Any]:
    """The NumPy dtype of results with that name in `RESULT_DTYPES`.

    Raises
    ------
    RecipeError
        If the name is not valid.
    """
    return np.dtype(choice("dtype", name, RESULT_DTYPES, error=RecipeError).name)


def _checked_range(shape: tuple[int, int, int], ap_range: tuple[int, int] | None) -> tuple[int, int]:
    if ap_range is None:
        return 0, shape[0]
    first, last = ap_range
    if not 0 <= first < last <= shape[0]:
        raise InputError(f"AP planes {first} to {last} are outside a grid of {shape[0]} planes")
    return first, last
