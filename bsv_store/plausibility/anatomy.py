"""The large divisions of the brain on the 100 um grid, from an annotation in the store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from bsv_store.catalog.annotations import all_annotations
from bsv_store.catalog.database.models import Structure
from bsv_store.catalog.records import ROOT_STRUCTURE_ID
from bsv_store.catalog.structures import descendant_ids
from bsv_store.plausibility.facts import COARSE, GridFacts
from bsv_store.vocabulary import ANNOTATION_ORIGINS
from bsv_store.volumes.annotation import opened_annotation
from bsv_store.volumes.layout import slab_ranges

if TYPE_CHECKING:
    from bsv_store.catalog.database.engine import Database
    from bsv_store.volumes.files import StoreFiles

ROOT = "root"
DIVISIONS = ("Isocortex", "OLF", "HPF", "CTXsp", "STR", "PAL", "TH", "HY", "MB", "P", "MY", "CB")
"""Acronyms of the divisions: none contains another, and together they are the gray matter."""

# An annotation of 10 um takes half a minute to read.
_SPACINGS_UM = (25, 50, 100)
_TRUST = tuple(ANNOTATION_ORIGINS)
_OUTSIDE, _OTHER = 0, 1


@dataclass(frozen=True, slots=True)
class Divisions:
    """The division of each voxel of the 100 um grid.

    Attributes
    ----------
    source : str
        Name of the annotation, for messages.
    labels : ndarray of uint8, shape (size,)
        0 outside the brain, 1 in none of the divisions, then the divisions in order.
    present : tuple of str
        The divisions that have voxels, by acronym.
    """

    source: str
    labels: NDArray[np.uint8]
    present: tuple[str, ...]

    def sums(self, facts: GridFacts) -> dict[str, tuple[float, float]]:
        """Sums of a volume over the 100 um grid, left and right, by division; the root is the whole brain."""
        count = _OTHER + 1 + len(DIVISIONS)
        at = self.labels[facts.index].astype(np.intp) + facts.is_right * count
        left, right = np.bincount(at, facts.amounts, 2 * count).reshape(2, count)
        found = {ROOT: (float(left[_OTHER:].sum()), float(right[_OTHER:].sum()))}
        for label, name in enumerate(DIVISIONS, start=_OTHER + 1):
            found[name] = float(left[label]), float(right[label])
        return found


def division_ids(connection: Connection) -> dict[str, int]:
    """Ids of the root and the divisions that the ontology has, by acronym."""
    query = select(Structure.acronym, Structure.id).where(Structure.acronym.in_(DIVISIONS))
    return {ROOT: ROOT_STRUCTURE_ID} | {row.acronym: row.id for row in connection.execute(query)}


def read_divisions(database: Database, files: StoreFiles) -> Divisions | None:
    """The divisions in an annotation of the store; None without one at 25, 50 or 100 um.

    Of several, the most trusted one is read, then the coarsest. Of a finer annotation, the voxel nearest to the center
    of each voxel of 100 um counts.

    Raises
    ------
    DamagedFileError
        If its file differs from what was published.
    """
    with database.reading() as connection:
        usable = [file for file in all_annotations(connection) if file.grid.spacing_um in _SPACINGS_UM]
        if not usable:
            return None
        file = min(usable, key=lambda each: (_TRUST.index(each.origin), -each.grid.spacing_um))
        ids_of = division_ids(connection)
        below = [descendant_ids(connection, [ids_of[name]]) if name in ids_of else () for name in DIVISIONS]
    grid = file.grid
    edge = COARSE.spacing_um // grid.spacing_um
    middle = edge // 2
    ids = np.empty(COARSE.shape, np.int64)
    with opened_annotation(files, file) as annotation:
        for start, stop in slab_ranges(grid):
            planes = np.arange(start, stop)
            wanted = planes[planes % edge == middle]
            if wanted.size:
                slab = annotation[start:stop]
                ids[wanted // edge] = slab[wanted - start][:, middle::edge, middle::edge]
    # Faster than np.unique with return_inverse, which sorts the places too.
    known = np.unique(ids)
    place = np.searchsorted(known, ids)
    of_id = np.where(known == 0, _OUTSIDE, _OTHER).astype(np.uint8)
    for label, structures in enumerate(below, start=_OTHER + 1):
        of_id[np.isin(known, list(structures))] = label
    used = set(of_id.tolist())
    present = tuple(name for label, name in enumerate(DIVISIONS, start=_OTHER + 1) if label in used)
    return Divisions(f"annotation at {grid.spacing_um} um from {file.source}", of_id[place.reshape(-1)], present)
