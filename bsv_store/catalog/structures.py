"""Structures of the ontology: look-up by acronym or id, search by text, ancestors and descendants.

Acronyms are compared exactly: CM and cm are two structures, and VISpm is not inside VISp because of its name. Only the
ontology determines what is inside a structure.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, starmap
from numbers import Integral
from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, exists, select

from bsv_store.catalog.database.id_lists import id_in
from bsv_store.catalog.database.models import Structure, StructureAncestor, StructureSetMember
from bsv_store.catalog.structure_synonyms import acronyms_of_synonym, is_written_as_synonym
from bsv_store.catalog.tables.views import view
from bsv_store.check import several, whole_number
from bsv_store.errors import InputError, UnknownStructureError
from bsv_store.text import MAX_ID, as_reference, can_be_name, joined, listed, shown
from bsv_store.vocabulary import SUMMARY_STRUCTURE_SET_ID

StructureRef = str | int
"""A structure: its acronym (case matters) or Allen's id."""

UNIONIZE_STRUCTURE_SET_ID = 184527634
"""Allen's set of structures with unionize records; the view ``measured_structures`` lists the exceptions."""

_CHUNK = 1_000


@dataclass(frozen=True, slots=True)
class StructureRow:
    """A structure of the catalog."""

    id: int
    acronym: str
    name: str
    parent_structure_id: int | None
    """None for the root."""
    depth: int
    graph_order: int
    color_hex_triplet: str
    withdrawn: bool
    """Not in the ontology that was ingested last."""


_COLUMNS = tuple(Structure.__table__.c[name] for name in StructureRow.__slots__)
# Built once, because that takes as long as executing it.
_IN_GRAPH_ORDER = select(*_COLUMNS).order_by(Structure.graph_order, Structure.id)
_BY_ACRONYM = _IN_GRAPH_ORDER.where(Structure.acronym.in_(bindparam("acronyms", expanding=True)))


def find_structure(connection: Connection, structure: StructureRef) -> StructureRow:
    """The structure with that acronym or id.

    Raises
    ------
    UnknownStructureError
        If the ontology does not have it; the hint suggests similar acronyms and names.
    """
    return find_structures(connection, [structure])[0]


def find_structures(
    connection: Connection, structures: StructureRef | Iterable[StructureRef]
) -> tuple[StructureRow, ...]:
    """The structures with these acronyms and ids, in the order given.

    Raises
    ------
    InputError
        If one is neither an acronym nor an id.
    UnknownStructureError
        If the ontology does not have all of them; the message names the unknown ones.
    """
    wanted: list[Any] = [
        as_reference(each) for each in several("structures", structures, such_as="'CP', 672 or ['CP', 'TH']")
    ]
    for ref in wanted:
        if isinstance(ref, bool) or not isinstance(ref, str | Integral):
            raise InputError(f"{shown(ref)} is not a structure", hint="Use an acronym or an id, such as 'CP' or 672.")
    ids = {int(ref) for ref in wanted if not isinstance(ref, str) and 0 < ref <= MAX_ID}
    acronyms = sorted({ref for ref in wanted if isinstance(ref, str) and can_be_name(ref)})
    found: dict[StructureRef, StructureRow] = {}
    if ids:
        found.update({row.id: row for row in _rows(connection, id_in(connection, Structure.id, ids))})
    for start in range(0, len(acronyms), _CHUNK):
        rows = connection.execute(_BY_ACRONYM, {"acronyms": acronyms[start : start + _CHUNK]}).all()
        found.update({row.acronym: row for row in starmap(StructureRow, rows)})
    unknown = [ref for ref in dict.fromkeys(wanted) if ref not in found]
    if unknown:
        raise unknown_structures(all_structures(connection), unknown)
    return tuple(found[ref] for ref in wanted)


def all_structures(connection: Connection) -> tuple[StructureRow, ...]:
    """All structures of the catalog, in graph order."""
    return tuple(_rows(connection))


def search(connection: Connection, text: str, *, limit: int | None = None) -> tuple[StructureRow, ...]:
    """The structures whose acronym or name contains the text, ignoring case, or of which the text is a synonym.

    The exact acronym comes first, then the structures of which the text is a known synonym in the same case (EC is the
    entorhinal area, ec the external capsule), acronyms and names that differ only in case, structures of which the text
    is a synonym in another case, names that contain the text as whole words (the last one may be a plural), acronyms
    that start with the text, and all others. Within each of these, structures with children come first (areas before
    their layers), then higher levels, then graph order.
    """
    folded = text.strip().casefold()
    if not can_be_name(folded):
        return ()

    synonyms = acronyms_of_synonym(text)
    same_case = is_written_as_synonym(text)
    words = re.compile(rf"(?<!\w){re.escape(folded)}s?(?!\w)")

    def rank(row: StructureRow) -> int | None:
        acronym, name = row.acronym.casefold(), row.name.casefold()
        tests = (
            row.acronym == text.strip(),
            same_case and row.acronym in synonyms,
            folded in (acronym, name),
            row.acronym in synonyms,
            words.search(name) is not None,
            acronym.startswith(folded),
        )
        for number, holds in enumerate((*tests, folded in acronym or folded in name)):
            if holds:
                return number
        return None

    rows = list(_rows(connection))
    parents = {row.parent_structure_id for row in rows}
    ranked = [(number, row) for row in rows if (number := rank(row)) is not None]

    def order(pair: tuple[int, StructureRow]) -> tuple[int, ...]:
        number, row = pair
        # The structures of one synonym keep the order of the table.
        place = synonyms.index(row.acronym) if row.acronym in synonyms else 0
        return number, place, row.id not in parents, row.depth, row.graph_order

    ranked.sort(key=order)
    return tuple(row for _, row in ranked[:limit])


def near_structures(rows: Sequence[StructureRow], text: str, *, limit: int = 5) -> list[StructureRow]:
    """Structures with a similar acronym or name, best first; those that differ in case only come first."""
    if not can_be_name(text):
        return []
    folded = text.casefold()
    same = [row for row in rows if folded in (row.acronym.casefold(), row.name.casefold())]
    by_acronym: dict[str, list[StructureRow]] = {}
    by_name: dict[str, list[StructureRow]] = {}
    for row in rows:
        by_acronym.setdefault(row.acronym.casefold(), []).append(row)
        by_name.setdefault(row.name.casefold(), []).append(row)
    similar = [row for key in difflib.get_close_matches(folded, by_acronym, n=limit) for row in by_acronym[key]]
    named = [row for key in difflib.get_close_matches(folded, by_name, n=limit) for row in by_name[key]]
    part = [row for row in rows if len(folded) > 2 and folded in row.name.casefold()]
    # A long text is usually a part of a name, a short one a misspelled acronym.
    ranked = (*same, *part, *similar, *named) if len(folded) > 5 else (*same, *similar, *part, *named)
    unique = {row.id: row for row in ranked}
    return list(unique.values())[:limit]


def subtree(connection: Connection, structure: StructureRef) -> tuple[StructureRow, ...]:
    """A structure and all its descendants, in graph order.

    Raises
    ------
    UnknownStructureError
        If the ontology does not have it.
    """
    top = find_structure(connection, structure)
    below = select(StructureAncestor.descendant_id).where(StructureAncestor.ancestor_id == top.id)
    return tuple(_rows(connection, Structure.id.in_(below)))


def structure_set(connection: Connection, set_id: int) -> tuple[StructureRow, ...]:
    """The members of a structure set, in graph order.

    Raises
    ------
    InputError
        If no structure set has that id.
    """
    set_id = whole_number("structure_set", set_id)
    members = select(StructureSetMember.structure_id).where(StructureSetMember.structure_set_id == set_id)
    rows = tuple(_rows(connection, Structure.id.in_(members))) if 0 < set_id <= MAX_ID else ()
    if not rows:
        raise InputError(
            f"the catalog has no structure set {set_id}",
            hint="Sets are part of the ontology: `bsv-store sync structures`. "
            f"{SUMMARY_STRUCTURE_SET_ID} has the summary structures.",
        )
    return rows


def measured_structures(connection: Connection) -> frozenset[int] | None:
    """The ids of the structures in which Allen measures signal; None if the ontology has no structure sets.

    They are read from the view ``measured_structures``, which alone defines the exceptions to Allen's set.
    """
    member = select(StructureSetMember.structure_id).where(
        StructureSetMember.structure_set_id == UNIONIZE_STRUCTURE_SET_ID
    )
    if not connection.scalar(select(exists(member))):
        return None
    return frozenset(connection.scalars(select(view("measured_structures").c.structure_id)))


def unmeasured_structures(connection: Connection, rows: Iterable[StructureRow]) -> tuple[StructureRow, ...]:
    """The structures in which Allen does not measure signal: their values are unknown, not 0."""
    asked = tuple(rows)
    if not asked:
        return ()
    structure_id = view("measured_structures").c.structure_id
    query = select(structure_id).where(id_in(connection, structure_id, [row.id for row in asked]))
    measured = frozenset(connection.scalars(query))
    return tuple(row for row in asked if row.id not in measured)


def not_measured(rows: Sequence[StructureRow]) -> InputError:
    """The error for structures in which Allen does not measure signal."""
    return InputError(
        f"Allen does not measure the signal in {listed(f'{row.acronym} ({row.name})' for row in rows)}",
        hint="Name a structure that contains it, or one inside it: `bsv-store structures tree`.",
    )


def ancestry(connection: Connection) -> Mapping[str, tuple[str, ...]]:
    """The acronyms from each structure up to the root, itself first, by acronym."""
    acronyms = {row.id: row.acronym for row in _rows(connection)}
    query = select(StructureAncestor.descendant_id, StructureAncestor.ancestor_id).order_by(
        StructureAncestor.descendant_id, StructureAncestor.distance
    )
    grouped = groupby(connection.execute(query), key=lambda row: row.descendant_id)
    return {acronyms[child]: tuple(acronyms[row.ancestor_id] for row in rows) for child, rows in grouped}


def descendant_ids(connection: Connection, ids: Iterable[int]) -> frozenset[int]:
    """The ids of these structures and of all their descendants."""
    below = select(StructureAncestor.descendant_id).where(id_in(connection, StructureAncestor.ancestor_id, ids))
    return frozenset(connection.scalars(below))


def _rows(connection: Connection, *conditions: ColumnElement[bool]) -> Iterator[StructureRow]:
    return (StructureRow(*row) for row in connection.execute(_IN_GRAPH_ORDER.where(*conditions)).all())


def unknown_structures(
    rows: Sequence[StructureRow], unknown: Sequence[StructureRef], *, key: str = ""
) -> UnknownStructureError:
    """The error for structures that are not among all structures of the catalog.

    Parameters
    ----------
    key : str
        What they were looked up by, such as 'name'.
    """
    if not rows:
        return UnknownStructureError(
            f"no structure {shown(unknown[0])}: the catalog has no structures yet",
            hint="Ingest the ontology first: `bsv-store sync structures`, or `bsv-store ingest structures FILE`.",
        )
    noun = "structure" if len(unknown) == 1 else "structures"
    by = f" with the {key}" if key else ""
    message = f"the ontology has no {noun}{by} {listed((shown(ref) for ref in unknown), limit=20)}"
    return UnknownStructureError(message, hint=_suggestion(rows, unknown))


def _suggestion(rows: Sequence[StructureRow], unknown: Sequence[StructureRef]) -> str:
    acronyms = {row.acronym for row in rows}
    for ref in unknown:
        parts = [part.strip() for part in ref.split(",")] if isinstance(ref, str) else []
        if len(parts) > 1 and acronyms.issuperset(parts):
            return f"Acronyms may contain commas, so name each separately: {listed(map(repr, parts))}."
    by_acronym = {row.acronym: row for row in rows}
    synonyms = {ref: acronyms_of_synonym(ref) for ref in unknown if isinstance(ref, str)}
    known: list[str] = []
    ambiguous: list[str] = []
    for ref, meant in synonyms.items():
        options = [f"{each} ({by_acronym[each].name})" for each in meant if each in by_acronym]
        if options and len(meant) == 1:
            known.append(f"{options[0]} for {ref}")
        elif options and len(options) < len(meant):
            ambiguous.append(
                f"Allen's ontology has no single structure {ref}: it is {joined(meant, 'and')}, of which the ontology "
                f"of this store has only {joined(options, 'and')}."
            )
        elif options:
            ambiguous.append(f"Allen's ontology has no single structure {ref}. Choose from {joined(options, 'and')}.")
    if known or ambiguous:
        return " ".join([f"In Allen's ontology, use {listed(known)}."] * bool(known) + ambiguous[:3])
    for ref, meant in synonyms.items():
        if meant:
            return f"In Allen's ontology, {ref} is {joined(meant, 'and')}, which the ontology of this store lacks."
    near: dict[int, StructureRow] = {}
    for ref in unknown[:3]:
        if isinstance(ref, str):
            near.update({row.id: row for row in near_structures(rows, ref)})
    if near:
        options = [f"{row.acronym} ({row.name})" for row in near.values()]
        return f"Did you mean {listed(options)}? Case matters."
    return "Use an acronym of Allen's adult mouse ontology (case matters) or a structure id."
