"""The outcome of a comparison in a few numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bsv_store.datasets.arrays import require_voxels
from bsv_store.errors import InputError
from bsv_store.html import card
from bsv_store.statistics.features import checked_share
from bsv_store.text import number_of

if TYPE_CHECKING:
    from bsv_store.datasets.share.source import VersionSource

_CRITICAL = "critical_t_"


@dataclass(frozen=True, slots=True)
class ComparisonSummary:
    """The outcome of a comparison by voxel.

    Attributes
    ----------
    tested_voxels : int
        Voxels where every experiment has data and at least one has signal.
    permutations : int
        Computed ones.
    exact : bool
        Whether these are all distinct ones, so that p is exact; otherwise a random sample.
    critical_t : mapping of float to float
        The value that the absolute t must exceed, by level of significance, corrected for all tested voxels; NaN if no
        value is large enough.
    alpha : float
        Level of significance of the following two.
    higher, lower : int
        Voxels with ``p_max_t`` of at most ``alpha`` where the first group has the higher mean, and the lower one.
    """

    tested_voxels: int
    permutations: int
    exact: bool
    critical_t: Mapping[float, float]
    alpha: float
    higher: int
    lower: int

    def _repr_html_(self) -> str:
        critical = [
            f"{value:.3g} for p <= {level:g}"
            for level, value in sorted(self.critical_t.items())
            if not math.isnan(value)
        ]
        facts = [
            ("Tested", number_of(self.tested_voxels, "voxel")),
            ("Permutations", f"{self.permutations:,}, {'all distinct ones' if self.exact else 'random'}"),
            ("Critical t", "; ".join(critical) or "no value is large enough"),
            (f"Higher at p <= {self.alpha:g}", number_of(self.higher, "voxel")),
            (f"Lower at p <= {self.alpha:g}", number_of(self.lower, "voxel")),
        ]
        return card("Comparison by voxel", kind="summary", facts=facts)


def comparison_summary(version: VersionSource, alpha: float = 0.05) -> ComparisonSummary:
    """See `DatasetVersion.comparison_summary`."""
    require_voxels(version)
    if version.recipe.voxel_comparison is None:
        raise InputError(f"{version.ref} is not a comparison", hint="Compare two groups: bsv-store compare --by voxel.")
    level = checked_share("alpha", alpha)
    with version.open() as file:
        facts = dict(file["t"].attrs)
        # Comparisons with NaN, which is not tested, are false.
        is_significant = file["p_max_t"][:] <= level
        t = file["t"][:]
    critical = {
        float(name.removeprefix(_CRITICAL)): float(value) for name, value in facts.items() if name.startswith(_CRITICAL)
    }
    return ComparisonSummary(
        int(facts["tested_voxels"]),
        int(facts["permutations"]),
        bool(facts["exact"]),
        critical,
        level,
        int(np.count_nonzero(is_significant & (t > 0))),
        int(np.count_nonzero(is_significant & (t < 0))),
    )
