"""Tests of two groups of animals at every voxel."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bsv_store.check import choice, whole_number
from bsv_store.errors import InputError
from bsv_store.progress import NO_PROGRESS, Progress
from bsv_store.statistics import extra
from bsv_store.statistics.cards import card_of_test
from bsv_store.statistics.clusters import Clusters, Neighborhood, compare_clusters, neighborhood
from bsv_store.statistics.corrections import counts_at_least, critical_value, p_of_counts
from bsv_store.statistics.design import Float64Array, make_design
from bsv_store.statistics.features import checked_share, seed_sequences
from bsv_store.statistics.relabelings import relabelings
from bsv_store.statistics.voxel_kernel import VoxelKernel
from bsv_store.vocabulary import CLUSTER_STATISTICS, ClusterStatistic, TwoSampleStatistic

_ALPHAS = (0.05, 0.01, 0.001)
_DEFAULT_BLOCK = 4096

Float32Array = NDArray[np.float32]


@dataclass(frozen=True)
class VoxelTest:
    """A test of each voxel for a difference of two groups; arrays of shape (voxels,).

    Where the values do not vary within the groups, or the covariates explain them fully, there is no test: ``t`` and
    all p values are NaN, and the voxel does not count in the corrections.

    Attributes
    ----------
    difference : ndarray of float64
        Mean of the first group minus mean of the second; with covariates, the coefficient of the group.
    t : ndarray of float64
    p_max_t : ndarray of float32
        Two-sided p by permutation, corrected for all voxels: the probability of a family-wise error.
    p_permutation : ndarray of float32
        Two-sided p by permutation, not corrected.
    p_cluster : ndarray of float32, or None
        With ``cluster="extent"``: p, corrected for all clusters, of the cluster of the voxel; 1 outside clusters.
    tfce : ndarray of float64, or None
        With ``cluster="tfce"``: the enhanced statistic, with the sign of ``t``.
    p_tfce : ndarray of float32, or None
        p of ``tfce``, corrected for all voxels.
    thresholds : mapping of float to float
        For each significance level, the value that ``|t|`` must exceed for ``p_max_t`` to be at most this level; NaN if
        there are too few relabelings.
    n_a, n_b : int
        Numbers of animals.
    permutations : int
        Number of relabelings, see ``exact``.
    exact : bool
        Whether all relabelings were enumerated. Otherwise they are a random sample.
    cluster_threshold : float or None
        The ``|t|`` above which voxels form clusters.
    max_t : ndarray of float64
        The largest ``|t|`` over all voxels for each relabeling: the null distribution.
    """

    difference: Float64Array
    t: Float64Array
    p_max_t: Float32Array
    p_permutation: Float32Array
    p_cluster: Float32Array | None
    tfce: Float64Array | None
    p_tfce: Float32Array | None
    thresholds: Mapping[float, float]
    n_a: int
    n_b: int
    permutations: int
    exact: bool
    cluster_threshold: float | None
    max_t: Float64Array = field(repr=False)

    def _repr_html_(self) -> str:
        return card_of_test(
            "voxel",
            n=(self.n_a, self.n_b),
            t=self.t,
            p_max_t=self.p_max_t,
            permutations=self.permutations,
            exact=self.exact,
        )


def compare_voxels(
    values: NDArray[np.floating],
    in_a: ArrayLike,
    *,
    permutations: int = 10_000,
    seed: int,
    covariates: ArrayLike | None = None,
    statistic: TwoSampleStatistic = "student",
    cluster: ClusterStatistic = "none",
    cluster_threshold_p: float = 0.001,
    shape_and_index: tuple[tuple[int, ...], ArrayLike] | None = None,
    block: int | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> VoxelTest:
    """A two-sided test of each voxel for a difference of two groups of animals, by permutation.

    Parameters
    ----------
    values : ndarray of shape (animals, voxels), float32 or float64
        Every value must be finite.
    in_a : array_like of shape (animals,), bool
        The animals of the first group; the others are the second group.
    permutations : int, optional
        Number of relabelings. If no more than that exist, all are enumerated and p is exact. Otherwise a random sample
        is drawn, and p is ``(1 + count) / (1 + permutations)``.
    seed : int
        The same seed gives the same result to the last bit, whatever ``block`` and ``workers`` are.
    covariates : array_like of shape (animals, covariates), optional
        The residuals of the model without the groups are permuted (Freedman and Lane).
    statistic : {'student', 'welch'}, optional
        With covariates, only ``'student'``. Welch's t and covariates take about twice the time.
    cluster : {'none', 'extent', 'tfce'}, optional
        ``'extent'``: clusters of voxels that share a face and whose t exceeds a threshold with the same sign.
        ``'tfce'``: threshold-free cluster enhancement. Both require SciPy (extra ``stats``) and take longer: for all
        voxels of the brain at 100 um about 0.1 s and 0.5 s of CPU for each relabeling.
    cluster_threshold_p : float, optional
        Two-sided p of Student's t at the threshold of clusters.
    shape_and_index : tuple, optional
        For clusters: the shape of the grid, and for each voxel its index in the flattened grid (C order).
    block : int, optional
        Number of voxels that are computed at once.
    workers : int, optional
        Number of threads; by default, one per processor.
    progress : Progress, optional

    Returns
    -------
    VoxelTest

    Raises
    ------
    InputError
        If an argument is not valid, a value is not finite, a group has fewer than two animals, a covariate is constant
        or depends linearly on the others or the groups, or SciPy is required and not installed.

    Notes
    -----
    The reported ``t`` and ``difference`` are computed in float64. Relabelings are compared by their extremeness,
    ``|t| / sqrt(t**2 + df)``, in float32 where its rounding is small enough, and again in float64 where rounding could
    change the result. A relabeling counts as at least as extreme as the observed labels if its extremeness is not lower
    by more than a tolerance of about 2e-5 for 300 animals. Ties therefore always count; the effect on other p values is
    that they may be larger, by about 0.1 %.

    The corrected p compares ``|t|`` with the largest ``|t|`` over all voxels of each relabeling. Like every permutation
    test, it assumes that without an effect the animals of both groups are exchangeable. If the variances may differ,
    and the groups differ in size, use ``statistic="welch"``, which is valid approximately.

    References
    ----------
    Nichols TE, Holmes AP (2002) Nonparametric permutation tests for functional neuroimaging. Hum Brain Mapp 15:1-25.
    Westfall PH, Young SS (1993) Resampling-based multiple testing. Wiley.
    Freedman D, Lane D (1983) A nonstochastic interpretation of reported significance levels. J Bus Econ Stat 1:292-298.
    Winkler AM, Ridgway GR, Webster MA, Smith SM, Nichols TE (2014) Permutation inference for the general linear model.
    NeuroImage 92:381-397.
    Phipson B, Smyth GK (2010) Permutation p-values should never be zero. Stat Appl Genet Mol Biol 9:39.
    Smith SM, Nichols TE (2009) Threshold-free cluster enhancement. NeuroImage 44:83-98.
    """
    groups = _checked_groups(in_a)
    table = _checked_values(values, len(groups))
    design = make_design(groups, statistic, covariates)
    limit = whole_number("permutations", permutations, least=1)
    size = whole_number("block", _DEFAULT_BLOCK if block is None else block, least=1)
    threads = whole_number("workers", os.cpu_count() or 1 if workers is None else workers, least=1)
    kind = choice("cluster", cluster, CLUSTER_STATISTICS).name
    share = checked_share("cluster_threshold_p", cluster_threshold_p)
    (of_permutations,) = seed_sequences(seed, 1)
    around: Neighborhood | None = None
    if kind != "none":
        extra.ndimage()
        around = neighborhood(shape_and_index, table.shape[1])

    orders = relabelings(groups, exchange_all=design.covariates > 0, limit=limit, seed=of_permutations)
    kernel = VoxelKernel(design, orders, table, block=size, workers=threads)
    report = progress or NO_PROGRESS
    kernel.observe()
    report.start(kernel.distinct, "comparing voxels")
    try:
        kernel.run(report.advance)
    finally:
        report.finish()
    clusters = Clusters(None, None, None, None)
    if around is not None:
        clusters = compare_clusters(
            kernel, kind=kind, threshold_p=share, around=around, workers=threads, progress=report
        )

    p_permutation = p_of_counts(kernel.counts, len(orders), exact=orders.exact)
    p_max_t = p_of_counts(counts_at_least(kernel.largest, kernel.limits), len(orders), exact=orders.exact)
    undefined = np.isnan(kernel.t)
    max_t = np.asarray(design.t_of(np.maximum(kernel.largest, 0.0)), np.float64)
    return VoxelTest(
        difference=kernel.difference,
        t=kernel.t,
        p_max_t=np.where(undefined, np.nan, p_max_t).astype(np.float32),
        p_permutation=np.where(undefined, np.nan, p_permutation).astype(np.float32),
        p_cluster=clusters.p_cluster,
        tfce=clusters.tfce,
        p_tfce=clusters.p_tfce,
        thresholds={alpha: critical_value(max_t, alpha, exact=orders.exact) for alpha in _ALPHAS},
        n_a=design.n_a,
        n_b=design.n_b,
        permutations=len(orders),
        exact=orders.exact,
        cluster_threshold=clusters.threshold,
        max_t=max_t,
    )


def _checked_groups(in_a: ArrayLike) -> NDArray[np.bool_]:
    groups = np.asarray(in_a)
    if groups.ndim != 1 or groups.dtype != np.bool_:
        raise InputError(f"in_a must be a boolean array of shape (animals,), got {groups.dtype} of {groups.shape}")
    return groups


def _checked_values(values: NDArray[np.floating], animals: int) -> NDArray[np.floating]:
    table = np.asarray(values)
    if table.dtype not in (np.float32, np.float64):
        raise InputError(f"values must be float32 or float64, got {table.dtype}")
    if table.ndim != 2 or len(table) != animals or table.shape[1] < 1:
        raise InputError(f"values must have shape (animals, voxels) with {animals} animals, got {table.shape}")
    return table
