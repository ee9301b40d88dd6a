"""Structures of planes: their ids, names and colors, and their outlines."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bsv_store.errors import InputError, MissingDataError, UnknownStructureError
from bsv_store.server.images.contours import borders
from bsv_store.server.images.sources import Term
from bsv_store.volumes.grid import ARRAY_AXES, Grid

if TYPE_CHECKING:
    from bsv_store.catalog.structures import StructureRow
    from bsv_store.store.store import Store
    from bsv_store.vocabulary import Hemisphere
    from bsv_store.volumes.annotation import AnnotationFile

DEFAULT_LEVEL = 5
_MAX_LEVEL = 30
# As figures: fine enough to be drawn large.
_PREFERRED_UM = (25, 10, 50, 100)
# For the position of a structure, the coarsest at which it has voxels.
_COARSE_UM = (100, 50, 25, 10)


@dataclass(frozen=True, eq=False)
class Structures:
    """The ontology, for planes of the annotation.

    Attributes
    ----------
    rows : tuple of StructureRow
        In ontology order.
    """

    rows: tuple[StructureRow, ...]

    @cached_property
    def ids(self) -> NDArray[np.uint32]:
        """The ids, ascending. Planes in memory have the position of a structure here plus 1; 0 = outside."""
        return np.array(sorted(row.id for row in self.rows), np.uint32)

    @cached_property
    def identity(self) -> str:
        """A hash of the rows."""
        return hashlib.sha256(repr(self.rows).encode()).hexdigest()

    @cached_property
    def _parents(self) -> Mapping[int, int | None]:
        return {row.id: row.parent_structure_id for row in self.rows}

    def ancestors(self, structure_id: int) -> list[int]:
        """The ids from a structure up to the root, itself first."""
        found: list[int] = []
        current: int | None = structure_id
        while current is not None and current in self._parents and current not in found:
            found.append(current)
            current = self._parents[current]
        return found

    def codes(self, ids: NDArray[np.uint32]) -> NDArray[np.uint16]:
        """The positions of structures plus 1, by their ids; 0 for 0 and unknown ids."""
        flat = ids.reshape(-1)
        # Neighboring voxels mostly belong to the same structure.
        starts = np.concatenate(([0], np.flatnonzero(flat[1:] != flat[:-1]) + 1))
        values = flat[starts]
        place = np.minimum(np.searchsorted(self.ids, values), max(0, len(self.ids) - 1))
        codes = np.where(self.ids[place] == values, place + 1, 0).astype(np.uint16)
        return codes.repeat(np.diff(starts, append=flat.size)).reshape(ids.shape)

    def ids_of(self, codes: NDArray[np.uint16]) -> NDArray[np.uint32]:
        """The ids of a plane in memory."""
        return np.concatenate((np.zeros(1, np.uint32), self.ids))[codes]

    def at_level(self, level: int) -> NDArray[np.uint32]:
        """For each position plus 1, the id of the ancestor at a level of the ontology; see `bsv_store.reports`."""
        table = np.zeros(len(self.ids) + 1, np.uint32)
        for place, each in enumerate(self.ids.tolist(), 1):
            path = self.ancestors(each)
            table[place] = path[max(0, len(path) - 1 - level)]
        return table

    def within(self, members: Sequence[int]) -> NDArray[np.uint32]:
        """For each position plus 1, the nearest of some structures that contains it, or 0."""
        wanted = set(members)
        table = np.zeros(len(self.ids) + 1, np.uint32)
        for place, each in enumerate(self.ids.tolist(), 1):
            table[place] = next((up for up in self.ancestors(each) if up in wanted), 0)
        return table

    def as_json(self) -> list[list[Any]]:
        """Id, acronym, name, color and id of the parent of each structure, in ontology order."""
        return [[row.id, row.acronym, row.name, row.color_hex_triplet, row.parent_structure_id] for row in self.rows]


def structures_of(store: Store) -> Structures:
    """The structures of a store."""
    ids = list(store.atlas.acronym_map().values())
    return Structures(store.atlas.structures(ids, by="id") if ids else ())


def shown_annotation(files: Sequence[AnnotationFile], spacing_um: int | None) -> AnnotationFile:
    """The annotation of a spacing, by default the one that figures draw.

    Raises
    ------
    MissingDataError
        If the store does not have it.
    """
    found = {file.grid.spacing_um: file for file in files}
    for each in _PREFERRED_UM if spacing_um is None else (Grid(spacing_um).spacing_um,):
        if each in found:
            return found[each]
    what = "an annotation" if spacing_um is None else f"the annotation at {spacing_um} um"
    raise MissingDataError(
        f"the store does not have {what}", hint=f"Download it: bsv-store sync annotation --spacing {spacing_um or 25}"
    )


def coarse_annotation(files: Sequence[AnnotationFile], spacing_um: int | None) -> AnnotationFile:
    """The annotation of a spacing, by default the coarsest; of 100 or 50 um.

    Raises
    ------
    MissingDataError
        If the store does not have it.
    """
    found = [file for file in files if not file.grid.is_large and spacing_um in (None, file.grid.spacing_um)]
    if found:
        return found[-1]
    raise MissingDataError(
        f"the store does not have the annotation at {spacing_um or '100 or 50'} um",
        hint=f"Download it: bsv-store sync annotation --spacing {spacing_um or 100}",
    )


def annotation_term(store: Store, file: AnnotationFile, structures: Structures) -> Term:
    """The annotation as codes of `Structures`."""
    grid = file.grid

    def read(first: int, last: int) -> NDArray[np.uint16]:
        return structures.codes(store.atlas.annotation(spacing_um=grid.spacing_um, ap=slice(first, last)))

    return Term(f"annotation/{file.array_sha256}", grid, np.dtype("<u2"), read)


def checked_level(level: int) -> int:
    """A level of the ontology.

    Raises
    ------
    InputError
        If it is above 30.
    """
    if level > _MAX_LEVEL:
        raise InputError(f"level must be 0 to {_MAX_LEVEL}, got {level}")
    return level


def outlines_json(codes: NDArray[np.uint16], table: NDArray[np.uint32], spacing_um: int) -> list[dict[str, Any]]:
    """The outlines of structures in a plane: id and lines of alternating right and down coordinates, um."""
    return [
        {"id": label, "lines": [line.reshape(-1).tolist() for line in lines]}
        for label, lines in borders(table[codes], spacing_um)
        if lines
    ]


def position_um(
    store: Store, files: Sequence[AnnotationFile], structure: str | int, hemisphere: Hemisphere
) -> tuple[float, ...]:
    """A point in a structure, in this hemisphere if possible: the voxel nearest to the middle of its largest plane.

    Raises
    ------
    UnknownStructureError, MissingDataError, InputError
        If there is no such structure, or it has no voxel in the annotations of the store.
    """
    there = [each for each in _COARSE_UM if each in {file.grid.spacing_um for file in files}]
    if not there:
        shown_annotation(files, None)
    # A structure can be too small for the coarser spacings.
    for number, spacing_um in enumerate(there, 1):
        try:
            mask = store.atlas.mask(structure, spacing_um=spacing_um)
            break
        except (MissingDataError, UnknownStructureError):
            raise
        except InputError:
            if number == len(there):
                raise
    middle = Grid(spacing_um).midline
    half = slice(middle, None) if hemisphere == "right" else slice(None, middle)
    if mask[..., half].any():
        kept = np.zeros_like(mask)
        kept[..., half] = mask[..., half]
        mask = kept
    plane = int(mask.sum(axis=(1, 2)).argmax())
    down, right = np.nonzero(mask[plane])
    nearest = int(np.argmin((down - down.mean()) ** 2 + (right - right.mean()) ** 2))
    voxel = (plane, int(down[nearest]), int(right[nearest]))
    return tuple((each + 0.5) * spacing_um for each in voxel[: len(ARRAY_AXES)])
