"""Tokens of clients of a server."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Column, ColumnElement, UniqueConstraint

from bsv_store.catalog.database.models.base import Base, RowId


class AccessTokenRow(Base):
    """A token by which a server accepts a client. The row of a revoked token is kept, so that its name is known."""

    __tablename__ = "access_token"
    __table_args__ = (UniqueConstraint("name"), UniqueConstraint("sha256"))

    id: ColumnElement[int] = Column(RowId, primary_key=True)
    name: ColumnElement[str] = Column(comment="Who uses it, for lists and the access log")
    sha256: ColumnElement[str] = Column(comment="SHA-256 of the token, which is 256 random bits; 64 hexadecimal digits")
    scopes: ColumnElement[str] = Column(comment="read, or read,sql")
    created_at: ColumnElement[datetime]
    created_by: ColumnElement[str]
    expires_at: ColumnElement[datetime | None] = Column(comment="Null if it does not expire")
    revoked_at: ColumnElement[datetime | None]
