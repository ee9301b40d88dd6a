"""Where the axons of a synthetic experiment go: terminal fields in targets, and the tracts that lead to them.

Cortical axons descend into the white matter, cross in the corpus callosum, or pass the internal capsule on their way to
the thalamus, midbrain and pons; other axons go by way of the capsule to the cortex. As in `volumes`, IEEE arithmetic
in a fixed order defines all results.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bsv_store_synthetic import noise
from bsv_store_synthetic.anatomy import GRID, Anatomy, center_um, interior_of, voxels_of
from bsv_store_synthetic.experiments import Plan

_VISUAL: Final = ("VISp", "VISl", "VISpm", "VISal", "LP", "LGd", "SCs", "CP", "MOs")
_TARGETS: Final[dict[str, tuple[str, ...]]] = {
    **dict.fromkeys(("VISp", "VISl", "VISpm", "VISal"), _VISUAL),
    "MOp": ("MOs", "CP", "VPM", "P", "SCs", "VISC", "HY"),
    "AUDp": ("VISl", "CP", "LP", "PAG", "VISC", "LGd"),
    "VISC": ("MOp", "CP", "VPM", "HY", "PAG", "P"),
    "CP": ("VPM", "PAG", "HY", "SCs", "CM"),
    "LP": (*_VISUAL[:4], "CP", "CA1"),
    "LGd": ("VISp", "VISl", "SCs", "LP", "HY"),
    "SCs": ("LP", "LGd", "PAG", "P", "CM", "LOB4, 5"),
}
# In Allen's ontology.
_OTHER_NAMES: Final[dict[str, tuple[str, ...]]] = {"LOB4, 5": ("CUL4, 5",)}
PATHWAYS: Final = ("Isocortex", "CP", "cc")
"""Acronyms of further structures that an anatomy needs: tracts of the cortex pass through the corpus callosum."""

Point = tuple[float, float, float]
Box = tuple[slice, slice, slice]

_MIDLINE: Final = float(GRID.midline * GRID.spacing_um)
# Between caudoputamen and thalamus: (ap, dv, distance from the midline).
_CAPSULE: Final = (6_500.0, 4_300.0, 2_250.0)
_TRACT_RADIUS_UM: Final = 330.0
_STEP_UM: Final = 150.0
_TRACT_SHARE: Final = 0.04
# The share of a terminal field's strength in its target, elsewhere in the brain, and outside of it.
_INSIDE, _BESIDE, _OUTSIDE = 1.0, 0.06, 0.015


def strength(anatomy: Anatomy, experiment: Plan) -> NDArray[np.float64]:
    """float64 array, shape (132, 80, 114): signal without noise, 0 where there is none."""
    result = np.zeros(GRID.shape, np.float64)
    tree = anatomy.tree
    primary = tree.structure(experiment.primary_structure_id)
    for site in experiment.sites:
        _add_field(anatomy, result, site.center_um, 2.4 * site.radius_um, 0.8, primary.id)
    main = experiment.sites[0].center_um
    right = main[2] >= _MIDLINE
    tracts: list[tuple[tuple[Point, ...], float]] = []
    for rank, acronym in enumerate((primary.acronym, *_targets(anatomy, primary.acronym))):
        for crossing in (False, True):
            if acronym == primary.acronym and (rank > 0 or not crossing):
                continue
            key = noise.key_of(experiment.key, "target", acronym, int(crossing))
            target = tree.structure(acronym)
            goal = _goal(anatomy, target.id, right != crossing, key)
            amplitude = (0.25 if crossing else 1.0) * (0.3 + noise.draw(key, "amplitude"))
            radius = (700 if crossing else 940) + 450 * noise.draw(key, "radius")
            _add_field(anatomy, result, goal, radius, amplitude, target.id)
            tracts.append((_route(anatomy, main, primary.id, goal, target.id), amplitude))
    _add_tracts(result, tracts)
    return result


def _targets(anatomy: Anatomy, acronym: str) -> tuple[str, ...]:
    """The targets of a structure that the anatomy has."""
    found = (next((name for name in (each, *_OTHER_NAMES.get(each, ())) if _is_in(anatomy, name)), None)
             for each in _TARGETS[acronym])  # fmt: skip
    return tuple(name for name in found if name is not None)


def _is_in(anatomy: Anatomy, acronym: str) -> bool:
    return acronym in anatomy.tree and voxels_of(anatomy, anatomy.tree.structure(acronym).id).size > 0


def ball(center: Point, radius: float) -> tuple[Box, NDArray[np.float64]]:
    """The box of a ball on the grid, with a profile that is 1 at the center and 0 at the radius and beyond."""
    spacing = GRID.spacing_um
    box: list[slice] = []
    squares: list[NDArray[np.float64]] = []
    for c, count in zip(center, GRID.shape, strict=True):
        first, last = max(0, int((c - radius) // spacing)), min(count, int((c + radius) // spacing) + 1)
        offset = ((np.arange(first, last) + 0.5) * spacing - c) / radius
        box.append(slice(first, max(first, last)))
        squares.append(offset * offset)
    inside = 1 - (squares[0][:, None, None] + squares[1][None, :, None] + squares[2][None, None, :])
    return (box[0], box[1], box[2]), np.maximum(inside, 0)


def _add_field(
    anatomy: Anatomy, result: NDArray[np.float64], center: Point, radius: float, amplitude: float, structure_id: int
) -> None:
    box, profile = ball(center, radius)
    profile *= amplitude
    profile *= profile
    profile *= _shares(anatomy, structure_id)[anatomy.codes[box]]
    result[box] += profile


@lru_cache(maxsize=64)
def _shares(anatomy: Anatomy, structure_id: int) -> NDArray[np.float64]:
    """The share of the signal at each of the codes of an anatomy."""
    below = anatomy.tree.descendants(structure_id)
    return np.array([_OUTSIDE, *(_INSIDE if leaf.id in below else _BESIDE for leaf in anatomy.labels)])


def _goal(anatomy: Anatomy, structure_id: int, right: bool, key: int) -> Point:
    """The inner voxel of a structure that is nearest to a point drawn around the structure's center."""
    center = center_um(anatomy, structure_id, right=right)
    drawn = [c + 500 * (noise.draw(key, axis) - 0.5) for axis, c in enumerate(center)]
    return _nearest(_inner_points(anatomy, structure_id, right), (drawn[0], drawn[1], drawn[2]))


@lru_cache(maxsize=128)
def _inner_points(anatomy: Anatomy, structure_id: int, right: bool) -> NDArray[np.float64]:
    points = _centers(interior_of(anatomy, structure_id), right)
    # A thin structure has no inner voxel.
    return points if points.size else _centers(voxels_of(anatomy, structure_id), right)


@lru_cache(maxsize=4)
def _callosum(anatomy: Anatomy, right: bool) -> NDArray[np.float64]:
    return _centers(voxels_of(anatomy, anatomy.tree.structure("cc").id), right)


def _centers(voxels: NDArray[np.intp], right: bool) -> NDArray[np.float64]:
    """Centers in um of the voxels in one hemisphere, shape (3, n)."""
    ap, dv, ml = np.unravel_index(voxels, GRID.shape)
    side = (ml >= GRID.midline) == right
    return np.array([(axis[side] + 0.5) * GRID.spacing_um for axis in (ap, dv, ml)])


def _nearest(points: NDArray[np.float64], to: Point) -> Point:
    squares = (points[0] - to[0]) ** 2 + (points[1] - to[1]) ** 2 + (points[2] - to[2]) ** 2
    ap, dv, ml = points[:, int(squares.argmin())].tolist()
    return ap, dv, ml


# -- tracts -----------------------------------------------------------------------------------------------------------


def _route(anatomy: Anatomy, start: Point, source_id: int, goal: Point, target_id: int) -> tuple[Point, ...]:
    """The points through which a tract passes, in order."""
    crosses = (start[2] >= _MIDLINE) != (goal[2] >= _MIDLINE)
    before = _mirrored(goal) if crosses else goal
    capsule = (_CAPSULE[0], _CAPSULE[1], _MIDLINE + (_CAPSULE[2] if start[2] >= _MIDLINE else -_CAPSULE[2]))
    from_cortex, to_cortex = (_is_cortical(anatomy, each) for each in (source_id, target_id))
    if to_cortex or (from_cortex and target_id == anatomy.tree.structure("CP").id):
        first = (
            (_white_matter(anatomy, start), _white_matter(anatomy, _middle(start, before)))
            if from_cortex
            else (capsule,)
        )
        arch = (_white_matter(anatomy, (before[0], 2_000.0, _MIDLINE + 50)),) if crosses else ()
        return (start, *first, *arch, _white_matter(anatomy, goal), goal)
    descent = (_white_matter(anatomy, start), capsule) if from_cortex else (_middle(start, before),)
    return (start, *descent, before, goal) if crosses else (start, *descent, goal)


def _is_cortical(anatomy: Anatomy, structure_id: int) -> bool:
    return anatomy.tree.structure("Isocortex").id in anatomy.tree.path_of(structure_id)


def _white_matter(anatomy: Anatomy, point: Point) -> Point:
    """The point of the corpus callosum below a point of the cortex."""
    return _nearest(_callosum(anatomy, point[2] >= _MIDLINE), point)


def _mirrored(point: Point) -> Point:
    return point[0], point[1], 2 * _MIDLINE - point[2]


def _middle(a: Point, b: Point) -> Point:
    return (a[0] + b[0]) / 2, (a[1] + b[1]) / 2, (a[2] + b[2]) / 2


def _add_tracts(result: NDArray[np.float64], tracts: list[tuple[tuple[Point, ...], float]]) -> None:
    """Add tubes along smooth curves; tubes that run together add up."""
    offsets, profile = _tube()
    curves = [_curve(route) for route, _ in tracts]
    points = np.concatenate(curves, axis=1)
    weights = np.concatenate([np.full(c.shape[1], _TRACT_SHARE * a) for c, (_, a) in zip(curves, tracts, strict=True)])
    reach = int(_TRACT_RADIUS_UM // GRID.spacing_um)
    voxels = [
        np.clip((axis / GRID.spacing_um).astype(np.intp), reach, count - 1 - reach)
        for axis, count in zip(points, GRID.shape, strict=True)
    ]
    index = np.ravel_multi_index(tuple(voxels), GRID.shape)
    # Adds in the order of the points, which is the same on every machine.
    np.add.at(result.reshape(-1), (index[:, None] + offsets).ravel(), (weights[:, None] * profile).ravel())


@lru_cache(maxsize=1)
def _tube() -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """The section of a tract: offsets of linear voxel indices, and the strength at each."""
    reach = int(_TRACT_RADIUS_UM // GRID.spacing_um)
    steps = np.arange(-reach, reach + 1)
    ap, dv, ml = (axis.ravel() for axis in np.meshgrid(steps, steps, steps, indexing="ij"))
    share = 1 - (ap * ap + dv * dv + ml * ml) * (GRID.spacing_um / _TRACT_RADIUS_UM) ** 2
    inside = share > 0
    offsets = (ap * GRID.shape[1] + dv) * GRID.shape[2] + ml
    return offsets[inside], share[inside] * share[inside]


def _curve(route: tuple[Point, ...]) -> NDArray[np.float64]:
    """Points along a Catmull-Rom spline through the route, shape (3, n)."""
    knots = np.array((route[0], *route, route[-1]), np.float64)
    parts = []
    for before, start, end, after in zip(knots, knots[1:], knots[2:], knots[3:], strict=False):
        dx, dy, dz = end - start
        steps = 1 + int(np.sqrt(dx * dx + dy * dy + dz * dz) / _STEP_UM)
        t = (np.arange(steps) / steps)[:, None]
        rest = 1 - t
        slopes = rest * (end - before) - t * (after - start)
        parts.append(rest * rest * (1 + 2 * t) * start + t * t * (3 - 2 * t) * end + t * rest * slopes / 2)
    return np.concatenate(parts).T
