"""ProjectionStructureUnionize records, computed from an experiment's volumes and the annotation.

The identities of the real table hold: a pixel counts 1.225e-9 mm3 (so a voxel of 1e-3 mm3 counts 1.1025e-3), the
rows inside and outside the injection are disjoint, left and right add up to both, and a structure without overlap has
no row.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bsv_store.catalog.records import ROOT_STRUCTURE_ID
from bsv_store.catalog.unionize_arithmetic import PIXEL_MM3
from bsv_store_synthetic import noise, volumes
from bsv_store_synthetic.anatomy import GRID, Anatomy
from bsv_store_synthetic.experiments import plan

PIXELS_PER_VOXEL: Final = 900_000
"""1.1025 times the voxel's 1e-3 mm3, in pixels."""
FIRST_ROW_ID: Final = 9_200_000_000
_ROWS_PER_EXPERIMENT: Final = 1_000
_BACKGROUND: Final = 96.0
_LEFT, _RIGHT, _BOTH = 1, 2, 3


@dataclass(frozen=True, slots=True)
class UnionizeRow:
    """One record with the 19 fields of the Allen API. Volumes are in mm3, coordinates in um."""

    id: int
    section_data_set_id: int
    structure_id: int
    hemisphere_id: int
    is_injection: bool
    sum_pixels: float
    sum_projection_pixels: float
    sum_pixel_intensity: float
    sum_projection_pixel_intensity: float
    projection_density: float
    projection_intensity: float
    projection_energy: float
    volume: float
    projection_volume: float
    normalized_projection_volume: float
    max_voxel_density: float
    max_voxel_x: int
    max_voxel_y: int
    max_voxel_z: int


@dataclass(frozen=True, slots=True)
class _Tally:
    """Sums over a region in voxels, and its densest voxel."""

    tissue: float = 0.0
    projecting: float = 0.0
    intensity: float = 0.0
    peak: float = 0.0
    peak_voxel: int = -1

    def __add__(self, other: _Tally) -> _Tally:
        # Ties go to the lower voxel, so that the order of addition does not matter.
        first, second = (self.peak, -self.peak_voxel), (other.peak, -other.peak_voxel)
        best = self if other.peak_voxel < 0 or (self.peak_voxel >= 0 and first >= second) else other
        return _Tally(
            self.tissue + other.tissue,
            self.projecting + other.projecting,
            self.intensity + other.intensity,
            best.peak,
            best.peak_voxel,
        )


@lru_cache(maxsize=512)
def unionize(anatomy: Anatomy, seed: int, number: int) -> tuple[UnionizeRow, ...]:
    """All records of an experiment, by structure in graph order, injection last within a structure."""
    leaves = {part: _leaf_tallies(anatomy, seed, number, injection=part) for part in (False, True)}
    tree = anatomy.tree
    targets = [r.id for r in tree.ontology.structures if r.id in tree.measured]
    tallies: dict[tuple[int, bool], tuple[_Tally, _Tally]] = {}
    for structure_id in targets:
        below = tree.descendants(structure_id)
        members = [position for position, leaf in enumerate(anatomy.labels) if leaf.id in below]
        for part, table in leaves.items():
            left, right = (sum((table[side][m] for m in members), _Tally()) for side in (0, 1))
            tallies[structure_id, part] = left, right
    injected = sum(tallies[ROOT_STRUCTURE_ID, True], _Tally())
    injection_volume = injected.projecting * PIXELS_PER_VOXEL * PIXEL_MM3
    rows: list[UnionizeRow] = []
    for (structure_id, part), (left, right) in tallies.items():
        for hemisphere, tally in ((_LEFT, left), (_RIGHT, right), (_BOTH, left + right)):
            if tally.tissue > 0:
                row_id = FIRST_ROW_ID + number * _ROWS_PER_EXPERIMENT + len(rows)
                rows.append(
                    _row(anatomy, seed, number, row_id, structure_id, hemisphere, part, tally, injection_volume)
                )
    return tuple(rows)


def root_rows(anatomy: Anatomy, seed: int, number: int, *, is_injection: bool) -> dict[int, UnionizeRow]:
    """The records of the root by hemisphere id, without hemispheres that have no overlap."""
    return {
        row.hemisphere_id: row
        for row in unionize(anatomy, seed, number)
        if row.structure_id == ROOT_STRUCTURE_ID and row.is_injection is is_injection
    }


@lru_cache(maxsize=2)
def _side_codes(anatomy: Anatomy) -> NDArray[Any]:
    """Unsigned, flat C order: 0 outside the brain, else 1 + 2 x leaf position + (0 left, 1 right)."""
    codes = anatomy.codes
    right = np.zeros(GRID.shape, codes.dtype)
    right[..., GRID.midline :] = 1
    sided = np.where(codes > 0, 2 * codes - 1 + right, 0).astype(codes.dtype).ravel()
    sided.flags.writeable = False
    return sided


def _leaf_tallies(anatomy: Anatomy, seed: int, number: int, *, injection: bool) -> tuple[list[_Tally], list[_Tally]]:
    """Tallies of each leaf, left and right, inside or outside the injection."""
    signal = volumes.signal_of(anatomy, seed, number)
    codes = _side_codes(anatomy)
    count = 1 + 2 * len(anatomy.labels)
    at = codes[signal.index]
    fraction = signal.fraction.astype(np.float64)
    inside = signal.injection.astype(np.float64)
    density = inside if injection else signal.projection - inside
    # bincount adds in the order of the voxels, which is the same on every machine; a pairwise sum may differ.
    tissue = np.bincount(at, fraction, count)
    if not injection:
        mask = volumes.data_mask(anatomy, seed, number).ravel()
        partial = np.flatnonzero(mask < 1)
        lost = np.bincount(codes[partial], 1 - mask[partial].astype(np.float64), count)
        tissue = np.bincount(codes, minlength=count) - lost - tissue
    projecting = np.bincount(at, density, count)
    intensity = np.bincount(at, density * signal.intensity, count)
    order = np.argsort(at, kind="stable")
    bounds = np.searchsorted(at[order], np.arange(count + 1))
    tallies: tuple[list[_Tally], list[_Tally]] = ([], [])
    for code in range(1, count):
        members = order[bounds[code] : bounds[code + 1]]
        peak, voxel = _peak(density[members], signal.index[members])
        sums = (float(tissue[code]), float(projecting[code]), float(intensity[code]))
        tallies[(code - 1) % 2].append(_Tally(*sums, peak, voxel))
    return tallies


def _peak(density: NDArray[np.float64], index: NDArray[np.intp]) -> tuple[float, int]:
    if len(density) == 0 or (highest := float(density.max())) == 0:
        return 0.0, -1
    return highest, int(index[density.argmax()])


def _row(
    anatomy: Anatomy,
    seed: int,
    number: int,
    row_id: int,
    structure_id: int,
    hemisphere: int,
    is_injection: bool,
    tally: _Tally,
    injection_volume: float,
) -> UnionizeRow:
    pixels = tally.tissue * PIXELS_PER_VOXEL
    projecting = tally.projecting * PIXELS_PER_VOXEL
    signal = tally.intensity * PIXELS_PER_VOXEL
    projection_volume = projecting * PIXEL_MM3
    x, y, z = _point_um(anatomy, seed, number, tally.peak_voxel)
    return UnionizeRow(
        id=row_id,
        section_data_set_id=plan(anatomy, seed, number).id,
        structure_id=structure_id,
        hemisphere_id=hemisphere,
        is_injection=is_injection,
        sum_pixels=pixels,
        sum_projection_pixels=projecting,
        sum_pixel_intensity=signal + _BACKGROUND * (pixels - projecting),
        sum_projection_pixel_intensity=signal,
        projection_density=projecting / pixels,
        projection_intensity=signal / projecting if projecting else 0.0,
        projection_energy=signal / pixels,
        volume=pixels * PIXEL_MM3,
        projection_volume=projection_volume,
        normalized_projection_volume=projection_volume / injection_volume,
        max_voxel_density=tally.peak,
        max_voxel_x=x,
        max_voxel_y=y,
        max_voxel_z=z,
    )


def _point_um(anatomy: Anatomy, seed: int, number: int, voxel: int) -> tuple[int, int, int]:
    """The densest 10 um voxel within a 100 um voxel, in um; (0, 0, 0) without signal."""
    if voxel < 0:
        return 0, 0, 0
    experiment = plan(anatomy, seed, number)
    if voxel == volumes.signal_of(anatomy, seed, number).injection_voxel:
        return experiment.injection_ap, experiment.injection_dv, experiment.injection_ml
    corner = (int(i) * GRID.spacing_um for i in np.unravel_index(voxel, GRID.shape))
    x, y, z = (c + 10 * int(10 * noise.draw(experiment.key, voxel, axis)) for axis, c in enumerate(corner))
    return x, y, z
