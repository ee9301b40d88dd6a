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
    UniqueConstraint,
)

from bsv_store.catalog.database.models.base import Base, RowId


class Dataset(Base):
    """A named result; its versions hold the numbers."""

    __tablename__ = "dataset"

    id: ColumnElement[int] = Column(RowId, primary_key=True)
    name: ColumnElement[str] = Column(unique=True)
    created_at: ColumnElement[datetime]
    created_by: ColumnElement[str]
    last_number: ColumnElement[int] = Column(comment="Highest version number ever given; numbers are not given twice")


class DatasetVersion(Base):
    """One version: which question, over which inputs, with which result. Immutable."""

    __tablename__ = "dataset_version"
    __table_args__ = (UniqueConstraint("dataset_id", "number"), UniqueConstraint("dataset_id", "fingerprint"))

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
    member_count: ColumnElement[int] = Column(comment="Experiments that went into the result")
    created_at: ColumnElement[datetime]
    created_by: ColumnElement[str]
    software: ColumnElement[str] = Column(comment="Versions of bsv-store, NumPy, h5py and Python")


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
    axis: ColumnElement[str | None] = Column(comment="AP, DV or ML: what lower, upper and center lie along")
    second_axis: ColumnElement[str | None] = Column(comment="The same where two coordinates are crossed")
    second_lower: ColumnElement[float | None] = Column(comment="um, lower edge along the second axis")
    second_upper: ColumnElement[float | None] = Column(comment="um, upper edge along the second axis")
    second_center: ColumnElement[float | None] = Column(comment="um, mean injection coordinate along the second axis")


class DatasetMember(Base):
    """An experiment that was asked for: the group it went into, or why it was left out."""

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
    array_sha256: ColumnElement[str | None] = Column(comment="Hash of the volume that went in")
    divisor: ColumnElement[float | None] = Column(comment="What the volume was divided by; 1 = not normalized")
    injected_hemisphere: ColumnElement[str | None]
    injection_fraction_sha256: ColumnElement[str | None] = Column(
        comment="Hash of the volume whose voxels above 0 were left out"
    )
    data_mask_sha256: ColumnElement[str | None] = Column(comment="Hash of the volume that gave the weights")


class DatasetCheck(Base):
    """A version was computed again from its recorded inputs, and what came of it."""

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
    software: ColumnElement[str] = Column(comment="Versions that computed it again")
    outcome: ColumnElement[str] = Column(comment="identical, different, inputs missing or damaged")
    file_state: ColumnElement[str] = Column(comment="The stored result then: intact or damaged")
    largest_difference: ColumnElement[float | None] = Column(
        comment="Of a mean, absolute; null where nothing could be compared"
    )
    voxels: ColumnElement[int | None] = Column(BigInteger, comment="Voxels of all groups whose mean differs")
    was_restored: ColumnElement[bool] = Column(comment="A damaged file was replaced by an equal one")
    note: ColumnElement[str | None] = Column(comment="What was missing or damaged")


class DatasetAnswer(Base):
    """At which state of the catalog a version was last seen to answer its recipe."""

    __tablename__ = "dataset_answer"

    version_id: ColumnElement[int] = Column(ForeignKey("dataset_version.id"), primary_key=True, autoincrement=False)
    change_count: ColumnElement[int] = Column(BigInteger, comment="Rows of catalog_change then")
    release: ColumnElement[str] = Column(comment="Version of bsv-store that saw it")


class DatasetTag(Base):
    """A name for a version that stays where it was put."""

    __tablename__ = "dataset_tag"

    dataset_id: ColumnElement[int] = Column(ForeignKey("dataset.id"), primary_key=True, autoincrement=False)
    tag: ColumnElement[str] = Column(primary_key=True)
    version_id: ColumnElement[int] = Column(ForeignKey("dataset_version.id"), index=True)
    created_at: ColumnElement[datetime]
    created_by: ColumnElement[str]
