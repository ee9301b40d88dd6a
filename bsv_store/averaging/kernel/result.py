"""Results of the kernel: statistics per group, and slabs of one result joined to the whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bsv_store.errors import InputError, RecipeError
from bsv_store.vocabulary import HemisphereRule, Statistic


@dataclass(frozen=True, slots=True, eq=False)
class GroupResult:
    """Statistics per group and voxel; arrays have the shape (groups, ap, dv, ml).

    In a group without members each statistic has the ``empty_value`` of its row in `STATISTICS`: 0 for the mean, as in
    Brain Street View. In other groups a voxel without values is NaN.

    Attributes
    ----------
    values : mapping of Statistic to ndarray
        Those of `statistics`, and 'mean' and 'n' in any case. 'n' is uint32, a read-only view of one number per group
        if no voxel was missing; the others are float32 or float64.
    counts : tuple of int
        Members of each group.
    statistics : tuple of Statistic
        The requested statistics.
    hemisphere_rule : HemisphereRule
    ap_range : tuple of int
        AP planes of the grid that the arrays cover, [first, last).
    """

    values: Mapping[Statistic, NDArray[Any]]
    counts: tuple[int, ...]
    statistics: tuple[Statistic, ...]
    hemisphere_rule: HemisphereRule
    ap_range: tuple[int, int]

    @property
    def mean(self) -> NDArray[np.floating[Any]]:
        """In the unit of the volumes after division."""
        return self.values["mean"]

    @property
    def n(self) -> NDArray[np.uint32]:
        """Number of members counted at each voxel."""
        return self.values["n"]

    def arrays(self) -> dict[Statistic, NDArray[Any]]:
        """The requested statistics by name."""
        return {name: self.values[name] for name in self.statistics}


def joined(slabs: Sequence[GroupResult]) -> GroupResult:
    """The result over all AP planes that adjoining slabs cover.

    Raises
    ------
    InputError
        If the slabs leave a gap or overlap.
    RecipeError
        If they are not slabs of one result.
    """
    if not slabs:
        raise InputError("slabs must not be empty")
    ordered = sorted(slabs, key=lambda slab: slab.ap_range)
    if any(low.ap_range[1] != high.ap_range[0] for low, high in pairwise(ordered)):
        raise InputError(f"the slabs {[slab.ap_range for slab in ordered]} do not adjoin")
    if len({(slab.counts, slab.statistics, slab.hemisphere_rule, slab.mean.dtype) for slab in slabs}) != 1:
        raise RecipeError(
            "the slabs have different members or rules", hint="Compute all slabs with the same members and rules."
        )
    first = ordered[0]
    return GroupResult(
        {name: _joined([slab.values[name] for slab in ordered]) for name in first.values},
        first.counts,
        first.statistics,
        first.hemisphere_rule,
        (first.ap_range[0], ordered[-1].ap_range[1]),
    )


def _joined(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    if any(part.flags.writeable for part in parts):
        return np.concatenate(parts, axis=1)
    # Views of one number per group stay views.
    first = parts[0]
    shape = (first.shape[0], sum(part.shape[1] for part in parts), *first.shape[2:])
    return np.broadcast_to(first[:, :1, :1, :1], shape)
