"""The annotation of the synthetic atlas: a brain of ellipsoids and planes on the CCFv3 grid."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from bsv_store.volumes.grid import MIDLINE_UM, Grid
from bsv_store_synthetic import ontology

GRID = Grid(100)
"""The grid on which the atlas is computed; finer spacings repeat its voxels."""

_BRAIN_CENTER_UM = (6_600, 4_000)
_BRAIN_RADII_UM = (6_100, 3_400, 4_900)
# The right side is slightly larger, so that a few voxels differ from their mirror image, as in the real annotation.
_RIGHT_STRETCH = 0.99

_Mask = NDArray[np.bool_]


@lru_cache(maxsize=1)
def annotation() -> NDArray[np.uint32]:
    """uint32 array, shape (132, 80, 114), axes [ap, dv, ml]: leaf structure id, 0 outside the brain; read-only."""
    table = np.array([0, *(record.id for record in ontology.leaves())], np.uint32)
    labels = table[leaf_codes()]
    labels.flags.writeable = False
    return labels


@lru_cache(maxsize=1)
def leaf_codes() -> NDArray[np.uint8]:
    """uint8 array, shape (132, 80, 114): 0 outside the brain, else 1 + position in ``ontology.leaves()``; read-only."""
    codes = np.zeros(GRID.shape, np.uint8)
    order = {record.acronym: position + 1 for position, record in enumerate(ontology.leaves())}
    for acronym, mask in _regions():
        codes[mask & (codes == 0)] = order[acronym]
    codes.flags.writeable = False
    return codes


@lru_cache(maxsize=64)
def voxels_of(structure_id: int) -> NDArray[np.intp]:
    """Linear C-order indices of the voxels of a structure and its descendants, ascending."""
    below = ontology.descendants(structure_id)
    wanted = [position + 1 for position, record in enumerate(ontology.leaves()) if record.id in below]
    return np.flatnonzero(np.isin(leaf_codes(), wanted))


@lru_cache(maxsize=64)
def interior_of(structure_id: int) -> NDArray[np.intp]:
    """Linear C-order indices of a structure's voxels whose six neighbors also belong to it, ascending.

    AP is the slowest axis, so the indices go from anterior to posterior.
    """
    inside = np.zeros(GRID.size, np.bool_)
    inside[voxels_of(structure_id)] = True
    inside = inside.reshape(GRID.shape)
    core = inside.copy()
    for axis in range(3):
        # The brain touches no face of the box, so wrapping around the edge adds nothing.
        core &= np.roll(inside, 1, axis) & np.roll(inside, -1, axis)
    return np.flatnonzero(core)


@lru_cache(maxsize=128)
def center_um(structure_id: int, *, right: bool) -> tuple[float, float, float]:
    """Center of gravity (ap, dv, ml) in um of a structure's part in one hemisphere."""
    ap, dv, ml = np.unravel_index(voxels_of(structure_id), GRID.shape)
    side = (ml >= GRID.midline) == right
    # Integer sums are exact in any order of addition.
    count = int(side.sum())
    mean = [(int(axis[side].sum()) / count + 0.5) * GRID.spacing_um for axis in (ap, dv, ml)]
    return mean[0], mean[1], mean[2]


def _regions() -> list[tuple[str, _Mask]]:
    """Leaf acronyms with masks, by precedence: a voxel belongs to the first mask that contains it."""
    ap = GRID.centers_um("AP")[:, None, None]
    dv = GRID.centers_um("DV")[None, :, None]
    ml = GRID.centers_um("ML")[None, None, :]
    side = np.where(ml < MIDLINE_UM, MIDLINE_UM - ml, (ml - MIDLINE_UM) * _RIGHT_STRETCH)
    x = (ap - _BRAIN_CENTER_UM[0]) / _BRAIN_RADII_UM[0]
    y = (dv - _BRAIN_CENTER_UM[1]) / _BRAIN_RADII_UM[1]
    z = side / _BRAIN_RADII_UM[2]
    depth = x * x + y * y + z * z
    brain = depth < 1

    def ball(center: tuple[int, int, int], radii: tuple[int, int, int]) -> _Mask:
        """Ellipsoid in both hemispheres; the center's last entry is the distance from the midline."""
        a, b, c = (ap - center[0]) / radii[0], (dv - center[1]) / radii[1], (side - center[2]) / radii[2]
        return brain & (a * a + b * b + c * c < 1)

    cortex = brain & (depth > 0.6) & (y < 0.25) & (x < 0.58)
    visual = cortex & (x >= 0.02)
    thalamus = ball((7_300, 4_300, 900), (1_400, 1_200, 1_500))
    return [
        *_cortical(cortex, visual, x, z, depth),
        ("LOB4, 5", brain & (x >= 0.58) & (y < 0.2)),
        ("CM", thalamus & (side < 400)),
        ("LGd", thalamus & (side >= 1_500)),
        ("LP", thalamus & (ap >= 7_200)),
        ("VPM", thalamus),
        ("CP", ball((5_300, 4_200, 2_300), (1_900, 1_500, 1_200))),
        ("SCs", ball((9_000, 2_900, 0), (900, 900, 1_400))),
        ("CA1", brain & (depth > 0.42) & (y < 0.1) & (x >= 0.1)),
        ("cm", ball((8_700, 4_900, 0), (500, 300, 900))),
        ("cc", brain & (depth > 0.48) & (y < 0)),
        ("P", brain & (x >= 0.4)),
        ("PAG", brain & (x >= 0.15) & (y < 0.4)),
        ("HY", brain),
    ]


def _cortical(
    cortex: _Mask,
    visual: _Mask,
    x: NDArray[np.float64],
    z: NDArray[np.float64],
    depth: NDArray[np.float64],
) -> list[tuple[str, _Mask]]:
    primary = visual & (z >= 0.22) & (z < 0.52)
    return [
        ("VISpm", visual & (z < 0.22)),
        ("VISp2/3", primary & (depth >= 0.8)),
        ("VISp5", primary),
        ("VISal", visual & (z < 0.72) & (x < 0.16)),
        ("VISl", visual & (z < 0.72)),
        ("AUDp", visual),
        ("MOs", cortex & ((x < -0.5) | (z < 0.3))),
        ("MOp", cortex & (z < 0.62)),
        ("VISC", cortex),
    ]
