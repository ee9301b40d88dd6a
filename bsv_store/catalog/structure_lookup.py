"""Look-up of many structures by id, acronym or name, and their positions in the ontology relative to each other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral
from typing import Any, NamedTuple, assert_never

from sqlalchemy import Connection, select

from bsv_store.catalog.database.id_lists import id_in
from bsv_store.catalog.database.models import StructureAncestor
from bsv_store.catalog.structures import (
    StructureRef,
    StructureRow,
    all_structures,
    find_structure,
    find_structures,
    unknown_structures,
)
from bsv_store.check import choice, several
from bsv_store.errors import InputError
from bsv_store.text import as_reference, shown
from bsv_store.vocabulary import STRUCTURE_KEYS, StructureKey


class OverlappingStructures(NamedTuple):
    """Two structures of which one contains the other.

    Attributes
    ----------
    outer, inner : StructureRow
    """

    outer: StructureRow
    inner: StructureRow


def look_up(
    connection: Connection, structures: StructureRef | Iterable[StructureRef], *, by: StructureKey = "any"
) -> tuple[StructureRow, ...]:
    """See :meth:`bsv_store.store.atlas.Atlas.structures`."""
    key = choice("by", by, STRUCTURE_KEYS).name
    wanted = [_key(each, key) for each in several("structures", structures, such_as="'CP', 672 or ['CP', 'TH']")]
    rows = all_structures(connection)
    found = _by_key(rows, key)
    unknown = [each for each in dict.fromkeys(wanted) if each not in found]
    if unknown:
        raise unknown_structures(rows, unknown, key="" if key == "any" else key)
    return tuple(found[each] for each in wanted)


def _key(value: Any, key: StructureKey) -> StructureRef:
    """The value as it is looked up."""
    reference: Any = as_reference(value) if key in ("any", "id") and isinstance(value, str) else value
    if isinstance(reference, str) and key != "id":
        return reference
    is_number = not isinstance(value, bool) and isinstance(reference, Integral)
    if is_number and key in ("any", "id"):
        return int(reference)
    raise InputError(f"{shown(value)} is not a structure", hint=f"by={key!r} looks up {STRUCTURE_KEYS[key].words}.")


def _by_key(rows: Sequence[StructureRow], key: StructureKey) -> dict[StructureRef, StructureRow]:
    # A current structure precedes a withdrawn one with the same name.
    ordered = sorted(rows, key=lambda row: not row.withdrawn)
    if key == "id":
        return {row.id: row for row in ordered}
    if key == "acronym":
        return {row.acronym: row for row in ordered}
    if key == "name":
        return {row.name: row for row in ordered}
    if key == "any":
        # An acronym precedes a name.
        found: dict[StructureRef, StructureRow] = {row.name: row for row in ordered}
        found.update({row.acronym: row for row in ordered})
        found.update({row.id: row for row in ordered})
        return found
    assert_never(key)


def acronym_map(connection: Connection) -> dict[str, int]:
    """The id of each structure by its acronym, in ontology order."""
    return {row.acronym: row.id for row in all_structures(connection)}


def name_map(connection: Connection) -> dict[int, str]:
    """The full name of each structure by its id, in ontology order."""
    return {row.id: row.name for row in all_structures(connection)}


def color_map(connection: Connection) -> dict[int, tuple[int, int, int]]:
    """Allen's color of each structure by its id, in ontology order."""
    return {row.id: rgb(row) for row in all_structures(connection)}


def rgb(row: StructureRow) -> tuple[int, int, int]:
    """Allen's color of a structure: red, green and blue, 0 to 255."""
    red, green, blue = bytes.fromhex(row.color_hex_triplet)
    return red, green, blue


def structure_path(connection: Connection, structure: StructureRef) -> tuple[StructureRow, ...]:
    """The structures from the root down to a structure, itself included.

    Raises
    ------
    UnknownStructureError
        If the ontology does not have it.
    """
    found = find_structure(connection, structure)
    query = select(StructureAncestor.ancestor_id).where(StructureAncestor.descendant_id == found.id)
    return find_structures(connection, list(connection.scalars(query.order_by(StructureAncestor.distance.desc()))))


def descends_from(connection: Connection, structure: StructureRef, ancestor: StructureRef) -> bool:
    """Whether a structure lies inside another one or is the same.

    Raises
    ------
    UnknownStructureError
        If the ontology does not have one of them.
    """
    below, above = find_structures(connection, [structure, ancestor])
    pair = (StructureAncestor.descendant_id == below.id, StructureAncestor.ancestor_id == above.id)
    return connection.scalar(select(StructureAncestor.distance).where(*pair)) is not None


def overlapping(
    connection: Connection, structures: StructureRef | Iterable[StructureRef]
) -> tuple[OverlappingStructures, ...]:
    """See :meth:`bsv_store.store.atlas.Atlas.overlapping_structures`."""
    rows: Mapping[int, StructureRow] = {row.id: row for row in find_structures(connection, structures)}
    query = select(StructureAncestor.ancestor_id, StructureAncestor.descendant_id).where(
        id_in(connection, StructureAncestor.ancestor_id, rows),
        id_in(connection, StructureAncestor.descendant_id, rows),
        StructureAncestor.distance > 0,
    )
    pairs = [OverlappingStructures(rows[outer], rows[inner]) for outer, inner in connection.execute(query)]
    return tuple(sorted(pairs, key=lambda pair: (pair.outer.graph_order, pair.inner.graph_order)))
