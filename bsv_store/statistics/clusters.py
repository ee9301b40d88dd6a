"""Clusters of voxels: extent, and threshold-free cluster enhancement."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import assert_never

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bsv_store.errors import InputError
from bsv_store.progress import Progress
from bsv_store.statistics import extra
from bsv_store.statistics.corrections import counts_at_least, p_of_counts
from bsv_store.statistics.design import Float64Array, FloatArray
from bsv_store.statistics.voxel_kernel import VoxelKernel
from bsv_store.text import shown
from bsv_store.vocabulary import ClusterStatistic

# Weights of extent and height (Smith and Nichols 2009), and steps between 0 and the largest |t| of a map.
_EXTENT_POWER = 0.5
_HEIGHT_POWER = 2.0
_STEPS = 100
# Relative: rounding in float64 is below it, so that ties are ties.
_TIE = 1e-9
_MAPS_AT_ONCE = 16
_VOXELS_AT_ONCE = 4096


@dataclass(frozen=True)
class Neighborhood:
    """How voxels lie in a grid.

    Attributes
    ----------
    shape : tuple of int
    index : ndarray of shape (voxels,), intp
        Indices into the flattened grid (C order).
    """

    shape: tuple[int, ...]
    index: NDArray[np.intp]


@dataclass(frozen=True)
class Clusters:
    """Results for clusters; None where not asked for. See `VoxelTest`."""

    p_cluster: NDArray[np.float32] | None
    tfce: Float64Array | None
    p_tfce: NDArray[np.float32] | None
    threshold: float | None


def neighborhood(shape_and_index: tuple[tuple[int, ...], ArrayLike] | None, voxels: int) -> Neighborhood:
    """How the voxels lie in the grid, checked, and cut to the box around them.

    Raises
    ------
    InputError
        If it is not given, or the indices are not one for each voxel, distinct and within the grid.
    """
    if shape_and_index is None:
        raise InputError("clusters require shape_and_index", hint="The shape of the grid and the index of each voxel.")
    try:
        given_shape, given = shape_and_index
        shape = tuple(operator.index(each) for each in given_shape)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"shape_and_index must be a shape and an array, got {shown(shape_and_index)}",
            hint="For example: ((132, 80, 114), index).",
        ) from error
    index = np.asarray(given)
    size = int(np.prod(shape))
    if index.shape != (voxels,) or not np.issubdtype(index.dtype, np.integer):
        raise InputError(f"shape_and_index must have one integer index for each of the {voxels} voxels")
    if index.min() < 0 or index.max() >= size or len(np.unique(index)) != voxels:
        raise InputError(f"the indices of the voxels must be distinct and between 0 and {size - 1}")
    places = np.unravel_index(index, shape)
    low = [int(each.min()) for each in places]
    box = tuple(int(each.max()) + 1 - first for each, first in zip(places, low, strict=True))
    shifted = tuple(each - first for each, first in zip(places, low, strict=True))
    return Neighborhood(box, np.ravel_multi_index(shifted, box))


def compare_clusters(
    kernel: VoxelKernel,
    *,
    kind: ClusterStatistic,
    threshold_p: float,
    around: Neighborhood,
    workers: int,
    progress: Progress,
) -> Clusters:
    """The clusters of the observed map, compared with the largest of each relabeling.

    Parameters
    ----------
    kernel : VoxelKernel
        Whose statistics are computed.
    kind : ClusterStatistic
    threshold_p : float
    around : Neighborhood
    workers : int
    progress : Progress
    """
    threshold = None
    enhanced: Callable[[Float64Array], Float64Array]
    match kind:
        case "none":
            return Clusters(None, None, None, None)
        case "extent":
            threshold = -float(extra.special().stdtrit(kernel.design.df, threshold_p / 2))
            enhanced = partial(extents, threshold=threshold)
        case "tfce":
            enhanced = enhance
        case _:
            assert_never(kind)
    observed = enhanced(_grid(around, np.nan_to_num(kernel.t))).reshape(-1)[around.index]
    null = largest_of_relabelings(kernel, enhanced, around, workers, progress)
    limits = np.abs(observed) * (1 - _TIE)
    p_all = p_of_counts(counts_at_least(null, limits), len(null), exact=kernel.relabelings.exact)
    p: NDArray[np.float32] = np.where(np.isnan(kernel.t), np.nan, p_all).astype(np.float32)
    if kind == "extent":
        return Clusters(p, None, None, threshold)
    return Clusters(None, observed, p, None)


def largest_of_relabelings(
    kernel: VoxelKernel,
    enhanced: Callable[[Float64Array], Float64Array],
    around: Neighborhood,
    workers: int,
    progress: Progress,
) -> Float64Array:
    """The largest absolute value over the voxels of the enhanced map of each relabeling.

    Parameters
    ----------
    kernel : VoxelKernel
        Whose statistics are computed.
    enhanced : callable
        Gives the enhanced map of a map of t.
    around : Neighborhood
    workers : int
    progress : Progress
    """
    tested = np.flatnonzero(~np.isnan(kernel.t))
    null = np.zeros(len(kernel.relabelings))
    if not tested.size:
        return null
    planes = [kernel.unit_planes(tested[part]) for part in _parts(len(tested), _VOXELS_AT_ONCE)]
    progress.start(len(null), "comparing clusters")
    try:
        with extra.one_blas_thread(), ThreadPoolExecutor(workers) as executor:
            for part in _parts(len(null), _MAPS_AT_ONCE):
                maps = np.concatenate([kernel.maps(part, units) for units in planes], axis=1)
                null[part] = list(executor.map(lambda t: _largest(enhanced, around, tested, t), maps))
                progress.advance(len(maps))
    finally:
        progress.finish()
    return null


def _largest(
    enhanced: Callable[[Float64Array], Float64Array], around: Neighborhood, tested: NDArray[np.intp], t: FloatArray
) -> float:
    full = np.zeros(len(around.index))
    full[tested] = t
    return float(np.abs(enhanced(_grid(around, full))).max())


def _grid(around: Neighborhood, values: Float64Array) -> Float64Array:
    grid = np.zeros(int(np.prod(around.shape)))
    grid[around.index] = values
    return grid.reshape(around.shape)


def extents(t: Float64Array, *, threshold: float) -> Float64Array:
    """The size in voxels of the cluster of each voxel of a map, 0 outside clusters.

    Parameters
    ----------
    t : ndarray
        A map; positive and negative voxels form separate clusters, whose voxels share a face.
    threshold : float
        The absolute t that the voxels of clusters exceed.
    """
    found = np.zeros(t.shape)
    for signed in (t, -t):
        labels, _ = extra.ndimage().label(signed > threshold)
        sizes = np.bincount(labels.reshape(-1))
        sizes[0] = 0
        found += sizes[labels]
    return found


def enhance(t: Float64Array) -> Float64Array:
    """The enhanced statistic of each voxel of a map, with the sign of t.

    The integral over heights h of ``extent(h)**0.5 * h**2``, where extent is the size of the cluster of the voxel above
    h, as a sum of 100 steps up to the largest ``|t|`` of the map.

    Parameters
    ----------
    t : ndarray
        A map of finite values.

    References
    ----------
    Smith SM, Nichols TE (2009) Threshold-free cluster enhancement. NeuroImage 44:83-98.
    """
    found = np.zeros(t.shape)
    # The last one is the largest |t| itself, without rounding.
    heights = np.linspace(0.0, np.abs(t).max(), _STEPS + 1)[1:]
    if heights[0] == 0:
        return found
    for sign in (1.0, -1.0):
        reached = np.searchsorted(heights, sign * t.reshape(-1), side="right").astype(np.uint8)
        found += sign * _integral(reached.reshape(t.shape), heights)
    return found


@dataclass(frozen=True)
class _Level:
    """The clusters of the voxels above a height.

    Attributes
    ----------
    height : float
    size_of : ndarray of shape (clusters,), float64
        In voxels.
    cluster_of : ndarray of shape (parts,), int32
        The cluster of each cluster of the next larger height, then of each voxel that is new at this height.
    new_voxels : slice
        These voxels.
    """

    height: float
    size_of: Float64Array
    cluster_of: NDArray[np.int32]
    new_voxels: slice


def _integral(reached: NDArray[np.uint8], heights: Float64Array) -> Float64Array:
    """The sum over heights of ``extent**0.5 * height**2`` of the cluster of each voxel; 0 below the first height.

    Parameters
    ----------
    reached : ndarray of uint8
        The number of heights that each voxel reaches.
    heights : ndarray of shape (heights,), float64
        Ascending, with equal steps from 0.
    """
    found = np.zeros(reached.size)
    places = _descending(reached.reshape(-1))
    values = np.empty(len(places))
    above = np.empty(0)
    for level in reversed(_levels(reached, places, heights)):
        share = heights[0] * level.height**_HEIGHT_POWER * level.size_of**_EXTENT_POWER
        # A cluster adds its own share to the sum of the cluster that contains it at the next smaller height.
        sums = (above + share if above.size else share)[level.cluster_of]
        old = len(sums) - (level.new_voxels.stop - level.new_voxels.start)
        values[level.new_voxels] = sums[old:]
        above = sums[:old]
    found[places] = values
    return found.reshape(reached.shape)


def _levels(reached: NDArray[np.uint8], places: NDArray[np.intp], heights: Float64Array) -> list[_Level]:
    """The clusters above each height, the largest height first.

    From one height to the next smaller one, clusters only grow and merge. The clusters of a height are therefore those
    of the height before, joined by the voxels and pairs of neighbors that are new at it.
    """
    first, second, height_of_pair = _neighbors(reached, places)
    voxels_at = np.bincount(reached.reshape(-1)[places], minlength=len(heights) + 1)
    pairs_at = np.bincount(height_of_pair, minlength=len(heights) + 1)
    current = np.empty(len(places), np.int32)
    size_of: Float64Array = np.empty(0)
    levels: list[_Level] = []
    voxels = pairs = 0
    for at in range(len(heights), 0, -1):
        new = slice(voxels, voxels + int(voxels_at[at]))
        parts = len(size_of) + new.stop - new.start
        current[new] = np.arange(len(size_of), parts)
        size_of = np.concatenate([size_of, np.ones(new.stop - new.start)])
        joined = slice(pairs, pairs + int(pairs_at[at]))
        cluster_of = _merged(parts, current[first[joined]], current[second[joined]])
        size_of = np.bincount(cluster_of, weights=size_of).astype(np.float64)
        voxels, pairs = new.stop, joined.stop
        current[:voxels] = cluster_of[current[:voxels]]
        levels.append(_Level(float(heights[at - 1]), size_of, cluster_of, new))
    return levels


def _merged(parts: int, first: NDArray[np.int32], second: NDArray[np.int32]) -> NDArray[np.int32]:
    """The number of the cluster of each part, given pairs of parts that belong together."""
    if not len(first):
        return np.arange(parts, dtype=np.int32)
    sparse = extra.sparse()
    graph = sparse.coo_array((np.ones(len(first), np.int8), (first, second)), shape=(parts, parts))
    _, labels = sparse.csgraph.connected_components(graph, directed=False)
    numbers: NDArray[np.int32] = labels
    return numbers


def _descending(reached: NDArray[np.uint8]) -> NDArray[np.intp]:
    """The voxels that reach a height, those that reach the most first."""
    places = np.flatnonzero(reached)
    return places[np.argsort(_STEPS - reached[places], kind="stable")]


def _neighbors(
    reached: NDArray[np.uint8], places: NDArray[np.intp]
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.uint8]]:
    """The pairs of voxels that share a face, by their position in ``places``, and the number of heights of both.

    Those with the most heights come first.
    """
    flat = np.zeros(reached.size, np.int32)
    flat[places] = np.arange(len(places), dtype=np.int32)
    position = flat.reshape(reached.shape)
    found: list[tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.uint8]]] = []
    for axis in range(reached.ndim):
        low: list[slice] = [slice(None)] * reached.ndim
        high = low.copy()
        low[axis], high[axis] = slice(None, -1), slice(1, None)
        heights = np.minimum(reached[tuple(low)], reached[tuple(high)])
        are_both = heights > 0
        found.append((position[tuple(low)][are_both], position[tuple(high)][are_both], heights[are_both]))
    first, second, of_both = (np.concatenate([each[part] for each in found]) for part in range(3))
    order = np.argsort(_STEPS - of_both, kind="stable")
    return first[order], second[order], of_both[order]


def _parts(total: int, size: int) -> Iterable[slice]:
    for first in range(0, total, size):
        yield slice(first, min(first + size, total))
