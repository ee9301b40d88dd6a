"""The annotation of the CCF: one row for each spacing in the store."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Column, ColumnElement

from bsv_store.catalog.database.models.base import Base, RowId


class StoredAnnotation(Base):
    """The annotation at one spacing: the path of its file, and hashes and facts to verify it."""

    __tablename__ = "annotation"

    id: ColumnElement[int] = Column(RowId, primary_key=True)
    spacing_um: ColumnElement[int] = Column(unique=True, comment="Edge of a voxel, um")
    frame: ColumnElement[str] = Column(comment="Coordinate frame, with its version")
    path: ColumnElement[str] = Column(unique=True, comment="Relative to the store's folder")
    size_bytes: ColumnElement[int] = Column(BigInteger, comment="Size of the file")
    file_sha256: ColumnElement[str] = Column(comment="Of the file's bytes")
    file_xxh3: ColumnElement[str] = Column(comment="64 bits, 16 hexadecimal digits; checked on every read")
    array_sha256: ColumnElement[str] = Column(comment="Of the decoded array: little-endian uint32, C order")
    structure_count: ColumnElement[int] = Column(comment="Structures that voxels are assigned to directly")
    annotated_voxels: ColumnElement[int] = Column(BigInteger, comment="Voxels that belong to a structure")
    source: ColumnElement[str] = Column(comment="URL or file name of its origin")
    fetched_at: ColumnElement[datetime] = Column(comment="Time of storing, UTC")
    origin: ColumnElement[str] = Column(
        comment="allen: its content is Allen's; like_allen: its structures lie where Allen's do; other; unchecked"
    )
    derived_from_um: ColumnElement[int | None] = Column(
        comment="Spacing of the finer annotation from which it was derived; null = read from a file"
    )
    derived_from_sha256: ColumnElement[str | None] = Column(comment="array_sha256 of that annotation")
