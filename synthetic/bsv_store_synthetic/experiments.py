"""The plan of each synthetic experiment, its injections and mouse, derived from its number."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bsv_store.catalog.records import LineRecord
from bsv_store.volumes.grid import EXTENT_UM, MIDLINE_UM
from bsv_store_synthetic import noise
from bsv_store_synthetic.anatomy import GRID, Anatomy, interior_of

FIRST_ID: Final = 9_100_000_001
"""First id of a synthetic experiment; Allen's are below 700 million."""

LINES: Final[tuple[LineRecord, ...]] = (
    LineRecord("Synl4-IRES2-Cre", 9_300_000_001, "driver", "Invented line, layer 4.", "S00004"),
    LineRecord("Synl5-Cre_SY100", 9_300_000_002, "driver", "Invented line, layer 5.", "S00005"),
    LineRecord("Synl6-CreERT2 (late), SY7", 9_300_000_003, "driver", "Invented line, layer 6.", None),
    LineRecord("Syn14(RCL-nT)", 9_300_000_004, "reporter", "Invented line, reporter only.", "S00014"),
    LineRecord("wt", 9_300_000_005, "wild type", "wild type", None),
)
_L4, _L5, _L6, _REPORTER, _WT = LINES
_STRAINS = ("C57BL/6J", None, "B6.129", "C57BL/6J", "unknown")
_DRIVER_PRODUCTS = (5, 35, 36, 42, 44, 45)


@dataclass(frozen=True, slots=True)
class Site:
    """One injection: a ball of virus.

    Attributes
    ----------
    center_um : tuple of float
        (ap, dv, ml) in um.
    radius_um : float
        Distance at which the injection fraction reaches 0. It is 1 up to about four fifths of this distance.
    hemispheres : tuple of bool
        Whether the tissue left and right of the midline was infected.
    """

    center_um: tuple[float, float, float]
    radius_um: float
    hemispheres: tuple[bool, bool]


@dataclass(frozen=True, slots=True)
class Plan:
    """The parameters of one experiment. Coordinates are in um, multiples of 10, within the CCFv3 box."""

    number: int
    id: int
    primary_structure_id: int
    specimen_name: str
    sex: str
    strain: str | None
    product_id: int
    lines: tuple[LineRecord, ...]
    """Sorted by name; empty for wild type. "wt" of type "wild type" may stand alone or beside a driver."""
    injection_ap: int
    injection_dv: int
    injection_ml: int
    sites: tuple[Site, ...]
    """The injection coordinate is that of the first."""
    key: int
    """Key of all pseudo-random numbers of this experiment."""


@dataclass(frozen=True, slots=True)
class _Design:
    primary: str
    side: str
    lines: tuple[LineRecord, ...] = ()


# Experiment k has design k modulo their number, so any 24 consecutive experiments include every case.
_DESIGNS: Final[tuple[_Design, ...]] = (
    _Design("VISp", "right"),
    _Design("VISl", "right"),
    _Design("VISp", "left"),
    _Design("VISp", "right", (_L5,)),
    _Design("MOp", "right"),
    _Design("VISpm", "right"),
    _Design("VISp", "right"),
    _Design("VISl", "left", (_L4,)),
    _Design("VISC", "left"),
    _Design("VISp", "right", (_REPORTER,)),
    _Design("VISl", "right"),
    _Design("AUDp", "right", (_L6,)),
    _Design("VISp", "right"),
    _Design("LP", "right", (_L4,)),
    _Design("VISp", "left", (_L4,)),
    _Design("VISal", "right", (_L5,)),
    _Design("CP", "left", (_WT,)),
    _Design("VISp", "bilateral"),
    # On the midline: the coordinate is left of it, most of the injection right. The volume decides.
    _Design("SCs", "midline", (_L6,)),
    _Design("VISl", "right"),
    _Design("LGd", "right", (_L6, _WT)),
    _Design("VISp", "right"),
    _Design("VISl", "left"),
    _Design("VISpm", "left", (_L5,)),
)


PRIMARY_STRUCTURES: Final = tuple(dict.fromkeys(design.primary for design in _DESIGNS))
"""Acronyms of the structures that an anatomy needs."""


@lru_cache(maxsize=4096)
def plan(anatomy: Anatomy, seed: int, number: int) -> Plan:
    """The plan of an experiment by its number, from 0; it does not depend on the number of experiments."""
    design = _DESIGNS[number % len(_DESIGNS)]
    key = noise.key_of("experiment", seed, number)
    primary = anatomy.tree.structure(design.primary)
    ap, dv, ml = _coordinate(anatomy, primary.id, design.side, key, number)
    wild_type = all(line.type_name == "wild type" for line in design.lines)
    name = "SYN" if wild_type else design.lines[0].name.split(" ")[0]
    return Plan(
        number=number,
        id=FIRST_ID + number,
        primary_structure_id=primary.id,
        specimen_name=f"{name}-{1000 + number}",
        sex="MF"[int(noise.draw(key, "sex") * 2)],
        strain=_STRAINS[number % len(_STRAINS)],
        product_id=5 if wild_type else _DRIVER_PRODUCTS[number % len(_DRIVER_PRODUCTS)],
        lines=tuple(sorted(design.lines, key=lambda line: line.name)),
        injection_ap=ap,
        injection_dv=dv,
        injection_ml=ml,
        sites=_sites(design.side, (ap, dv, ml), 450 + 250 * noise.draw(key, "radius")),
        key=key,
    )


def _coordinate(anatomy: Anatomy, structure_id: int, side: str, key: int, number: int) -> tuple[int, int, int]:
    """A point in um in the interior of the structure, on the given side; multiples of 10."""
    # A thin structure has no voxel far from its surface.
    candidates = next(
        found for depth in (2, 1, 0) if (found := _on_side(interior_of(anatomy, structure_id, depth=depth), side)).size
    )
    # Multiples of the golden ratio spread consecutive experiments evenly from anterior to posterior.
    place = (number * 0.6180339887498949 + noise.draw(key, "place") / 8) % 1.0
    voxel = np.unravel_index(candidates[int(place * len(candidates))], GRID.shape)
    spacing = GRID.spacing_um
    ap, dv, ml_um = (int(v) * spacing + 10 * int(10 * noise.draw(key, "in voxel", i)) for i, v in enumerate(voxel))
    return ap, dv, MIDLINE_UM - 10 if side == "midline" else ml_um


def _on_side(voxels: NDArray[np.intp], side: str) -> NDArray[np.intp]:
    ml = voxels % GRID.shape[2]
    if side == "midline":
        found: NDArray[np.intp] = voxels[ml == GRID.midline - 1]
    else:
        found = voxels[(ml < GRID.midline) == (side == "left")]
    return found


def _sites(side: str, point: tuple[int, int, int], radius: float) -> tuple[Site, ...]:
    ap, dv, ml = point
    if side == "midline":
        return (Site((ap, dv, ml + 0.5 * radius), radius, (True, True)),)
    if side == "bilateral":
        other = EXTENT_UM[2] - ml
        return (Site(point, radius, (False, True)), Site((ap, dv, other), 0.55 * radius, (True, False)))
    return (Site(point, radius, (side == "left", side == "right")),)
