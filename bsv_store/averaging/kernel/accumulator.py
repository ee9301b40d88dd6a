"""Group statistics of volumes in one streaming pass.

Memory is that of the groups (and injected sides), never of the number of volumes. The result depends on the members
and the order in which they are added, voxel by voxel: slabs of AP planes computed apart and joined are the same to the
last bit as the whole computed at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bsv_store.averaging.hemisphere import checked_divisor, checked_side, hemisphere_rule, is_flipped, needs_side
from bsv_store.averaging.kernel.cells import Cell, Wanted
from bsv_store.averaging.kernel.intake import Intake, Mask, Voxels
from bsv_store.averaging.kernel.result import GroupResult
from bsv_store.averaging.kernel.scatter import Part, add_parts
from bsv_store.averaging.kernel.statistics import (
    STATISTICS,
    Statistic,
    Sums,
    pooled,
    read_cell,
    statistics_of,
    subtracted,
)
from bsv_store.errors import InputError, RecipeError
from bsv_store.vocabulary import Hemisphere
from bsv_store.volumes.volume import SparseArray

# Index, values and divisor of volumes that are to be added, by group and injected side.
_Waiting = dict[tuple[int, Hemisphere | None], list[tuple[NDArray[np.uint32], NDArray[np.float32], float]]]

_SIDES: tuple[Hemisphere, ...] = ("right", "left")
# Voxels that are read out at once: the temporaries of finish() stay in the processor's cache.
_BLOCK_VOXELS = 1 << 17


class GridShape(Protocol):
    """Anything with the shape of a grid."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along AP, DV and ML."""


@dataclass(frozen=True, slots=True)
class Addend:
    """A volume to be added to a group.

    Attributes
    ----------
    group : int
        From 0.
    voxels : SparseArray, or ndarray of float32 or float64, shape (ap, dv, ml)
        NaN is "no data": such a voxel is not counted. Sparse and dense give the same result to the last bit.
    divisor : float
        What every voxel is divided by, in float64: 1, or the injection volume in mm3.
    injected : {'left', 'right'}, optional
        Side of the injection; needed by every hemisphere rule but 'none'.
    weights : SparseArray or ndarray, optional
        Weight of every voxel, such as the data mask; only, and always, if the accumulator is `weighted`. Voxels of
        weight 0 or NaN are not counted.
    exclude : SparseArray or ndarray, optional
        Voxels above 0, such as the injection fraction, or true, are not counted.
    what : str
        Names the volume in errors, such as "experiment 127084296".
    """

    group: int
    voxels: Voxels
    divisor: float = 1.0
    injected: Hemisphere | None = None
    weights: Mask | None = None
    exclude: Mask | None = None
    what: str = "the volume"


class GroupAccumulator:
    """Statistics per voxel and group, from volumes that are handed in one or many at a time.

    Parameters
    ----------
    grid : Grid
        The grid that all volumes lie on.
    n_groups : int
        At least 1.
    statistics : sequence of {'mean', 'sd', 'sem', 'min', 'max', 'n'}
        What :meth:`finish` gives. The mean alone is the fastest; 'mean' and 'n' always come.
    hemisphere : HemisphereRule
        See :mod:`bsv_store.averaging.hemisphere`.
    weighted : bool
        Whether every volume comes with weights (its data mask).
    ap_range : tuple of int, optional
        AP planes [first, last) to work on; the whole grid unless given. Volumes are handed in whole, or those planes
        of them alone: of a dense one an array of fewer planes, of a sparse one with the index of the whole grid.

    Raises
    ------
    RecipeError
        On an unknown statistic or hemisphere rule, or no group.
    InputError
        If the range of planes does not lie in the grid.

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
        hemisphere: str = "none",
        weighted: bool = False,
        ap_range: tuple[int, int] | None = None,
    ) -> None:
        if n_groups < 1:
            raise RecipeError("there is no group to average", hint="Group by something that places experiments.")
        self.statistics = checked_statistics(statistics)
        self.hemisphere = hemisphere_rule(hemisphere)
        self._wanted = wanted_sums(self.statistics, weighted=weighted)
        self._intake = Intake(grid.shape, _checked_range(grid.shape, ap_range))
        if needs_side(self.hemisphere) and grid.shape[2] % 2:
            raise InputError(f"a grid of {grid.shape[2]} voxels along ML has no midline between two voxels")
        # What is not linear needs every volume subtracted by itself; for the mean, sums can be subtracted at the end.
        self._subtract_each = self.hemisphere == "subtract_contralateral" and self._wanted.moments
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
        weights: Mask | None = None,
        exclude: Mask | None = None,
        what: str = "the volume",
    ) -> None:
        """Add one volume to a group; parameters and errors are those of :class:`Addend` and :meth:`add_all`."""
        self.add_all([Addend(group, voxels, divisor, injected, weights, exclude, what)])

    def add_all(self, addends: Sequence[Addend]) -> None:
        """Add volumes in their order: the same to the last bit as one by one, and twice as fast.

        Raises
        ------
        RecipeError
            If a side, a divisor or weights are needed and not there.
        FrameError
            If a volume, its weights or its exclusion mask lie on another grid.
        InputError
            If there is no such group, or a sparse index or the weights cannot be right. The volumes before the one at
            fault may have been added then.
        """
        self._check_open()
        together: _Waiting = {}
        for addend in addends:
            side, divisor = self._checked(addend)
            listed = self._listed(addend)
            if listed is not None:
                together.setdefault((addend.group, side), []).append((*listed, divisor))
                continue
            # Each sum must get its members in their order.
            self._flush(together)
            self._add_alone(addend, side, divisor)
        self._flush(together)

    def _checked(self, addend: Addend) -> tuple[Hemisphere | None, float]:
        """The side that counts for the hemisphere rule, and the divisor."""
        if not 0 <= addend.group < self.n_groups:
            raise InputError(
                f"there is no group {addend.group} to add {addend.what} to; groups are 0 to {self.n_groups - 1}"
            )
        if (addend.weights is None) == self._wanted.weighted:
            raise RecipeError(
                f"{addend.what} comes {'without' if addend.weights is None else 'with'} weights, but the average is"
                f" {'' if self._wanted.weighted else 'not '}weighted",
                hint="Either all volumes of an average have weights, or none.",
            )
        return (
            checked_side(self.hemisphere, addend.injected, addend.what),
            checked_divisor(addend.divisor, addend.what),
        )

    def _listed(self, addend: Addend) -> tuple[NDArray[np.uint32], NDArray[np.float32]] | None:
        """Index and values of a sparse volume that is only to be added to a plain sum; None if it needs more."""
        voxels = addend.voxels
        if self._wanted.weighted or self._wanted.moments or addend.exclude is not None:
            return None
        if not isinstance(voxels, SparseArray):
            return None
        index, values = self._intake.listed(voxels, addend.what)
        if not voxels.complete and values.size and np.isnan(values.min()):
            return None
        return index, values

    def _flush(self, together: _Waiting) -> None:
        cells = {key: self._cell(*key) for key in together}
        parts = [Part(cells[key].total, *listed) for key, volumes in together.items() for listed in volumes]
        add_parts(parts, first=self._intake.first)
        for key, volumes in together.items():
            cells[key].members += len(volumes)
            self._counts[key[0]] += len(volumes)
        together.clear()

    def _check_open(self) -> None:
        if self._is_finished:
            raise InputError("the average has been read out; begin another", hint="finish() gives the sums away.")

    def _add_alone(self, addend: Addend, side: Hemisphere | None, divisor: float) -> None:
        group, voxels, what = addend.group, addend.voxels, addend.what
        weights, exclude = addend.weights, addend.exclude
        if (
            weights is None
            and exclude is None
            and not self._wanted.moments
            and self._add_dense(group, voxels, divisor, side, what)
        ):
            return
        flat = self._intake.flat(voxels, divisor, what)
        paired = self.hemisphere == "subtract_contralateral"
        dropped = self._intake.dropped(flat, exclude, symmetric=paired, what=what)
        weight = None
        if weights is not None:
            weight = self._intake.weights(weights, dropped, symmetric=paired, what=what)
        if dropped is not None:
            flat = self._intake.without(flat, dropped)
        if self._subtract_each and side is not None:
            flat = self._intake.subtracted(flat, side)
        cell = self._cell(group, side)
        if weight is None:
            cell.add(flat, dropped)
        else:
            cell.add_weighted(flat, weight)
        self._counts[group] += 1

    def _add_dense(self, group: int, voxels: Voxels, divisor: float, side: Hemisphere | None, what: str) -> bool:
        """Add a dense volume without missing voxels directly; False if this is not one."""
        if isinstance(voxels, SparseArray):
            return False
        values = self._intake.slab_of(voxels, what)
        if values.size and np.isnan(values.min()):
            return False
        self._cell(group, side).add_dense(values, divisor)
        self._counts[group] += 1
        return True

    def _cell(self, group: int, side: Hemisphere | None) -> Cell:
        key = (group, None if self._subtract_each else side)
        if key not in self._cells:
            self._cells[key] = Cell(self._intake.size, self._wanted)
        return self._cells[key]

    def finish(self, dtype: str = "float32") -> GroupResult:
        """The statistics of what was added; once, since the sums of each group make room for its result.

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
            On another dtype.
        InputError
            The second time.
        """
        self._check_open()
        # Room for the result: at 25 um the buffers of the volumes take as much.
        self._intake.release()
        shape, number_type = self._intake.shape, checked_dtype(dtype)
        self._is_finished = True
        arrays: dict[Statistic, NDArray[Any]] = {
            name: np.empty((self.n_groups, *shape), number_type) for name in self.statistics if name != "n"
        }
        for group, count in enumerate(self._counts):
            for name, array in arrays.items() if count == 0 else ():
                array[group] = 0.0 if name == "mean" else np.nan
        arrays["n"] = self._empty_n()
        written = tuple(arrays) if arrays["n"].flags.writeable else tuple(name for name in arrays if name != "n")
        planes = max(1, _BLOCK_VOXELS // math.prod(shape[1:]))
        for group in range(self.n_groups):
            for start in range(0, shape[0], planes):
                block = slice(start, min(start + planes, shape[0]))
                sums = self._sums(group, block)
                for name, values in statistics_of(sums, written).items() if sums is not None else ():
                    arrays[name][group, block] = values
            self._cells = {key: cell for key, cell in self._cells.items() if key[0] != group}
        return GroupResult(
            **arrays,
            counts=tuple(self._counts),
            statistics=self.statistics,
            hemisphere=self.hemisphere,
            ap_range=self._intake.ap_range,
        )

    def _empty_n(self) -> NDArray[np.uint32]:
        """The array of counts to be filled, or a finished read-only view where all voxels of a group count the same."""
        shape = (self.n_groups, *self._intake.shape)
        if any(cell.missing is not None or cell.counted is not None for cell in self._cells.values()):
            return np.zeros(shape, np.uint32)
        return np.broadcast_to(np.array(self._counts, np.uint32).reshape(-1, 1, 1, 1), shape)

    def _sums(self, group: int, planes: slice) -> Sums | None:
        def read(side: Hemisphere | None) -> Sums | None:
            cell = self._cells.get((group, side))
            if cell is None:
                return None
            return read_cell(cell, self._intake.shape, planes, mirrored=is_flipped(self.hemisphere, side))

        if not needs_side(self.hemisphere) or self._subtract_each:
            return read(None)
        if self.hemisphere == "subtract_contralateral":
            return subtracted(read("right"), read("left"))
        return pooled(part for side in _SIDES if (part := read(side)) is not None)


def checked_statistics(names: Sequence[str]) -> tuple[Statistic, ...]:
    """The statistics of these names, the mean always among them, in the order of ``STATISTICS``.

    Raises
    ------
    RecipeError
        If there is no such statistic.
    """
    asked = {names} if isinstance(names, str) else set(names)
    unknown = sorted(asked.difference(STATISTICS))
    if unknown:
        raise RecipeError(f"there is no statistic {unknown[0]!r}", hint=f"Statistics are {', '.join(STATISTICS)}.")
    return tuple(name for name in STATISTICS if name in asked or name == "mean")


def wanted_sums(statistics: Sequence[Statistic], *, weighted: bool) -> Wanted:
    """The running sums that these statistics need."""
    asked = set(statistics)
    return Wanted(spread=bool(asked & {"sd", "sem"}), extremes=bool(asked & {"min", "max"}), weighted=weighted)


def checked_dtype(name: str) -> np.dtype[Any]:
    """The dtype of results of that name.

    Raises
    ------
    RecipeError
        If it is neither float32 nor float64.
    """
    if name not in ("float32", "float64"):
        raise RecipeError(f"results cannot be {name!r}", hint="The dtype is float32 or float64.")
    return np.dtype(name)


def _checked_range(shape: tuple[int, int, int], ap_range: tuple[int, int] | None) -> tuple[int, int]:
    if ap_range is None:
        return 0, shape[0]
    first, last = ap_range
    if not 0 <= first < last <= shape[0]:
        raise InputError(f"the AP planes {first} to {last} do not lie in a grid of {shape[0]} planes")
    return first, last
