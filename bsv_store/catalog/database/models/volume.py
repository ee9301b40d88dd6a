"""Volumes: one row for each published file, the hashes of the blocks of large ones, and when they were last used."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import BigInteger, CheckConstraint, Column, ColumnElement, ForeignKey, UniqueConstraint

from bsv_store.catalog.database.models.base import Base, RowId


class StoredVolume(Base):
    """A volume of an experiment: the path of its file, and hashes and facts to verify it."""

    __tablename__ = "volume"
    __table_args__ = (
        UniqueConstraint("experiment_id", "kind", "spacing_um"),
        CheckConstraint("encoding in ('sparse', 'dense')", name="encoding"),
    )

    id: ColumnElement[int] = Column(RowId, primary_key=True)
    experiment_id: ColumnElement[int] = Column(ForeignKey("experiment.id"))
    kind: ColumnElement[str] = Column(comment="projection_density, injection_fraction, ...")
    spacing_um: ColumnElement[int]
    size_ap: ColumnElement[int] = Column(comment="Voxels along AP")
    size_dv: ColumnElement[int] = Column(comment="Voxels along DV")
    size_ml: ColumnElement[int] = Column(comment="Voxels along ML")
    path: ColumnElement[str] = Column(unique=True, comment="Relative to the store's folder")
    size_bytes: ColumnElement[int] = Column(BigInteger)
    file_sha256: ColumnElement[str]
    file_xxh3: ColumnElement[str] = Column(comment="64 bits, 16 hexadecimal digits; checked on every read")
    array_sha256: ColumnElement[str] = Column(comment="Of the decoded array: little-endian float32, C order")
    encoding: ColumnElement[str] = Column(comment="sparse or dense")
    value_count: ColumnElement[int] = Column(
        BigInteger, comment="Number of stored voxels: those that are not 0, or all"
    )
    index_offset: ColumnElement[int | None] = Column(
        BigInteger, comment="Byte offset of the indices in the file; null = dense or chunked"
    )
    value_offset: ColumnElement[int | None] = Column(
        BigInteger, comment="Byte offset of the values in the file; null = dense or chunked"
    )
    no_data_voxels: ColumnElement[int] = Column(BigInteger)
    source: ColumnElement[str] = Column(comment="URL or file name of its origin")
    fetched_at: ColumnElement[datetime]


class VolumeBlockHashes(Base):
    """The hashes of the blocks of a file at 25 or 10 um, used to verify each part that is read.

    If there is no row, the whole file is verified before a part of it is read.
    """

    __tablename__ = "volume_block_hashes"

    volume_id: ColumnElement[int] = Column(
        ForeignKey("volume.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    hashes: ColumnElement[bytes] = Column(
        comment="XXH3-128 of each block, over its dataset, number and values, 16 bytes each"
    )


class VolumeUse(Base):
    """The last day on which a volume was read; without a row it was not read since it was stored."""

    __tablename__ = "volume_use"

    volume_id: ColumnElement[int] = Column(
        ForeignKey("volume.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    used_on: ColumnElement[date] = Column(comment="Last day on which it was read, UTC")
