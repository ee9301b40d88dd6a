"""The annotation of the CCF: one row for each spacing that was published whole."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger
from sqlalchemy.orm import Mapped, mapped_column

from bsv_store.catalog.database.models.base import Base, RowId


class StoredAnnotation(Base):
    """The annotation at one spacing: where its file lies and what must be true of it. It belongs to no experiment."""

    __tablename__ = "annotation"

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    spacing_um: Mapped[int] = mapped_column(unique=True, comment="Edge of a voxel, um")
    frame: Mapped[str] = mapped_column(comment="Coordinate frame, with its version")
    path: Mapped[str] = mapped_column(unique=True, comment="Relative to the store's folder")
    size_bytes: Mapped[int] = mapped_column(BigInteger, comment="Size of the file")
    file_sha256: Mapped[str] = mapped_column(comment="Of the file's bytes")
    file_xxh3: Mapped[str] = mapped_column(comment="64 bits, 16 hexadecimal digits; checked on every read")
    array_sha256: Mapped[str] = mapped_column(comment="Of the decoded array: little-endian uint32, C order")
    structure_count: Mapped[int] = mapped_column(comment="Structures that own a voxel themselves")
    annotated_voxels: Mapped[int] = mapped_column(BigInteger, comment="Voxels that belong to a structure")
    source: Mapped[str] = mapped_column(comment="URL or file name that it came from")
    fetched_at: Mapped[datetime] = mapped_column(comment="When it was taken in, UTC")
