"""What the people of a lab tell each other through the store: selections with a name, experiments not to be used."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from bsv_store.catalog.database.models.base import Base, RowId

_IN_FORCE = text("lifted_at IS NULL")


class NamedSelection(Base):
    """What a named selection meant from some moment on. Rows are only ever added; the highest number counts."""

    __tablename__ = "named_selection"
    __table_args__ = (UniqueConstraint("name", "number"), CheckConstraint("number >= 1", name="number"))

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    name: Mapped[str]
    number: Mapped[int] = mapped_column(comment="From 1, for each name")
    selection: Mapped[str] = mapped_column(comment="The selection as canonical JSON")
    note: Mapped[str | None] = mapped_column(comment="What it is for")
    saved_by: Mapped[str]
    saved_at: Mapped[datetime]


class Exclusion(Base):
    """An experiment that selections leave out, and why. A lifted exclusion stays as history."""

    __tablename__ = "exclusion"
    __table_args__ = (
        CheckConstraint("(lifted_at IS NULL) = (lifted_by IS NULL)", name="lifted"),
        Index(
            "uq_exclusion_in_force",
            "experiment_id",
            unique=True,
            sqlite_where=_IN_FORCE,
            postgresql_where=_IN_FORCE,
        ),
    )

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    experiment_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("experiment.id"))
    reason: Mapped[str]
    excluded_by: Mapped[str]
    excluded_at: Mapped[datetime]
    lifted_by: Mapped[str | None] = mapped_column(comment="Null while the exclusion is in force")
    lifted_at: Mapped[datetime | None]
