"""Anatomy for figures: the brain of a store's annotation, and colors and divisions of structures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import select

from bsv_store.atlas.annotation import read_annotation
from bsv_store.catalog.annotations import all_annotations
from bsv_store.catalog.database.id_lists import id_in
from bsv_store.catalog.database.models import StructureAncestor
from bsv_store.catalog.search.structures import structure_sets
from bsv_store.catalog.structures import StructureRow, find_structures, structure_set
from bsv_store.figures.silhouettes import BrainShape, Region, brain_of, surface_from_above

if TYPE_CHECKING:
    from bsv_store.store.store import Store
    from bsv_store.volumes.annotation import AnnotationFile

_Kept = TypeVar("_Kept")
_Key = TypeVar("_Key")

DIVISION_SET_ID = 687527670
SUMMARY_SET_ID = 167587189

# Outlines need no finer annotation, and those at 25 and 10 um take long to read.
_PREFERRED_UM = (50, 100, 25, 10)
_KEPT_BRAINS = 4
_brains: dict[str, BrainShape] = {}
_surfaces: dict[tuple[str, int], list[Region]] = {}


@dataclass(frozen=True, slots=True)
class Division:
    """A structure of a set, with the ids of itself and all its descendants."""

    row: StructureRow
    ids: frozenset[int]

    @property
    def color(self) -> str:
        """Allen's color, as '#rrggbb'."""
        return color_of(self.row)


def color_of(row: StructureRow) -> str:
    """Allen's color of a structure, as '#rrggbb'."""
    return f"#{row.color_hex_triplet.lower()}"


def stored_brain(store: Store) -> BrainShape | None:
    """The brain of the store's annotation; None if the store does not have one. Kept in memory.

    Raises
    ------
    DamagedFileError
        If the file of the annotation differs from what was stored.
    """
    file = _annotation_file(store)
    if file is None:
        return None
    key = file.array_sha256
    if key not in _brains:
        annotation = read_annotation(store.database, store.files, spacing_um=file.grid.spacing_um)
        _keep(_brains, key, brain_of(annotation))
    return _brains[key]


def stored_surface(store: Store) -> list[Region]:
    """The summary structures that are seen from above; none without annotation. Kept in memory.

    Raises
    ------
    DamagedFileError
        If the file of the annotation differs from what was stored.
    """
    file, brain = _annotation_file(store), stored_brain(store)
    if file is None or brain is None:
        return []
    groups = outlined(divisions(store, SUMMARY_SET_ID))
    key = (file.array_sha256, hash(tuple(groups)))
    if key not in _surfaces:
        _keep(_surfaces, key, surface_from_above(brain, groups))
    return _surfaces[key]


def _annotation_file(store: Store) -> AnnotationFile | None:
    with store.database.reading() as connection:
        by_spacing = {file.grid.spacing_um: file for file in all_annotations(connection)}
    return next((by_spacing[spacing] for spacing in _PREFERRED_UM if spacing in by_spacing), None)


def _keep(kept: dict[_Key, _Kept], key: _Key, value: _Kept) -> None:
    while len(kept) >= _KEPT_BRAINS:
        del kept[next(iter(kept))]
    kept[key] = value


def divisions(store: Store, set_id: int = DIVISION_SET_ID) -> tuple[Division, ...]:
    """The members of a structure set with their descendants, in ontology order; none if the store has no such set."""
    with store.database.reading() as connection:
        if set_id not in {row.id for row in structure_sets(connection)}:
            return ()
        rows = structure_set(connection, set_id)
        query = select(StructureAncestor.ancestor_id, StructureAncestor.descendant_id).where(
            id_in(connection, StructureAncestor.ancestor_id, [row.id for row in rows])
        )
        inside: dict[int, set[int]] = {}
        for ancestor, descendant in connection.execute(query):
            inside.setdefault(ancestor, set()).add(descendant)
    return tuple(Division(row, frozenset(inside.get(row.id, {row.id}))) for row in rows)


def outlined(parts: Iterable[Division]) -> list[tuple[str, str, frozenset[int]]]:
    """The structures as `bsv_store.figures.silhouettes.section` takes them."""
    return [(part.row.acronym, part.color, part.ids) for part in parts]


def rows_of(store: Store, structures: Sequence[str | int]) -> dict[str, StructureRow]:
    """The structures by acronym."""
    if not structures:
        return {}
    with store.database.reading() as connection:
        return {row.acronym: row for row in find_structures(connection, structures)}
