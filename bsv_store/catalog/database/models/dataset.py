"""Datasets: named results, their immutable versions, groups, members, checks and tags."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ColumnElement,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    UniqueConstraint,
)

from bsv_store.catalog.database.models.base import Base, RowId


class Dataset(Base):
    """A named series of versions."""

    __tablename__ = "dataset"

    id: ColumnElement[int] = Column(RowId, primary_key=True)
    name: ColumnElement[str] = Column(unique=True)
    created_at: ColumnElement[datetime]
    created_by: ColumnElement[str]
    last_number: ColumnElement[int] = Column(comment="Highest version number ever assigned; numbers are not reused")


class DatasetVersion(Base):
    """One version: its recipe, fingerprint of the inputs, and result file. Immutable."""

    __tablename__ = "dataset_version"
    __table_args__ = (
        UniqueConstraint("dataset_id", "number"),
        # The migration restricts this index to rows where imported_at is null, as it does for exclusions.
        Index("uq_dataset_version_computed", "dataset_id", "fingerprint", unique=True),
    )

    id: ColumnElement[int] = Column(RowId, primary_key=True)
    dataset_id: ColumnElement[int] = Column(ForeignKey("dataset.id"))
    number: ColumnElement[int]
    recipe: ColumnElement[str] = Column(comment="Canonical JSON")
    fingerprint: ColumnElement[str] = Column(comment="SHA-256 over recipe, inputs and algorithm version")
    algorithm_version: ColumnElement[int]
    content_sha256: ColumnElement[str] = Column(comment="Of the result arrays, little-endian, C order")
    path: ColumnElement[str] = Column(comment="Relative to the store's folder")
    size_bytes: ColumnElement[int] = Column(BigInteger)
    file_sha256: ColumnElement[str]
    spacing_um: ColumnElement[int]
    group_count: ColumnElement[int]
    member_count: ColumnElement[int] = Column(comment="Experiments in the result")
    created_at: ColumnElement[datetime]
    created_by: ColumnElement[str]
    software: ColumnElement[str] = Column(comment="Versions of bsv-store, NumPy, h5py and Python")
    imported_at: ColumnElement[datetime | None] = Column(
        comment="Time of the import from a bundle, UTC; null = computed in this store"
    )
    imported_by: ColumnElement[str | None] = Column(comment="User who imported it")
    trusted_at: ColumnElement[datetime | None] = Column(comment="Time when a user marked it as trusted, UTC")
    trusted_by: ColumnElement[str | None] = Column(comment="User who marked it as trusted")


class DatasetGroup(Base):
    """A group of a version, in the order of the result's first axis."""

    __tablename__ = "dataset_group"
    __table_args__ = {"sqlite_with_rowid": False}

    version_id: ColumnElement[int] = Column(ForeignKey("dataset_version.id"), primary_key=True, autoincrement=False)
    number: ColumnElement[int] = Column(primary_key=True, autoincrement=False, comment="From 0")
    label: ColumnElement[str]
    lower: ColumnElement[float | None] = Column(comment="um, lower edge of a coordinate bin")
    upper: ColumnElement[float | None] = Column(comment="um, upper edge of a coordinate bin")
    center: ColumnElement[float | None] = Column(comment="um, mean injection coordinate of the members")
    member_count: ColumnElement[int]
    axis: ColumnElement[str | None] = Column(comment="AP, DV or ML: axis of lower, upper and center")
    second_axis: ColumnElement[str | None] = Column(comment="Second axis, if two coordinates are crossed")
    second_lower: ColumnElement[float | None] = Column(comment="um, lower edge along the second axis")
    second_upper: ColumnElement[float | None] = Column(comment="um, upper edge along the second axis")
    second_center: ColumnElement[float | None] = Column(comment="um, mean injection coordinate along the second axis")


class DatasetMember(Base):
    """A selected experiment: its group, or the reason why it was left out."""

    __tablename__ = "dataset_member"
    __table_args__ = (
        ForeignKeyConstraint(["version_id", "group_number"], ["dataset_group.version_id", "dataset_group.number"]),
        {"sqlite_with_rowid": False},
    )

    version_id: ColumnElement[int] = Column(ForeignKey("dataset_version.id"), primary_key=True, autoincrement=False)
    experiment_id: ColumnElement[int] = Column(
        ForeignKey("experiment.id"), primary_key=True, autoincrement=False, index=True
    )
    group_number: ColumnElement[int | None] = Column(comment="null = left out")
    left_out_reason: ColumnElement[str | None]
    array_sha256: ColumnElement[str | None] = Column(comment="Hash of the volume that was averaged")
    divisor: ColumnElement[float | None] = Column(comment="What the volume was divided by; 1 = not normalized")
    injected_hemisphere: ColumnElement[str | None]
    injection_fraction_sha256: ColumnElement[str | None] = Column(
        comment="Hash of the injection fraction, whose voxels above 0 were not counted"
    )
    data_mask_sha256: ColumnElement[str | None] = Column(comment="Hash of the data mask with the weights")
    divisor_source: ColumnElement[str | None] = Column(
        comment="list: the injection volume of the experiment list; null: the unionize rows, or not normalized"
    )
    weight: ColumnElement[float | None] = Column(
        comment="Weight in the average; null = left out, not weighted, or a version from before revision 0021, "
        "whose result file has it"
    )


class DatasetCheck(Base):
    """A rebuild of a version from its recorded inputs, with the outcome."""

    __tablename__ = "dataset_check"
    __table_args__ = (
        CheckConstraint(
            "outcome IN ('identical', 'different', 'inputs missing', 'inputs damaged')",
            name="outcome",
        ),
    )

    id: ColumnElement[int] = Column(RowId, primary_key=True)
    version_id: ColumnElement[int] = Column(ForeignKey("dataset_version.id"), index=True)
    checked_at: ColumnElement[datetime]
    checked_by: ColumnElement[str]
    software: ColumnElement[str] = Column(comment="Versions of the software that rebuilt it")
    outcome: ColumnElement[str] = Column(comment="identical, different, inputs missing or damaged")
    file_state: ColumnElement[str] = Column(comment="State of the stored result at that time: intact or damaged")
    largest_difference: ColumnElement[float | None] = Column(
        comment="Largest absolute difference of a mean; null if nothing could be compared"
    )
    voxels: ColumnElement[int | None] = Column(BigInteger, comment="Voxels of all groups whose mean differs")
    was_restored: ColumnElement[bool] = Column(comment="Whether a damaged file was replaced by an identical one")
    note: ColumnElement[str | None] = Column(comment="What was missing or damaged")


class DatasetAnswer(Base):
    """The state of the catalog in which a version was last known to answer its recipe."""

    __tablename__ = "dataset_answer"

    version_id: ColumnElement[int] = Column(ForeignKey("dataset_version.id"), primary_key=True, autoincrement=False)
    change_count: ColumnElement[int] = Column(BigInteger, comment="Number of rows of catalog_change at that time")
    release: ColumnElement[str] = Column(comment="Version of bsv-store that recorded it")


class DatasetTag(Base):
    """A name for a version, which does not move when versions are added."""

    __tablename__ = "dataset_tag"

    dataset_id: ColumnElement[int] = Column(ForeignKey("dataset.id"), primary_key=True, autoincrement=False)
    tag: ColumnElement[str] = Column(primary_key=True)
    version_id: ColumnElement[int] = Column(ForeignKey("dataset_version.id"), index=True)
    created_at: ColumnElement[datetime]
    created_by: ColumnElement[str]
