"""How much memory an average needs, and which slabs of AP planes keep it within bounds."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bsv_store.averaging.hemisphere import hemisphere_rule, needs_side
from bsv_store.averaging.kernel.accumulator import checked_dtype, checked_statistics, wanted_sums


def bytes_per_plane(
    shape: tuple[int, int, int],
    n_groups: int,
    *,
    statistics: Sequence[str] = ("mean",),
    hemisphere: str = "none",
    weighted: bool = False,
    dtype: str = "float32",
) -> int:
    """Memory in bytes that an accumulator and its result need at most for one AP plane.

    The number of volumes does not enter. Not counted: the volume being added, and what reading it takes.

    Parameters
    ----------
    shape : tuple of int
        Of the grid, (ap, dv, ml).
    n_groups : int
    statistics, hemisphere, weighted, dtype
        As for :class:`bsv_store.averaging.kernel.accumulator.GroupAccumulator`.

    Raises
    ------
    RecipeError
        On an unknown statistic, rule or dtype.
    """
    names = checked_statistics(statistics)
    wanted = wanted_sums(names, weighted=weighted)
    subtract_each = hemisphere_rule(hemisphere) == "subtract_contralateral" and wanted.moments
    sides = 2 if needs_side(hemisphere_rule(hemisphere)) and not subtract_each else 1
    # Missing voxels take a count in each cell, the mask of dropped ones a byte; n takes 4 bytes a group in the result.
    # The buffers are given back before the result is made, the sums of a group as soon as its result is there.
    cell = sides * (wanted.bytes_per_voxel + (0 if weighted else 4))
    scratch = 2 + 8 * subtract_each + 24 * weighted
    result = sum(name != "n" for name in names) * checked_dtype(dtype).itemsize + 4
    adding, first_read, last_read = n_groups * cell + scratch, n_groups * cell + result, cell + n_groups * result
    return math.prod(shape[1:]) * max(adding, first_read, last_read)


def slabs_within(n_planes: int, plane_bytes: int, budget_bytes: int, *, step: int = 1) -> tuple[tuple[int, int], ...]:
    """AP ranges [first, last) that cover all planes, each as large as the budget allows.

    Each of them costs a pass over the volumes; the results, joined, are the same to the last bit.

    Parameters
    ----------
    n_planes : int
        Of the grid.
    plane_bytes : int
        See :func:`bytes_per_plane`.
    budget_bytes : int
        A slab is at least `step` planes, even beyond the budget.
    step : int
        Slabs begin at multiples of this, such as the planes of a chunk in the file that is written.
    """
    planes = max(step, budget_bytes // plane_bytes // step * step)
    return tuple((first, min(first + planes, n_planes)) for first in range(0, n_planes, planes))
