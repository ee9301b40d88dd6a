"""Group statistics, as the kernel gives them; slabs of one result joined to the whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bsv_store.averaging.hemisphere import HemisphereRule
from bsv_store.averaging.kernel.statistics import Statistic
from bsv_store.errors import InputError, RecipeError

FloatArray = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class GroupResult:
    """Statistics per group and voxel; arrays have the shape (groups, ap, dv, ml).

    A group without members (of a region that was asked for and has none) has the mean 0, as in Brain Street View, and
    ``n`` 0; its other statistics are NaN. A voxel without values in a group that has members is NaN.

    Attributes
    ----------
    mean : ndarray of float32 or float64
        In the unit of the volumes, or that per mm3 of injection where they were divided by the injection volume.
    n : ndarray of uint32
        Members counted at each voxel. A read-only view of one number a group where no voxel was missing.
    counts : tuple of int
        Members of each group.
    statistics : tuple of Statistic
        What was asked for.
    hemisphere : HemisphereRule
    ap_range : tuple of int
        AP planes of the grid that the arrays cover, [first, last).
    sd, sem : ndarray or None
        Standard deviation of the sample (n - 1) and of the mean; None if not asked for; NaN where n < 2.
    min, max : ndarray or None
        None if not asked for.
    """

    mean: FloatArray
    n: NDArray[np.uint32]
    counts: tuple[int, ...]
    statistics: tuple[Statistic, ...]
    hemisphere: HemisphereRule
    ap_range: tuple[int, int]
    sd: FloatArray | None = None
    sem: FloatArray | None = None
    min: FloatArray | None = None
    max: FloatArray | None = None

    def arrays(self) -> dict[Statistic, NDArray[Any]]:
        """The arrays of the statistics that were asked for, by name."""
        held = {"mean": self.mean, "sd": self.sd, "sem": self.sem, "min": self.min, "max": self.max, "n": self.n}
        return {name: array for name in self.statistics if (array := held[name]) is not None}


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
        raise InputError("there is no slab to join")
    ordered = sorted(slabs, key=lambda slab: slab.ap_range)
    if any(low.ap_range[1] != high.ap_range[0] for low, high in pairwise(ordered)):
        raise InputError(f"the slabs {[slab.ap_range for slab in ordered]} do not adjoin")
    if len({(slab.counts, slab.statistics, slab.hemisphere, slab.mean.dtype) for slab in slabs}) != 1:
        raise RecipeError("the slabs come from different members or rules", hint="Compute all slabs in the same way.")

    def together(parts: list[FloatArray | None]) -> FloatArray | None:
        known = [part for part in parts if part is not None]
        return np.concatenate(known, axis=1) if known else None

    first = ordered[0]
    return GroupResult(
        np.concatenate([slab.mean for slab in ordered], axis=1),
        _joined_n(ordered),
        first.counts,
        first.statistics,
        first.hemisphere,
        (first.ap_range[0], ordered[-1].ap_range[1]),
        together([slab.sd for slab in ordered]),
        together([slab.sem for slab in ordered]),
        together([slab.min for slab in ordered]),
        together([slab.max for slab in ordered]),
    )


def _joined_n(slabs: Sequence[GroupResult]) -> NDArray[np.uint32]:
    if any(slab.n.flags.writeable for slab in slabs):
        return np.concatenate([slab.n for slab in slabs], axis=1)
    # Views of one number a group stay that.
    n = slabs[0].n
    return np.broadcast_to(n[:, :1, :1, :1], (n.shape[0], sum(slab.n.shape[1] for slab in slabs), *n.shape[2:]))
