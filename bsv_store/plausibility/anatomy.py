"""The large divisions of the brain on the 100 um grid, from an annotation in the store."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from bsv_store.catalog.annotations import all_annotations
from bsv_store.catalog.database.models import Structure
from bsv_store.catalog.records import ROOT_STRUCTURE_ID
from bsv_store.catalog.structures import descendant_ids
from bsv_store.plausibility.facts import COARSE, GridFacts
from bsv_store.vocabulary import ANNOTATION_ORIGINS
from bsv_store.volumes.annotation import DERIVED_FROM, opened_annotation, runs
from bsv_store.volumes.layout import slab_ranges

if TYPE_CHECKING:
    from bsv_store.catalog.database.engine import Database
    from bsv_store.volumes.files import StoreFiles

Sides = tuple[float, float]

ROOT = "root"
DIVISIONS = ("Isocortex", "OLF", "HPF", "CTXsp", "STR", "PAL", "TH", "HY", "MB", "P", "MY", "CB")
"""Acronyms of the divisions: none contains another, and together they are the gray matter."""

MASK_PARTS: Mapping[str, int] = {"MOB": 100, "VISp": 100, "SSp-n": 100, "onl": 50}
"""Smaller structures at the edge of the tissue, where data masks differ most, and the coarsest spacing of an annotation
at which their volume is certain.

In 40 real tables, adding these four to the divisions finds the mask of another experiment in 63 % of the pairs rather
than in 3 %, mostly by ``onl``. That is a thin layer: the voxels of Allen's annotation at 100 um differ from its volume
by 6 %.
"""

# An annotation of 10 um takes half a minute to read.
_SPACINGS_UM = (25, 50, 100)
_TRUST = tuple(ANNOTATION_ORIGINS)
_OUTSIDE, _OTHER = 0, 1
_NAMES = (*DIVISIONS, *MASK_PARTS)
_COUNT = _OTHER + 1 + len(_NAMES)
_BORDER, _SURFACE = 1, 2


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums of a volume over the 100 um grid by structure, left and right. The root is the whole brain.

    Attributes
    ----------
    inside : mapping of str to tuple of float
    at_border : mapping of str to tuple of float
        The part in voxels at the border of each division, or, for the root, at the surface of the brain.
    """

    inside: Mapping[str, Sides]
    at_border: Mapping[str, Sides]


@dataclass(frozen=True, slots=True)
class Divisions:
    """The division of each voxel of the 100 um grid.

    Attributes
    ----------
    source : str
        Name of the annotation, for messages.
    spacing_um : int
        Spacing of the annotation.
    codes : ndarray of uint8, shape (size,)
        Label, side and border of each voxel: label + 18 * (side + 2 * border). The label is 0 outside the brain, 1 in
        none of the named structures, then the divisions and the smaller structures in order. The side is 0 on the left,
        1 on the right. The border is 2 if one of the six neighbors is on the other side of the surface of the brain, 1
        if one is in another division, else 0.
    within : mapping of str to str
        The division of each smaller structure that is in one.
    volumes : mapping of str to tuple of float
        mm3 on the CCF grid, left and right, of the root and each structure, counted at the annotation's own spacing.
    voxels : mapping of str to tuple of float
        The same in voxels of 100 um.
    present : tuple of str
        The divisions that have voxels, by acronym.
    parts : tuple of str
        The divisions and smaller structures that have voxels and whose volume is certain.
    """

    source: str
    spacing_um: int
    codes: NDArray[np.uint8]
    within: Mapping[str, str]
    volumes: Mapping[str, Sides]
    voxels: Mapping[str, Sides]
    present: tuple[str, ...]
    parts: tuple[str, ...]

    def sums(self, facts: GridFacts) -> Sums:
        """Sums of a volume over the 100 um grid."""
        tally = np.bincount(np.take(self.codes, facts.index), facts.amounts, 6 * _COUNT).reshape(3, 2, _COUNT)
        borders = _by_name(tally[_BORDER:].sum(axis=0), self.within)
        surface = _by_name(tally[_SURFACE], self.within)
        return Sums(_by_name(tally.sum(axis=0), self.within), borders | {ROOT: surface[ROOT]})


def _by_name(tally: NDArray[Any], within: Mapping[str, str]) -> dict[str, Sides]:
    """Sums by structure from sums by side and label, shape (2, labels)."""
    found = {name: tally[:, label].copy() for label, name in enumerate(_NAMES, start=_OTHER + 1)}
    for part, division in within.items():
        found[division] += found[part]
    found[ROOT] = tally[:, _OTHER:].sum(axis=1)
    return {name: (float(left), float(right)) for name, (left, right) in found.items()}


def division_ids(connection: Connection) -> dict[str, int]:
    """Ids of the root, the divisions and the smaller structures that the ontology has, by acronym."""
    query = select(Structure.acronym, Structure.id).where(Structure.acronym.in_(_NAMES))
    return {ROOT: ROOT_STRUCTURE_ID} | {row.acronym: row.id for row in connection.execute(query)}


def read_divisions(database: Database, files: StoreFiles) -> Divisions | None:
    """The divisions in an annotation of the store; None without one at 25, 50 or 100 um.

    Of several, the most trusted one is read, then the finest: the coarser ones are sampled at the corner of each voxel
    that is nearest to the origin, half a voxel away from its center. Of an annotation finer than 100 um, the voxel at
    the center of each voxel of 100 um counts.

    Raises
    ------
    DamagedFileError
        If its file differs from what was published.
    """
    with database.reading() as connection:
        usable = [file for file in all_annotations(connection) if file.grid.spacing_um in _SPACINGS_UM]
        if not usable:
            return None
        file = min(usable, key=lambda each: (_TRUST.index(each.origin), each.grid.spacing_um))
        ids_of = division_ids(connection)
        below = {name: descendant_ids(connection, [ids_of[name]]) for name in _NAMES if name in ids_of}
    label_of = _Labels(below.get(name, ()) for name in _NAMES)
    grid = file.grid
    edge = COARSE.spacing_um // grid.spacing_um
    middle = edge // 2
    labels = np.empty(COARSE.shape, np.uint8)
    fine = np.zeros((2, _COUNT))
    with opened_annotation(files, file) as annotation:
        for start, stop in slab_ranges(grid):
            slab = annotation[start:stop]
            for side, half in enumerate((slab[..., : grid.midline], slab[..., grid.midline :])):
                of_runs, lengths = label_of.runs(half)
                fine[side] += np.bincount(of_runs, lengths, _COUNT)
            planes = np.arange(start, stop)
            wanted = planes[planes % edge == middle]
            if wanted.size:
                ids = slab[wanted - start][:, middle::edge, middle::edge]
                labels[wanted // edge] = np.repeat(*label_of.runs(ids)).reshape(ids.shape)
    within = {
        part: division
        for part in MASK_PARTS
        for division in DIVISIONS
        if part in below and ids_of[part] in below.get(division, ())
    }
    voxels = np.stack([_counted(labels[..., : COARSE.midline]), _counted(labels[..., COARSE.midline :])])
    by_voxels, by_volume = _by_name(voxels, within), _by_name(fine * (grid.spacing_um / 1000) ** 3, within)
    found = [name for name in _NAMES if sum(by_voxels[name])]
    return Divisions(
        source=_named(grid.spacing_um, file.source),
        spacing_um=grid.spacing_um,
        codes=_codes(labels, within).reshape(-1),
        within=within,
        volumes=by_volume,
        voxels=by_voxels,
        present=tuple(name for name in found if name in DIVISIONS),
        parts=tuple(name for name in found if grid.spacing_um <= MASK_PARTS.get(name, COARSE.spacing_um)),
    )


class _Labels:
    """Looks up the label of each structure id; of nested structures, the last one counts."""

    def __init__(self, below: Iterable[Collection[int]]) -> None:
        of_id = {0: _OUTSIDE}
        for label, structures in enumerate(below, start=_OTHER + 1):
            of_id |= dict.fromkeys(structures, label)
        self._ids = np.array(sorted(of_id), np.int64)
        self._labels = np.array([of_id[i] for i in self._ids.tolist()], np.uint8)

    def runs(self, ids: NDArray[Any]) -> tuple[NDArray[np.uint8], NDArray[np.intp]]:
        """Label and length of each run of equal ids in C order. Looking up voxels would take ten times as long."""
        starts, lengths = runs(ids)
        wanted = ids.reshape(-1)[starts].astype(np.int64)
        place = np.minimum(np.searchsorted(self._ids, wanted), self._ids.size - 1)
        return np.where(self._ids[place] == wanted, self._labels[place], np.uint8(_OTHER)), lengths


def _counted(labels: NDArray[np.uint8]) -> NDArray[np.intp]:
    return np.bincount(labels.reshape(-1), minlength=_COUNT)


def _codes(labels: NDArray[np.uint8], within: Mapping[str, str]) -> NDArray[np.uint8]:
    is_right = np.arange(labels.shape[-1]) >= COARSE.midline
    return (labels + _COUNT * (is_right + 2 * _borders(labels, within))).astype(np.uint8)


def _borders(labels: NDArray[np.uint8], within: Mapping[str, str]) -> NDArray[np.uint8]:
    division = np.arange(_COUNT, dtype=np.uint8)
    for label, name in enumerate(_NAMES, start=_OTHER + 1):
        if name not in DIVISIONS:
            division[label] = _OTHER + 1 + DIVISIONS.index(within[name]) if name in within else _OTHER
    of_voxel = division[labels]
    found = np.zeros(labels.shape, np.uint8)
    for axis in range(labels.ndim):
        low, high = (np.moveaxis(of_voxel, axis, 0)[part] for part in (slice(None, -1), slice(1, None)))
        kind = np.where((low == _OUTSIDE) != (high == _OUTSIDE), _SURFACE, _BORDER) * (low != high)
        across = np.moveaxis(found, axis, 0)
        np.maximum(across[:-1], kind, out=across[:-1], casting="unsafe")
        np.maximum(across[1:], kind, out=across[1:], casting="unsafe")
    return found


def _named(spacing_um: int, source: str) -> str:
    origin = source if source.startswith(DERIVED_FROM) else f"from {source}"
    return f"annotation at {spacing_um} um {origin}"
