"""The annotation of the synthetic atlas, sampled from the smooth shapes of a brain on the CCFv3 grids."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bsv_store.volumes.grid import MIDLINE_UM, Grid
from bsv_store_synthetic import ontology
from bsv_store_synthetic.noise import draw
from bsv_store_synthetic.shapes import Brain

GRID: Final = Grid(100)
"""The grid on which experiments are computed; at finer spacings their voxels are repeated."""

# The right side is slightly larger, so that some voxels differ from their mirror image, as in the real annotation.
_RIGHT_STRETCH: Final = 0.985
_SLAB: Final = 8


@lru_cache(maxsize=1)
def annotation() -> NDArray[np.uint32]:
    """uint32 array, shape (132, 80, 114), axes [ap, dv, ml]: leaf structure id, 0 outside the brain; read-only."""
    labels = leaf_ids()[leaf_codes()]
    labels.flags.writeable = False
    return labels


def planes(spacing_um: int) -> Iterator[NDArray[np.uint32]]:
    """The annotation at 100, 50 or 25 um by sagittal plane, from left to right: uint32 arrays, shape (ap, dv).

    The shapes are sampled at the centers of the voxels.
    """
    if spacing_um == GRID.spacing_um:
        yield from np.moveaxis(annotation(), 2, 0)
        return
    grid = Grid(spacing_um)
    slabs = range(0, grid.midline, _SLAB)
    left = np.concatenate([_codes(grid, np.arange(grid.midline)[first : first + _SLAB]) for first in slabs], axis=2)
    for plane in (*range(grid.midline), *_mirrored_planes(grid).tolist()):
        yield leaf_ids()[left[..., plane]]


def template_planes(spacing_um: int) -> Iterator[NDArray[np.uint16]]:
    """The average template at 100, 50 or 25 um by sagittal plane, from left to right: uint16 arrays, shape (ap, dv).

    Each structure has one intensity; fiber tracts are darker than gray matter, and 0 is outside the brain.
    """
    ids = leaf_ids()
    order = np.argsort(ids)
    intensities = np.array([_intensity(int(each)) for each in ids[order]], np.uint16)
    for plane in planes(spacing_um):
        yield intensities[np.searchsorted(ids, plane, sorter=order)]


def _intensity(structure_id: int) -> int:
    if structure_id == 0:
        return 0
    low = 90 if structure_id in _fiber_tracts() else 180
    return low + int(120 * draw("template", structure_id))


@lru_cache(maxsize=1)
def _fiber_tracts() -> frozenset[int]:
    return ontology.descendants(ontology.structure("fiber tracts").id)


@lru_cache(maxsize=1)
def leaf_codes() -> NDArray[np.uint8]:
    """uint8 array, shape (132, 80, 114): 0 outside the brain, else 1 + position in ``ontology.leaves()``; read-only."""
    left = _codes(GRID, np.arange(GRID.midline))
    codes = np.concatenate((left, left[..., _mirrored_planes(GRID)]), axis=2)
    codes.flags.writeable = False
    return codes


@lru_cache(maxsize=1)
def leaf_ids() -> NDArray[np.uint32]:
    """uint32 array: the id for each code, 0 for code 0."""
    return np.array([0, *(record.id for record in ontology.leaves())], np.uint32)


@lru_cache(maxsize=64)
def voxels_of(structure_id: int) -> NDArray[np.intp]:
    """Linear C-order indices of the voxels of a structure and its descendants, ascending."""
    below = ontology.descendants(structure_id)
    wanted = [position + 1 for position, record in enumerate(ontology.leaves()) if record.id in below]
    return np.flatnonzero(np.isin(leaf_codes(), wanted))


@lru_cache(maxsize=128)
def interior_of(structure_id: int, *, depth: int = 1) -> NDArray[np.intp]:
    """Linear C-order indices of the voxels that stay after removing this many layers from a structure, ascending.

    AP is the slowest axis, so the indices go from anterior to posterior.
    """
    inside = np.zeros(GRID.size, np.bool_)
    inside[voxels_of(structure_id)] = True
    inside = inside.reshape(GRID.shape)
    for _ in range(depth):
        core = inside.copy()
        for axis in range(3):
            # The brain touches no face of the box, so wrapping around the edge adds nothing.
            core &= np.roll(inside, 1, axis) & np.roll(inside, -1, axis)
        inside = core
    return np.flatnonzero(inside)


@lru_cache(maxsize=128)
def center_um(structure_id: int, *, right: bool) -> tuple[float, float, float]:
    """Center of gravity (ap, dv, ml) in um of a structure's part in one hemisphere."""
    ap, dv, ml = np.unravel_index(voxels_of(structure_id), GRID.shape)
    side = (ml >= GRID.midline) == right
    # Integer sums are exact in any order of addition.
    count = int(side.sum())
    mean = [(int(axis[side].sum()) / count + 0.5) * GRID.spacing_um for axis in (ap, dv, ml)]
    return mean[0], mean[1], mean[2]


def _codes(grid: Grid, planes: NDArray[np.intp]) -> NDArray[np.uint8]:
    """Codes of these ML planes of the left hemisphere: uint8 array, shape (ap, dv, planes)."""
    side = MIDLINE_UM - (planes + 0.5) * grid.spacing_um
    brain = Brain(grid.centers_um("AP"), grid.centers_um("DV"), side)
    order = {record.acronym: position + 1 for position, record in enumerate(ontology.leaves())}
    codes = np.zeros((*grid.shape[:2], len(planes)), np.uint8)
    # The first mask that contains a voxel is written last.
    for acronym, mask in reversed(brain.structures()):
        codes[mask] = order[acronym]
    return codes


def _mirrored_planes(grid: Grid) -> NDArray[np.intp]:
    """The left plane that each plane of the right hemisphere repeats."""
    side = (np.arange(grid.midline) + 0.5) * _RIGHT_STRETCH
    sources: NDArray[np.intp] = grid.midline - 1 - np.floor(side).astype(np.intp)
    return sources
