"""How the groups of a version were compared, for the methods text of its citation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, assert_never

from bsv_store.datasets.groups import group_in_prose
from bsv_store.text import joined, number_of
from bsv_store.vocabulary import COVARIATES, EFFECT_SIZES, MEASURED_HEMISPHERES, TWO_SAMPLE_STATISTICS

if TYPE_CHECKING:
    from bsv_store.averaging.comparison.comparison import Comparison
    from bsv_store.averaging.comparison.structure_comparison import StructureComparison
    from bsv_store.datasets.share.source import VersionSource


def comparison_methods(version: VersionSource) -> str | None:
    """One or more sentences; None if the groups were not compared by voxel."""
    comparison = version.recipe.voxel_comparison
    if comparison is None:
        return None
    first, second = (group_in_prose(group) for group in version.groups)
    test = TWO_SAMPLE_STATISTICS[comparison.test].methods
    with version.open() as file:
        draws = _draws(dict(file["t"].attrs), comparison.seed)
    sentences = [
        f"{first} was compared with {second}, with animals as replicates, at each voxel where at least one had signal, "
        f"by a two-sided {test}{_covariates(comparison)}; p values are from {draws} and were corrected for the "
        "family-wise error by the maximum statistic (Westfall and Young 1993; Nichols and Holmes 2002)."
    ]
    sentences += _clusters(comparison)
    return " ".join(sentences)


def structure_methods(version: VersionSource) -> str:
    """The sentences about a comparison by structure."""
    comparison = version.recipe.structure_comparison
    assert comparison is not None
    first, second = (group_in_prose(group) for group in version.groups)
    with version.open() as file:
        facts, structures = dict(file["t"].attrs), len(set(file["structure_id"][:].tolist()))
    words = [MEASURED_HEMISPHERES[side].words for side in comparison.hemisphere]
    sides = joined([each if each.startswith("both") else f"the {each}" for each in words], "and")
    effect = EFFECT_SIZES[comparison.effect_size].words
    tests = int(facts["tests"])
    untested = "; structures without signal in any animal were not tested" if tests < structures * len(words) else ""
    return (
        f"{comparison.measure.replace('_', ' ').capitalize()} outside the injection site was taken from the unionize "
        f"tables of the atlas for {number_of(structures, 'structure')}, in {sides}. {first} was compared with "
        f"{second}, with animals as replicates, by a two-sided {TWO_SAMPLE_STATISTICS[comparison.test].methods}"
        f"{_covariates(comparison)} ({number_of(tests, 'test')}{untested}). p values are from "
        f"{_draws(facts, comparison.seed)} and were corrected for the family-wise error by the maximum statistic "
        "(Westfall and Young 1993; Nichols and Holmes 2002); p values under normality were corrected for the false "
        f"discovery rate (Benjamini and Hochberg 1995). The effect size is the {effect}; intervals of the difference "
        f"are bias-corrected and accelerated {100 * comparison.confidence:.6g} % bootstrap intervals "
        f"({comparison.bootstrap:,} draws, seed {comparison.seed}; Efron 1987)."
    )


def _draws(facts: Mapping[str, Any], seed: int) -> str:
    """The permutations that were computed, from the attributes of t: the recipe has only their maximum number."""
    computed = int(facts["permutations"])
    if facts["exact"]:
        return f"all {number_of(computed, 'distinct permutation')}"
    return f"{number_of(computed, 'random permutation')} (seed {seed})"


def _covariates(comparison: Comparison | StructureComparison) -> str:
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
