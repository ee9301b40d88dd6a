"""The comparison of two groups by voxel: the values of each experiment as they are averaged, then the test."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bsv_store.averaging.comparison.design import covariate_matrix
from bsv_store.averaging.kernel.accumulator import GroupAccumulator, MemberVolume
from bsv_store.averaging.kernel.slabs import slabs_within
from bsv_store.averaging.passes import Pass, member_volumes
from bsv_store.errors import RecipeError
from bsv_store.progress import NO_PROGRESS
from bsv_store.statistics import compare_voxels, extra
from bsv_store.text import size_text
from bsv_store.volumes.grid import Grid

if TYPE_CHECKING:
    from bsv_store.averaging.inputs import Inputs
    from bsv_store.progress import Progress
    from bsv_store.statistics import VoxelTest
    from bsv_store.vocabulary import ComparisonMap
    from bsv_store.volumes.files import StoreFiles

# Values of all experiments on a slab of planes. At 100 um it holds the whole volumes of 200 experiments.
_SLAB_BYTES = 1_000_000_000
# Values of all experiments at all tested voxels.
_MAX_BYTES = 8_000_000_000
_BYTES = 4

Damaged = dict[int, tuple[str, str | None]]
"""Message and hint of each experiment with a damaged file."""


@dataclass(frozen=True, slots=True, eq=False)
class ComparedValues:
    """The values of the members at the voxels that are tested.

    Attributes
    ----------
    values : ndarray of float32, shape (members, voxels)
    index : ndarray of int64, shape (voxels,)
        C-order index of each voxel in the grid, ascending.
    is_complete : ndarray of bool, shape (grid voxels,)
        Where every member has data.
    """

    values: NDArray[np.float32]
    index: NDArray[np.int64]
    is_complete: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class ComparedVoxels:
    """The maps of a comparison.

    Attributes
    ----------
    maps : dict of ComparisonMap to ndarray of float32, shape (ap, dv, ml)
        NaN = not tested. The difference is 0, not NaN, where every member has data and none has signal.
    facts : mapping of str to float
        About the test: number of permutations, whether they are all distinct ones, number of tested voxels, and the
        value that the absolute t must exceed for each corrected level of significance.
    """

    maps: dict[ComparisonMap, NDArray[np.float32]]
    facts: Mapping[str, float]


def values_to_compare(files: StoreFiles, inputs: Inputs, progress: Progress = NO_PROGRESS) -> ComparedValues | Damaged:
    """The values of all members, normalized and with hemisphere rule and masks as for the average.

    Every byte that is read is checked. Returned are the damaged files instead, if there are any.

    Raises
    ------
    RecipeError
        If no voxel has signal in a member and data in all of them, or the values need too much memory.
    """
    grid, comparison = Grid(inputs.recipe.spacing_um), inputs.recipe.voxel_comparison
    if comparison is not None and comparison.cluster != "none":
        # Report a missing package before the volumes are read.
        extra.ndimage()
        extra.special()
    plane = math.prod(grid.shape[1:])
    slabs = slabs_within(grid.shape[0], len(inputs.members) * plane * _BYTES, _SLAB_BYTES)
    is_complete = np.zeros(grid.size, np.bool_)
    parts: list[NDArray[np.float32]] = []
    index: list[NDArray[np.int64]] = []
    damaged: Damaged = {}
    progress.start(len(slabs) * len(inputs.members), "reading volumes")
    try:
        for planes in slabs:
            values = np.empty((len(inputs.members), (planes[1] - planes[0]) * plane), np.float32)
            damaged |= _fill(values, files, inputs, planes, progress)
            if damaged:
                continue
            complete = ~np.isnan(values).any(axis=0)
            tested = np.flatnonzero(complete & (values != 0).any(axis=0))
            is_complete[planes[0] * plane : planes[1] * plane] = complete
            parts.append(np.ascontiguousarray(values[:, tested]))
            index.append(tested + planes[0] * plane)
            _check_size(sum(part.nbytes for part in parts), len(inputs.members))
    finally:
        progress.finish()
    if damaged:
        return damaged
    if not any(part.size for part in parts):
        raise RecipeError(
            "there is no voxel to test: none has signal in an experiment and data in all of them",
            hint="Compare other experiments, or do not exclude injection sites.",
        )
    whole = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
    return ComparedValues(whole, np.concatenate(index), is_complete)


def _fill(
    values: NDArray[np.float32], files: StoreFiles, inputs: Inputs, planes: tuple[int, int], progress: Progress
) -> Damaged:
    """Write the values of each member on some AP planes to its row; returns the damaged files.

    The value of a member is the average of a group that has no other.
    """
    recipe = inputs.recipe
    damaged: Damaged = {}
    work = Pass(range(len(inputs.groups)), planes, inputs.members)
    rows = iter(values)
    for batch in member_volumes(files, work):
        for member, volume in batch:
            row = next(rows)
            if isinstance(volume, MemberVolume):
                alone = GroupAccumulator(
                    Grid(recipe.spacing_um), 1, hemisphere_rule=recipe.hemisphere_rule, ap_range=planes
                )
                alone.add_all([replace(volume, group=0)])
                row[:] = alone.finish("float32").mean[0].reshape(-1)
                progress.advance()
            else:
                damaged[member.experiment_id] = volume
    return damaged


def _check_size(size_bytes: int, members: int) -> None:
    if size_bytes > _MAX_BYTES:
        raise RecipeError(
            f"the values of {members} experiments at all voxels with signal take more than {size_text(_MAX_BYTES)}",
            hint="Compare at a spacing of 100 or 50 um (--spacing), or fewer experiments.",
        )


def compare_groups(
    inputs: Inputs, tested: ComparedValues, progress: Progress = NO_PROGRESS, *, workers: int | None = None
) -> ComparedVoxels:
    """The maps of the comparison of the recipe.

    Parameters
    ----------
    workers : int, optional
        Number of threads; by default one for each processor. The result does not depend on it.
    """
    comparison, grid = inputs.recipe.voxel_comparison, Grid(inputs.recipe.spacing_um)
    assert comparison is not None
    test = compare_voxels(
        tested.values,
        inputs.in_first_group(),
        permutations=comparison.permutations,
        seed=comparison.seed,
        covariates=covariate_matrix(inputs.covariates),
        statistic=comparison.test,
        cluster=comparison.cluster,
        cluster_threshold_p=comparison.cluster_threshold_p,
        shape_and_index=None if comparison.cluster == "none" else (grid.shape, tested.index),
        # More threads than processors are not faster.
        workers=None if workers is None else min(workers, os.cpu_count() or 1),
        progress=progress,
    )
    maps: dict[ComparisonMap, NDArray[np.float32]] = {}
    for name in comparison.maps:
        values = np.full(grid.size, np.nan, np.float32)
        if name == "difference":
            values[tested.is_complete] = 0
        found: NDArray[Any] | None = getattr(test, name)
        assert found is not None
        values[tested.index] = found
        maps[name] = values.reshape(grid.shape)
    return ComparedVoxels(maps, _facts(test, len(tested.index)))


def _facts(test: VoxelTest, voxels: int) -> dict[str, float]:
    return {
        "permutations": test.permutations,
        "exact": int(test.exact),
        "tested_voxels": voxels,
        **{f"critical_t_{level:g}": float(value) for level, value in test.thresholds.items()},
    }
