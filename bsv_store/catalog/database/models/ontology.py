"""The structure graph: structures, their closure and their sets."""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from bsv_store.catalog.database.models.base import Base


class Structure(Base):
    """A node of the structure graph (graph 1, adult mouse)."""

    __tablename__ = "structure"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False, comment="Allen's structure id")
    acronym: Mapped[str] = mapped_column(unique=True, comment="Case matters: CM and cm are two structures")
    name: Mapped[str]
    parent_structure_id: Mapped[int | None] = mapped_column(ForeignKey("structure.id"), index=True)
    depth: Mapped[int] = mapped_column(comment="0 for the root")
    graph_order: Mapped[int] = mapped_column(comment="Position in Allen's order of the graph")
    structure_id_path: Mapped[str] = mapped_column(comment="Ids from the root, e.g. /997/8/567/")
    color_hex_triplet: Mapped[str] = mapped_column(String(6))
    withdrawn: Mapped[bool] = mapped_column(comment="No longer in the newest graph taken in")


class StructureAncestor(Base):
    """Closure of the graph: one row for each pair of a structure and an ancestor, itself included."""

    __tablename__ = "structure_ancestor"
    __table_args__ = (
        Index("ix_structure_ancestor_ancestor_id_descendant_id", "ancestor_id", "descendant_id"),
        {"sqlite_with_rowid": False},
    )

    descendant_id: Mapped[int] = mapped_column(ForeignKey("structure.id"), primary_key=True, autoincrement=False)
    ancestor_id: Mapped[int] = mapped_column(ForeignKey("structure.id"), primary_key=True, autoincrement=False)
    distance: Mapped[int] = mapped_column(comment="Steps up from descendant to ancestor; 0 = itself")


class StructureSet(Base):
    """A named set of structures, e.g. 167587189, the summary structures."""

    __tablename__ = "structure_set"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    name: Mapped[str | None]


class StructureSetMember(Base):
    """Membership of a structure in a set."""

    __tablename__ = "structure_set_member"
    __table_args__ = {"sqlite_with_rowid": False}

    structure_set_id: Mapped[int] = mapped_column(ForeignKey("structure_set.id"), primary_key=True, autoincrement=False)
    structure_id: Mapped[int] = mapped_column(
        ForeignKey("structure.id"), primary_key=True, autoincrement=False, index=True
    )
