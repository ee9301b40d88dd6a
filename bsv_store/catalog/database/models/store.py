"""The store itself, snapshots of ingested sources, claims of downloads, and changes of the catalog."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import BigInteger, CheckConstraint, Column, ColumnElement, ForeignKey, UniqueConstraint

from bsv_store.catalog.database.models.base import Base, RowId


class StoreInfo(Base):
    """The single row that identifies the store of this database."""

    __tablename__ = "store_info"
    __table_args__ = (CheckConstraint("id = 1", name="single_row"),)

    id: ColumnElement[int] = Column(primary_key=True, autoincrement=False, default=1)
    store_id: ColumnElement[str] = Column(comment="The same id is in store.toml in the store's folder")
    format_version: ColumnElement[int] = Column(comment="Version of the layout of the store's folder")
    created_at: ColumnElement[datetime]
    created_with: ColumnElement[str] = Column(comment="Version of bsv-store that created the store")


class StoreLink(Base):
    """The single row that says where the store's folder is, and whether the catalog was moved to another database."""

    __tablename__ = "store_link"
    __table_args__ = (CheckConstraint("id = 1", name="single_row"),)

    id: ColumnElement[int] = Column(primary_key=True, autoincrement=False, default=1)
    folder: ColumnElement[str | None] = Column(
        comment="Identity of the store's folder, as JSON; null = not known, or SQLite, which lies in the folder"
    )
    moved_to: ColumnElement[str | None] = Column(
        comment="The database that has the catalog instead: a URL, or sqlite; null = this one has it"
    )


class SourceSnapshot(Base):
    """An ingested list, ontology or set of tables: its source, date and size."""

    __tablename__ = "source_snapshot"
    __table_args__ = (CheckConstraint("what in ('structures', 'experiments', 'unionizes')", name="what"),)

    id: ColumnElement[int] = Column(RowId, primary_key=True)
    what: ColumnElement[str] = Column(comment="structures, experiments or unionizes")
    kind: ColumnElement[str] = Column(comment="Kind of source: api, csv, csv_2016, file")
    source: ColumnElement[str] = Column(comment="URL or file name")
    upstream_date: ColumnElement[date | None] = Column(comment="Date of the content upstream, if known")
    taken_at: ColumnElement[datetime]
    content_sha256: ColumnElement[str] = Column(
        index=True, comment="Hash of the content, independent of its file format"
    )
    row_count: ColumnElement[int]
    added: ColumnElement[int]
    changed: ColumnElement[int]
    withdrawn: ColumnElement[int]


class Claim(Base):
    """A lease on an object that a process is downloading; others wait until it is stored or the lease expires."""

    __tablename__ = "claim"

    object_key: ColumnElement[str] = Column(primary_key=True, comment="e.g. volume/projection_density/100/158375425")
    owner: ColumnElement[str] = Column(comment="host, process and a random part")
    token: ColumnElement[int] = Column(
        BigInteger, comment="Increases with each new owner, so that a worker that lost its claim is detected"
    )
    claimed_at: ColumnElement[datetime]
    expires_at: ColumnElement[datetime] = Column(comment="Time of the database's clock")


class CatalogChange(Base):
    """A change of the data that averages depend on; triggers add a row for each.

    The number of rows that a transaction sees, plus the number of rows that were removed (`CatalogChangeBase`),
    identifies the state of the catalog. Writers do not wait for each other.
    """

    __tablename__ = "catalog_change"

    id: ColumnElement[int] = Column(RowId, primary_key=True)
    changed_at: ColumnElement[datetime]


class CatalogChangeBase(Base):
    """The single row with the number of removed rows of `CatalogChange`, which a trigger counts."""

    __tablename__ = "catalog_change_base"
    __table_args__ = (CheckConstraint("id = 1", name="single_row"),)

    id: ColumnElement[int] = Column(primary_key=True, autoincrement=False)
    changes: ColumnElement[int] = Column(BigInteger, comment="Number of rows that were removed from catalog_change")


class ExperimentRevision(Base):
    """The record of an experiment in a list: one row for each distinct content."""

    __tablename__ = "experiment_revision"
    __table_args__ = (UniqueConstraint("experiment_id", "kind", "sha256"),)

    id: ColumnElement[int] = Column(RowId, primary_key=True)
    experiment_id: ColumnElement[int] = Column(ForeignKey("experiment.id"))
    kind: ColumnElement[str] = Column(comment="Kind of list: api, csv, csv_2016")
    sha256: ColumnElement[str]
    payload: ColumnElement[str] = Column(comment="The record as canonical JSON")


class SnapshotMember(Base):
    """The revision of each experiment in a snapshot."""

    __tablename__ = "snapshot_member"
    __table_args__ = {"sqlite_with_rowid": False}

    snapshot_id: ColumnElement[int] = Column(ForeignKey("source_snapshot.id"), primary_key=True, autoincrement=False)
    revision_id: ColumnElement[int] = Column(
        ForeignKey("experiment_revision.id"), primary_key=True, autoincrement=False, index=True
    )
