"""Anatomy for figures: the brain of a store's annotation, and colors and divisions of structures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select

from bsv_store.catalog.database.id_lists import id_in
from bsv_store.catalog.database.models import StructureAncestor
from bsv_store.catalog.search.structures import structure_sets
from bsv_store.catalog.structures import StructureRow, find_structures, structure_set
from bsv_store.errors import InputError
from bsv_store.figures.brain import Brain
from bsv_store.text import shown

if TYPE_CHECKING:
    from bsv_store.store.store import Store

DIVISION_SET_ID = 687527670


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


def brain_of(store: Store) -> Brain:
    """The annotation of a store.

    Raises
    ------
    InputError
        If it is not a store.
    """
    if not hasattr(store, "database"):
        raise InputError(f"store must be a Store, got {shown(store)}", hint="For example: open_store().")
    return Brain(store.database, store.files)


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


def rows_of(store: Store, structures: Sequence[str | int]) -> dict[str, StructureRow]:
    """The structures by acronym."""
    if not structures:
        return {}
    with store.database.reading() as connection:
        return {row.acronym: row for row in find_structures(connection, structures)}
