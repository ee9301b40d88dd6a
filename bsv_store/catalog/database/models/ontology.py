"""The structure graph: structures, their closure and their sets."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ColumnElement, ForeignKey, Index, String

from bsv_store.catalog.database.models.base import Base


class Structure(Base):
    """A node of the structure graph (graph 1, adult mouse)."""

    __tablename__ = "structure"

    id: ColumnElement[int] = Column(BigInteger, primary_key=True, autoincrement=False, comment="Allen's structure id")
    acronym: ColumnElement[str] = Column(unique=True, comment="Case matters: CM and cm are two structures")
    name: ColumnElement[str]
    parent_structure_id: ColumnElement[int | None] = Column(ForeignKey("structure.id"), index=True)
    depth: ColumnElement[int] = Column(comment="0 for the root")
    graph_order: ColumnElement[int] = Column(comment="Position in Allen's order of the graph")
    structure_id_path: ColumnElement[str] = Column(comment="Ids from the root, e.g. /997/8/567/")
    color_hex_triplet: ColumnElement[str] = Column(String(6))
    withdrawn: ColumnElement[bool] = Column(comment="Not in the structure graph that was ingested last")


class StructureAncestor(Base):
    """The transitive closure of the graph: one row for each structure and ancestor, itself included."""

    __tablename__ = "structure_ancestor"
    __table_args__ = (
        Index("ix_structure_ancestor_ancestor_id_descendant_id", "ancestor_id", "descendant_id"),
        {"sqlite_with_rowid": False},
    )

    descendant_id: ColumnElement[int] = Column(ForeignKey("structure.id"), primary_key=True, autoincrement=False)
    ancestor_id: ColumnElement[int] = Column(ForeignKey("structure.id"), primary_key=True, autoincrement=False)
    distance: ColumnElement[int] = Column(comment="Steps up from descendant to ancestor; 0 = itself")


class StructureSet(Base):
    """A named set of structures, e.g. 167587189, the summary structures."""

    __tablename__ = "structure_set"

    id: ColumnElement[int] = Column(BigInteger, primary_key=True, autoincrement=False)
    name: ColumnElement[str | None]


class StructureSetMember(Base):
    """Membership of a structure in a set."""

    __tablename__ = "structure_set_member"
    __table_args__ = {"sqlite_with_rowid": False}

    structure_set_id: ColumnElement[int] = Column(ForeignKey("structure_set.id"), primary_key=True, autoincrement=False)
    structure_id: ColumnElement[int] = Column(
        ForeignKey("structure.id"), primary_key=True, autoincrement=False, index=True
    )
