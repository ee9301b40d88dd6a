"""How the groups of a version were compared, for the methods text of its citation."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from bsv_store.datasets.share.references import FREEDMAN_LANE, PERMUTATION_TESTS, TFCE
from bsv_store.text import number_of
from bsv_store.vocabulary import COVARIATES, TWO_SAMPLE_STATISTICS

if TYPE_CHECKING:
    from bsv_store.averaging.comparison.comparison import Comparison
    from bsv_store.datasets.share.references import Reference
    from bsv_store.datasets.share.source import VersionSource


def comparison_methods(version: VersionSource) -> str | None:
    """One or more sentences; None if the groups were not compared."""
    comparison = version.recipe.comparison
    if comparison is None:
        return None
    first, second = (f"{group.label} (n = {group.n})" for group in version.groups)
    test = TWO_SAMPLE_STATISTICS[comparison.test].methods
    sentences = [
        f"{first} was compared with {second}, with animals as replicates, at each voxel where at least one had signal, "
        f"by a two-sided {test}{_covariates(comparison)}; p values are from "
        f"{number_of(comparison.permutations, 'permutation')} (seed {comparison.seed}, or all distinct ones if there "
        "are fewer) and were corrected for the family-wise error by the maximum statistic (Westfall and Young 1993; "
        "Nichols and Holmes 2002)."
    ]
    sentences += _clusters(comparison)
    return " ".join(sentences)


def comparison_references(comparison: Comparison | None) -> tuple[Reference, ...]:
    """The papers that the methods text of a comparison names; none if the groups were not compared."""
    if comparison is None:
        return ()
    found = list(PERMUTATION_TESTS)
    if comparison.covariates:
        found.append(FREEDMAN_LANE)
    if comparison.cluster == "tfce":
        found.append(TFCE)
    return tuple(found)


def _covariates(comparison: Comparison) -> str:
    if not comparison.covariates:
        return ""
    words = " and ".join(COVARIATES[name].words for name in comparison.covariates)
    one = len(comparison.covariates) == 1
    return f" with the {words} as {'covariate' if one else 'covariates'} (Freedman and Lane 1983)"


def _clusters(comparison: Comparison) -> list[str]:
    cluster = comparison.cluster
    if cluster == "none":
        return []
    if cluster == "extent":
        return [
            f"Clusters of neighboring voxels with p < {comparison.cluster_threshold_p:g}, not corrected, were compared "
            "with the largest cluster of each permutation."
        ]
    if cluster == "tfce":
        return ["Threshold-free cluster enhancement was used as well (Smith and Nichols 2009)."]
    assert_never(cluster)
