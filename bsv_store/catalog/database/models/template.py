"""The average template of the CCF: one row for each spacing in the store."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Column, ColumnElement

from bsv_store.catalog.database.models.base import Base, RowId


class StoredTemplate(Base):
    """The template at one spacing: the path of its file, and hashes and facts to verify it."""

    __tablename__ = "template"

    id: ColumnElement[int] = Column(RowId, primary_key=True)
    spacing_um: ColumnElement[int] = Column(unique=True, comment="Edge of a voxel, um")
    frame: ColumnElement[str] = Column(comment="Coordinate frame, with its version")
    path: ColumnElement[str] = Column(unique=True, comment="Relative to the store's folder")
    size_bytes: ColumnElement[int] = Column(BigInteger, comment="Size of the file")
    file_sha256: ColumnElement[str] = Column(comment="Of the file's bytes")
    file_xxh3: ColumnElement[str] = Column(comment="64 bits, 16 hexadecimal digits; checked on every read")
    array_sha256: ColumnElement[str] = Column(comment="Of the decoded array: little-endian, C order")
    dtype: ColumnElement[str] = Column(comment="Of the array: uint16 or float32")
    source: ColumnElement[str] = Column(comment="URL or file name of its origin")
    fetched_at: ColumnElement[datetime] = Column(comment="Time of storing, UTC")
