"""The volumes of a synthetic experiment: injection site, signal in target structures, weak tracts between them.

Only sums, products, quotients and comparisons are used, in a fixed order. IEEE arithmetic defines their results, so
the arrays are identical on every machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, assert_never

import numpy as np
from numpy.typing import NDArray

from bsv_store.vocabulary import VolumeKind
from bsv_store_synthetic import anatomy, noise, ontology
from bsv_store_synthetic.anatomy import GRID
from bsv_store_synthetic.experiments import Plan, Site, plan

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
_TRACT_STEPS: Final = 9


@dataclass(frozen=True, slots=True)
class Signal:
    """The voxels of one experiment with signal, on the 100 um grid.

    Attributes
    ----------
    index : ndarray of intp, shape (n,)
        Linear C-order index over [ap, dv, ml], ascending.
    projection : ndarray of float32, shape (n,)
        Projection density in (0, 1], injection site included.
    fraction : ndarray of float32, shape (n,)
        Fraction of the voxel inside the injection site, [0, 1]. Above 0 only in the brain where the data mask is 1.
    intensity : ndarray of float32, shape (n,)
        Mean intensity of the projecting pixels, gray values, above 0.
    injection_voxel : int
        Linear index of the voxel of the injection coordinate; its projection and fraction are 1.
    """

    index: NDArray[np.intp]
    projection: NDArray[np.float32]
    fraction: NDArray[np.float32]
    intensity: NDArray[np.float32]
    injection_voxel: int

    @property
    def injection(self) -> NDArray[np.float32]:
        """float32 array, shape (n,): injection density in [0, 1]; equal to the projection where the fraction is 1."""
        return self.fraction * self.projection


def volume(seed: int, number: int, kind: VolumeKind) -> NDArray[np.float32]:
    """float32 array, shape (132, 80, 114), axes [ap, dv, ml]: one volume of an experiment at 100 um.

    Energies are unbounded gray values; all other kinds are in [0, 1].
    """
    if kind == "data_mask":
        return data_mask(seed, number)
    signal = signal_of(seed, number)
    if kind == "projection_density":
        values = signal.projection
    elif kind == "projection_energy":
        values = signal.projection * signal.intensity
    elif kind == "injection_density":
        values = signal.injection
    elif kind == "injection_energy":
        values = signal.injection * signal.intensity
    elif kind == "injection_fraction":
        values = signal.fraction
    else:
        assert_never(kind)
    dense = np.zeros(GRID.size, np.float32)
    dense[signal.index] = values
    return dense.reshape(GRID.shape)


def data_mask(seed: int, number: int) -> NDArray[np.float32]:
    """float32 array, shape (132, 80, 114), in [0, 1]: fraction of each voxel with valid data, mostly 1.

    The first sections and one torn spot at the lower edge are missing, with a fractional rim.
    """
    key = plan(seed, number).key
    mask = np.ones(GRID.shape, np.float32)
    first = 1 + int(3 * noise.draw(key, "first section"))
    mask[:first] = 0
    plane = mask[first]
    plane[...] = noise.field(noise.key_of(key, "rim"), np.arange(plane.size)).reshape(plane.shape)
    center = (2_500.0 + 8_000 * noise.draw(key, "tear"), 6_300.0, 11_400 * noise.draw(key, "tear side"))
    for box, profile in _balls([(center, 700.0, 1.0)]):
        view = mask[box]
        # Fractional at the rim, 0 in the middle.
        np.minimum(view, np.clip(1.25 - 2.5 * profile, 0, 1).astype(np.float32), out=view)
    return mask


@lru_cache(maxsize=32)
def signal_of(seed: int, number: int) -> Signal:
    """The signal of an experiment by its number; the last 32 are cached (about 2 MB each)."""
    experiment = plan(seed, number)
    strength = np.zeros(GRID.shape, np.float64)
    for box, profile in _balls(_blobs(experiment)):
        strength[box] += profile * profile
    mask = data_mask(seed, number)
    fraction = np.zeros(GRID.shape, np.float64)
    for site in experiment.sites:
        _add_site(fraction, site)
    fraction[(anatomy.leaf_codes() == 0) | (mask < 1)] = 0
    strength[(mask == 0) & (fraction == 0)] = 0
    index = np.flatnonzero((strength > 0) | (fraction > 0))
    return _textured(experiment, index, strength.ravel()[index], fraction.ravel()[index])


def _textured(
    experiment: Plan, index: NDArray[np.intp], strength: NDArray[np.float64], fraction: NDArray[np.float64]
) -> Signal:
    """Add noise to the signal, so that values are heavy-tailed and nearly all distinct."""
    grain = noise.field(noise.key_of(experiment.key, "grain"), index)
    raw = strength * grain * grain * (0.05 + grain)
    in_site = (0.35 + 0.6 * grain) * np.minimum(1, 0.2 + fraction)
    density = np.where(fraction > 0, np.maximum(raw / (1 + raw), in_site), raw / (1 + raw)).astype(np.float32)
    brightness = 150 + 400 * noise.field(noise.key_of(experiment.key, "brightness"), index) + 2_500 * fraction
    point = (experiment.injection_ap, experiment.injection_dv, experiment.injection_ml)
    voxel = int(np.ravel_multi_index(GRID.voxel(*point), GRID.shape))
    at = int(np.searchsorted(index, voxel))
    density[at] = 1
    # Very small values may round to 0 in float32; such voxels have no signal.
    keep = density > 0
    projection, part, intensity = (a.astype(np.float32)[keep] for a in (density, fraction, brightness))
    index = index[keep]
    for array in (projection, part, intensity):
        array.flags.writeable = False
    index.flags.writeable = False
    return Signal(index, projection, part, intensity, voxel)


def _add_site(fraction: NDArray[np.float64], site: Site) -> None:
    for box, profile in _balls([(site.center_um, site.radius_um, 1.0)]):
        view = fraction[box]
        np.maximum(view, np.minimum(1, profile * 2.5), out=view)
        first = box[2].start
        if not site.hemispheres[0]:
            view[..., : max(0, GRID.midline - first)] = 0
        if not site.hemispheres[1]:
            view[..., max(0, GRID.midline - first) :] = 0


_Ball = tuple[tuple[float, float, float], float, float]


def _blobs(experiment: Plan) -> Iterator[_Ball]:
    """Center, radius and amplitude of each ball of signal: around the sites, in targets, along tracts."""
    primary = ontology.structure(experiment.primary_structure_id)
    for site in experiment.sites:
        yield site.center_um, 2.4 * site.radius_um, 0.8
    main = experiment.sites[0]
    injected_right = main.center_um[2] >= GRID.midline * GRID.spacing_um
    for rank, acronym in enumerate((primary.acronym, *_TARGETS[primary.acronym])):
        for crossing in (False, True):
            if rank == 0 and not crossing:
                continue
            key = noise.key_of(experiment.key, "target", acronym, int(crossing))
            target = ontology.structure(acronym)
            if target.id == primary.id and rank > 0:
                continue
            center = anatomy.center_um(target.id, right=injected_right != crossing)
            jittered = tuple(c + 500 * (noise.draw(key, axis) - 0.5) for axis, c in enumerate(center))
            goal = (jittered[0], jittered[1], jittered[2])
            amplitude = (0.25 if crossing else 1.0) * (0.3 + noise.draw(key, "amplitude"))
            yield goal, (700 if crossing else 940) + 450 * noise.draw(key, "radius"), amplitude
            yield from _tract(main.center_um, goal, amplitude / 20)


def _tract(start: tuple[float, float, float], end: tuple[float, float, float], amplitude: float) -> Iterator[_Ball]:
    """Small balls along a curved path between two points."""
    for step in range(1, _TRACT_STEPS):
        part = step / _TRACT_STEPS
        ap, dv, ml = (a + (b - a) * part for a, b in zip(start, end, strict=True))
        yield (ap, dv + 2_000 * part * (1 - part), ml), 360.0, amplitude


def _balls(balls: list[_Ball] | Iterator[_Ball]) -> Iterator[tuple[tuple[slice, slice, slice], NDArray[np.float64]]]:
    """The box of each ball on the grid with its profile: the amplitude at the center, 0 at the radius."""
    spacing = GRID.spacing_um
    for center, radius, amplitude in balls:
        box: list[slice] = []
        squares: list[NDArray[np.float64]] = []
        for c, count in zip(center, GRID.shape, strict=True):
            first, last = max(0, int((c - radius) // spacing)), min(count, int((c + radius) // spacing) + 1)
            offset = ((np.arange(first, last) + 0.5) * spacing - c) / radius
            box.append(slice(first, max(first, last)))
            squares.append(offset * offset)
        inside = 1 - (squares[0][:, None, None] + squares[1][None, :, None] + squares[2][None, None, :])
        yield (box[0], box[1], box[2]), np.maximum(inside, 0) * amplitude
