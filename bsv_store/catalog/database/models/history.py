"""The history of the schema of the database."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, Column, ColumnElement

from bsv_store.catalog.database.models.base import Base, RowId


class SchemaHistory(Base):
    """One change of the schema: the creation, an upgrade, a downgrade or a stamp."""

    __tablename__ = "schema_history"
    __table_args__ = (CheckConstraint("action in ('created', 'upgraded', 'downgraded', 'stamped')", name="action"),)

    id: ColumnElement[int] = Column(RowId, primary_key=True)
    at: ColumnElement[datetime] = Column(comment="Time of the database's clock, UTC")
    action: ColumnElement[str] = Column(comment="created, upgraded, downgraded or stamped")
    from_revision: ColumnElement[str | None] = Column(comment="Null for the creation")
    to_revision: ColumnElement[str | None] = Column(comment="Null if the schema was removed")
    user_name: ColumnElement[str] = Column(comment="Login name according to the operating system")
    database_role: ColumnElement[str | None] = Column(comment="Role of the database session; null on SQLite")
    host: ColumnElement[str]
    release: ColumnElement[str] = Column(comment="Version of bsv-store")
