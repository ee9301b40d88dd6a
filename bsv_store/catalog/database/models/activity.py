"""The record of who changed the store."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Column, ColumnElement

from bsv_store.catalog.database.models.base import Base, RowId


class Activity(Base):
    """One action of a user. Rows are only added: triggers refuse to change or delete them."""

    __tablename__ = "activity"

    id: ColumnElement[int] = Column(RowId, primary_key=True)
    at: ColumnElement[datetime] = Column(index=True, comment="Time of the database's clock, UTC")
    action: ColumnElement[str] = Column(comment="fetched, computed, deleted, ...")
    subject: ColumnElement[str | None] = Column(comment="What was changed, such as a dataset version or a list")
    details: ColumnElement[str | None] = Column(comment="Numbers and options, as JSON")
    user_name: ColumnElement[str] = Column(comment="Login name according to the operating system")
    database_role: ColumnElement[str | None] = Column(comment="Role of the database session; null on SQLite")
    host: ColumnElement[str]
    release: ColumnElement[str] = Column(comment="Version of bsv-store")
