"""Volumes: one row for each file that was published whole."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from bsv_store.catalog.database.models.base import Base, RowId


class StoredVolume(Base):
    """A volume of an experiment: where its file lies and what must be true of it."""

    __tablename__ = "volume"
    __table_args__ = (
        UniqueConstraint("experiment_id", "kind", "spacing_um"),
        CheckConstraint("encoding in ('sparse', 'dense')", name="encoding"),
    )

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    experiment_id: Mapped[int] = mapped_column(ForeignKey("experiment.id"))
    kind: Mapped[str] = mapped_column(comment="projection_density, injection_fraction, ...")
    spacing_um: Mapped[int]
    size_ap: Mapped[int] = mapped_column(comment="Voxels along AP")
    size_dv: Mapped[int] = mapped_column(comment="Voxels along DV")
    size_ml: Mapped[int] = mapped_column(comment="Voxels along ML")
    path: Mapped[str] = mapped_column(unique=True, comment="Relative to the store's folder")
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    file_sha256: Mapped[str]
    file_xxh3: Mapped[str] = mapped_column(comment="64 bits, 16 hexadecimal digits; checked on every read")
    array_sha256: Mapped[str] = mapped_column(comment="Of the decoded array: little-endian float32, C order")
    encoding: Mapped[str] = mapped_column(comment="sparse or dense")
    value_count: Mapped[int] = mapped_column(BigInteger, comment="Voxels stored: those not 0, or all of them")
    index_offset: Mapped[int | None] = mapped_column(
        BigInteger, comment="Where the indices lie in the file; null = dense"
    )
    value_offset: Mapped[int | None] = mapped_column(
        BigInteger, comment="Where the values lie in the file; null = dense, which is compressed"
    )
    no_data_voxels: Mapped[int] = mapped_column(BigInteger)
    source: Mapped[str] = mapped_column(comment="URL or file name that it came from")
    fetched_at: Mapped[datetime]
