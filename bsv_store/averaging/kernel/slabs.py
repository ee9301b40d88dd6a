"""The memory that an average needs, and slabs of AP planes that keep it within a budget."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bsv_store.averaging.kernel.accumulator import checked_dtype
from bsv_store.averaging.kernel.statistics import checked_statistics, required_sums
from bsv_store.check import choice
from bsv_store.errors import RecipeError
from bsv_store.vocabulary import HEMISPHERE_RULES


def bytes_per_plane(
    shape: tuple[int, int, int],
    n_groups: int,
    *,
    statistics: Sequence[str] = ("mean",),
    hemisphere_rule: str = "none",
    weighted: bool = False,
    dtype: str = "float32",
) -> int:
    """Maximum memory in bytes of an accumulator and its result for one AP plane.

    It does not depend on the number of volumes. The volume that is being read and added is not counted.

    Parameters
    ----------
    shape : tuple of int
        Of the grid, (ap, dv, ml).
    n_groups : int
    statistics, hemisphere_rule, weighted, dtype
        As for `GroupAccumulator`.

    Raises
    ------
    RecipeError
        If a statistic, the rule or the dtype is not valid.
    """
    names = checked_statistics(statistics)
    required = required_sums(names, weighted=weighted)
    rule = choice("hemisphere_rule", hemisphere_rule, HEMISPHERE_RULES, error=RecipeError)
    subtract_each = rule.subtracts and required.moments
    sides = 2 if rule.needs_side and not subtract_each else 1
    # Missing voxels take a count in each cell, the mask of dropped voxels a byte, n 4 bytes per group of the result.
    # The buffers are freed before the result is allocated, the sums of a group as soon as its result is complete.
    cell = sides * (required.bytes_per_voxel + (0 if weighted else 4))
    scratch = 2 + 8 * subtract_each + 24 * weighted
    result = sum(name != "n" for name in names) * checked_dtype(dtype).itemsize + 4
    adding, first_read, last_read = n_groups * cell + scratch, n_groups * cell + result, cell + n_groups * result
    return math.prod(shape[1:]) * max(adding, first_read, last_read)


def slabs_within(n_planes: int, plane_bytes: int, budget_bytes: int, *, step: int = 1) -> tuple[tuple[int, int], ...]:
    """AP ranges [first, last) that cover all planes, each as large as the budget allows.

    Each range takes a pass over the volumes. The joined results do not depend on the ranges.

    Parameters
    ----------
    n_planes : int
        Of the grid.
    plane_bytes : int
        See `bytes_per_plane`.
    budget_bytes : int
        A slab is at least `step` planes, even beyond the budget.
    step : int
        Slabs begin at multiples of it, such as the planes of a chunk in the result file.
    """
    planes = max(step, budget_bytes // plane_bytes // step * step)
    return tuple((first, min(first + planes, n_planes)) for first in range(0, n_planes, planes))
