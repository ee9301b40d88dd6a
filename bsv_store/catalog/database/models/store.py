"""The store itself, what was taken in from where, and who is at work on what."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from bsv_store.catalog.database.models.base import Base, RowId


class StoreInfo(Base):
    """The one row that says which store this database belongs to."""

    __tablename__ = "store_info"
    __table_args__ = (CheckConstraint("id = 1", name="single_row"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, default=1)
    store_id: Mapped[str] = mapped_column(comment="The same id stands in store.toml beside the files")
    format_version: Mapped[int] = mapped_column(comment="Version of the layout of the store's folder")
    created_at: Mapped[datetime]
    created_with: Mapped[str] = mapped_column(comment="Version of bsv-store that made the store")


class SourceSnapshot(Base):
    """One list, ontology or set of tables as it was taken in: from where, when, how much."""

    __tablename__ = "source_snapshot"
    __table_args__ = (CheckConstraint("what in ('structures', 'experiments', 'unionizes')", name="what"),)

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    what: Mapped[str] = mapped_column(comment="structures, experiments or unionizes")
    kind: Mapped[str] = mapped_column(comment="Kind of source: api, csv, csv_2016, file")
    source: Mapped[str] = mapped_column(comment="URL or file name")
    upstream_date: Mapped[date | None] = mapped_column(comment="Day the content was made upstream, where known")
    taken_at: Mapped[datetime]
    content_sha256: Mapped[str] = mapped_column(
        index=True, comment="Hash of the content, independent of its file format"
    )
    row_count: Mapped[int]
    added: Mapped[int]
    changed: Mapped[int]
    withdrawn: Mapped[int]


class Claim(Base):
    """A lease: somebody is bringing this object; others wait until it is there or the lease has run out."""

    __tablename__ = "claim"

    object_key: Mapped[str] = mapped_column(primary_key=True, comment="e.g. volume/projection_density/100/158375425")
    owner: Mapped[str] = mapped_column(comment="host, process and a random part")
    token: Mapped[int] = mapped_column(
        BigInteger, comment="Grows with every new owner; a late worker's token no longer fits"
    )
    claimed_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(comment="By the database's clock")


class CatalogChange(Base):
    """Rows that triggers add at every change of what averages are made from, whoever makes it.

    None is ever changed or removed, so their number, as a transaction sees it, names one state of the catalog: it grows
    by every change that has become visible, and no writer waits for another.
    """

    __tablename__ = "catalog_change"

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    changed_at: Mapped[datetime]


class ExperimentRevision(Base):
    """What a list said of one experiment: one row for each distinct content."""

    __tablename__ = "experiment_revision"
    __table_args__ = (UniqueConstraint("experiment_id", "kind", "sha256"),)

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    experiment_id: Mapped[int] = mapped_column(ForeignKey("experiment.id"))
    kind: Mapped[str] = mapped_column(comment="Kind of list: api, csv, csv_2016")
    sha256: Mapped[str]
    payload: Mapped[str] = mapped_column(comment="The record as canonical JSON")


class SnapshotMember(Base):
    """Which revision of each experiment a snapshot holds."""

    __tablename__ = "snapshot_member"
    __table_args__ = {"sqlite_with_rowid": False}

    snapshot_id: Mapped[int] = mapped_column(ForeignKey("source_snapshot.id"), primary_key=True, autoincrement=False)
    revision_id: Mapped[int] = mapped_column(
        ForeignKey("experiment_revision.id"), primary_key=True, autoincrement=False, index=True
    )
