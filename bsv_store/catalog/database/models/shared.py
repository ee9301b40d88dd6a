"""Data that users of a store share: saved selections and the exclusion list."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, Column, ColumnElement, ForeignKey, Index, UniqueConstraint

from bsv_store.catalog.database.models.base import Base, RowId


class NamedSelection(Base):
    """A selection that was saved under a name. Rows are only added; the highest number of a name is the current one."""

    __tablename__ = "named_selection"
    __table_args__ = (UniqueConstraint("name", "number"), CheckConstraint("number >= 1", name="number"))

    id: ColumnElement[int] = Column(RowId, primary_key=True)
    name: ColumnElement[str]
    number: ColumnElement[int] = Column(comment="From 1, for each name")
    selection: ColumnElement[str] = Column(comment="The selection as canonical JSON")
    note: ColumnElement[str | None] = Column(comment="Purpose of the selection")
    saved_by: ColumnElement[str]
    saved_at: ColumnElement[datetime]


class Exclusion(Base):
    """An experiment that selections leave out, with the reason. Lifted exclusions are kept as history."""

    __tablename__ = "exclusion"
    __table_args__ = (
        CheckConstraint("(lifted_at IS NULL) = (lifted_by IS NULL)", name="lifted"),
        # The migration restricts this index to rows whose lifted_at is null. Here, that would import the Postgres
        # dialect.
        Index("uq_exclusion_in_force", "experiment_id", unique=True),
    )

    id: ColumnElement[int] = Column(RowId, primary_key=True)
    experiment_id: ColumnElement[int] = Column(BigInteger, ForeignKey("experiment.id"))
    reason: ColumnElement[str]
    excluded_by: ColumnElement[str]
    excluded_at: ColumnElement[datetime]
    lifted_by: ColumnElement[str | None] = Column(comment="Null while the exclusion is active")
    lifted_at: ColumnElement[datetime | None]
