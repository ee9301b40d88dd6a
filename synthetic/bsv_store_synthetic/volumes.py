"""The volumes of a synthetic experiment: injection site and projections, with noise.

Only sums, products, quotients and comparisons are used, in a fixed order. IEEE arithmetic defines their results, so
the arrays are identical on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from bsv_store.vocabulary import VolumeKind
from bsv_store_synthetic import noise, projections
from bsv_store_synthetic.anatomy import GRID, Anatomy
from bsv_store_synthetic.experiments import Plan, Site, plan
from bsv_store_synthetic.projections import ball


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


def volume(anatomy: Anatomy, seed: int, number: int, kind: VolumeKind) -> NDArray[np.float32]:
    """float32 array, shape (132, 80, 114), axes [ap, dv, ml]: one volume of an experiment at 100 um.

    Energies are unbounded gray values; all other kinds are in [0, 1].
    """
    if kind == "data_mask":
        return data_mask(anatomy, seed, number)
    signal = signal_of(anatomy, seed, number)
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


def data_mask(anatomy: Anatomy, seed: int, number: int) -> NDArray[np.float32]:
    """float32 array, shape (132, 80, 114), in [0, 1]: fraction of each voxel with valid data, mostly 1.

    The first sections and one torn spot at the lower edge are missing, with a fractional rim.
    """
    key = plan(anatomy, seed, number).key
    mask = np.ones(GRID.shape, np.float32)
    first = 1 + int(3 * noise.draw(key, "first section"))
    mask[:first] = 0
    plane = mask[first]
    plane[...] = noise.field(noise.key_of(key, "rim"), np.arange(plane.size)).reshape(plane.shape)
    center = (2_500.0 + 8_000 * noise.draw(key, "tear"), 6_300.0, 11_400 * noise.draw(key, "tear side"))
    box, profile = ball(center, 700)
    view = mask[box]
    # Fractional at the rim, 0 in the middle.
    np.minimum(view, np.clip(1.25 - 2.5 * profile, 0, 1).astype(np.float32), out=view)
    return mask


@lru_cache(maxsize=32)
def signal_of(anatomy: Anatomy, seed: int, number: int) -> Signal:
    """The signal of an experiment by its number; the last 32 are cached (about 2 MB each)."""
    experiment = plan(anatomy, seed, number)
    strength = projections.strength(anatomy, experiment)
    mask = data_mask(anatomy, seed, number)
    fraction = np.zeros(GRID.shape, np.float64)
    for site in experiment.sites:
        _add_site(fraction, site)
    fraction[(anatomy.codes == 0) | (mask < 1)] = 0
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
    box, profile = ball(site.center_um, site.radius_um)
    view = fraction[box]
    np.maximum(view, np.minimum(1, profile * 2.5), out=view)
    first = box[2].start
    if not site.hemispheres[0]:
        view[..., : max(0, GRID.midline - first)] = 0
    if not site.hemispheres[1]:
        view[..., max(0, GRID.midline - first) :] = 0
