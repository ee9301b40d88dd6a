"""Structure search by text, and the list of structure sets."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from bsv_store.catalog.database.models import Structure, StructureSet, StructureSetMember
from bsv_store.catalog.structures import StructureRow, near_structures, search
from bsv_store.check import text as checked_text
from bsv_store.check import whole_number
from bsv_store.html import card, table
from bsv_store.text import number_of


@dataclass(frozen=True, slots=True)
class StructureSetRow:
    """One of Allen's sets of structures."""

    id: int
    name: str | None
    """None if the source has ids only."""
    members: int


@dataclass(frozen=True, slots=True)
class FoundStructures:
    """Result of a structure search.

    Attributes
    ----------
    structures : tuple of StructureRow
        Best first.
    exact : bool
        Whether the text is part of their acronyms or names, or a synonym; otherwise, their names are similar.
    """

    structures: tuple[StructureRow, ...]
    exact: bool

    def _repr_html_(self) -> str:
        rows = [[row.acronym, row.name, str(row.id)] for row in self.structures]
        found = table(["acronym", "name", "id"], rows)
        notes = () if self.exact else ("No acronym or name contains the text.",)
        return card(number_of(len(rows), "structure"), found, kind="found" if self.exact else "similar", notes=notes)


def find_or_near(connection: Connection, text: str, *, limit: int | None = None) -> FoundStructures:
    """The structures whose acronym or name contains the text, ignoring case, and those of which it is a synonym.

    If there are none, those with similar names.
    """
    if limit is not None:
        whole_number("limit", limit, least=1)
    found = search(connection, checked_text("text", text, such_as="visual area"), limit=limit)
    if found:
        return FoundStructures(found, True)
    columns = (Structure.__table__.c[name] for name in StructureRow.__slots__)
    rows = [StructureRow(*row) for row in connection.execute(select(*columns).order_by(Structure.graph_order))]
    return FoundStructures(tuple(near_structures(rows, text.strip(), limit=limit or 5)), False)


def structure_sets(connection: Connection) -> tuple[StructureSetRow, ...]:
    """The structure sets of the catalog, ascending by id."""
    query = (
        select(StructureSet.id, StructureSet.name, func.count(StructureSetMember.structure_id))
        .outerjoin(StructureSetMember, StructureSetMember.structure_set_id == StructureSet.id)
        .group_by(StructureSet.id, StructureSet.name)
        .order_by(StructureSet.id)
    )
    return tuple(StructureSetRow(*row) for row in connection.execute(query))
