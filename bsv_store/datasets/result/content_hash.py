"""The content hash of a result: of its arrays, independent of the file format. See `ResultWriter` for the rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from bsv_store.datasets.result.columns import COLUMNS, SIGNAL
from bsv_store.datasets.result.slabs import NO_GROUP, ArrayHash, ArrayKey, array_keys, content_of, has_slab_hashes
from bsv_store.volumes.grid import Grid

if TYPE_CHECKING:
    import h5py

    from bsv_store.averaging.recipe import Recipe

# A compromise between reading small boxes and the number of chunks.
_CHUNK_BYTES: Final = 1_250_000


def content_hash(
    file: h5py.File, statistics: Sequence[str], arrays: Sequence[str], *, slab_planes: int | None = None
) -> str:
    """The content hash of an open result file, of its statistics and its arrays without groups; see `ResultWriter`.

    Parameters
    ----------
    slab_planes : int, optional
        Number of AP planes in a slab, if arrays are hashed by slabs.
    """
    groups = file[statistics[0]].shape[0] if statistics else 0
    hashes: dict[ArrayKey, ArrayHash] = {}
    for name, group in array_keys(statistics, groups, arrays):
        values = file[name]
        prefix = () if group == NO_GROUP else (group,)
        hashes[name, group] = ArrayHash(slab_planes)
        # By chunks, since an array may be larger than the memory.
        step = values.chunks[len(prefix)] if values.chunks else values.shape[len(prefix)]
        for first in range(0, values.shape[len(prefix)], step):
            hashes[name, group].update(np.ascontiguousarray(values[(*prefix, slice(first, first + step))]))
    return content_of(hashes)


def has_content(file: h5py.File, recipe: Recipe, content_sha256: str) -> bool:
    """Whether the arrays of an open result file have a content hash; see `ResultWriter`.

    At 25 and 10 um, the hash of an array may also be that of all its bytes, as in versions that were recorded before
    slabs were hashed.
    """
    arrays = recipe.statistics, arrays_without_groups(recipe)
    rules = [slab_planes(recipe), None] if slab_planes(recipe) else [None]
    return any(content_hash(file, *arrays, slab_planes=each) == content_sha256 for each in rules)


def slab_planes(recipe: Recipe) -> int | None:
    """Number of AP planes in a slab, if the arrays of a result are hashed by slabs."""
    if not recipe.has_voxels or not has_slab_hashes(grid := Grid(recipe.spacing_um)):
        return None
    return planes_per_chunk(grid, np.dtype(recipe.dtype).itemsize)


def arrays_without_groups(recipe: Recipe) -> tuple[str, ...]:
    """The names of the arrays without groups: maps of a comparison by voxel, or columns of one by structure."""
    return recipe.maps if recipe.has_voxels else (SIGNAL, *COLUMNS)


def planes_per_chunk(grid: Grid, itemsize: int) -> int:
    """The largest number of AP planes that divides the grid and gives chunks of a suitable size."""
    count, dv, ml = grid.shape
    fitting = [planes for planes in range(1, count + 1) if count % planes == 0]
    return max([1, *(planes for planes in fitting if planes * dv * ml * itemsize <= _CHUNK_BYTES)])
