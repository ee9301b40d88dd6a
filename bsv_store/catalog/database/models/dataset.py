"""Datasets: named results, their immutable versions, groups, members, checks and tags."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, ForeignKeyConstraint, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from bsv_store.catalog.database.models.base import Base, RowId


class Dataset(Base):
    """A named result; its versions hold the numbers."""

    __tablename__ = "dataset"

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[datetime]
    created_by: Mapped[str]
    last_number: Mapped[int] = mapped_column(comment="Highest version number ever given; numbers are not given twice")


class DatasetVersion(Base):
    """One version: which question, over which inputs, with which result. Immutable."""

    __tablename__ = "dataset_version"
    __table_args__ = (UniqueConstraint("dataset_id", "number"), UniqueConstraint("dataset_id", "fingerprint"))

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    dataset_id: Mapped[int] = mapped_column(ForeignKey("dataset.id"))
    number: Mapped[int]
    recipe: Mapped[str] = mapped_column(comment="Canonical JSON")
    fingerprint: Mapped[str] = mapped_column(comment="SHA-256 over recipe, inputs and algorithm version")
    algorithm_version: Mapped[int]
    content_sha256: Mapped[str] = mapped_column(comment="Of the result arrays, little-endian, C order")
    path: Mapped[str] = mapped_column(comment="Relative to the store's folder")
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    file_sha256: Mapped[str]
    spacing_um: Mapped[int]
    group_count: Mapped[int]
    member_count: Mapped[int] = mapped_column(comment="Experiments that went into the result")
    created_at: Mapped[datetime]
    created_by: Mapped[str]
    software: Mapped[str] = mapped_column(comment="Versions of bsv-store, NumPy, h5py and Python")


class DatasetGroup(Base):
    """A group of a version, in the order of the result's first axis."""

    __tablename__ = "dataset_group"
    __table_args__ = {"sqlite_with_rowid": False}

    version_id: Mapped[int] = mapped_column(ForeignKey("dataset_version.id"), primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, comment="From 0")
    label: Mapped[str]
    lower: Mapped[float | None] = mapped_column(comment="um, lower edge of a coordinate bin")
    upper: Mapped[float | None] = mapped_column(comment="um, upper edge of a coordinate bin")
    center: Mapped[float | None] = mapped_column(comment="um, mean injection coordinate of the members")
    member_count: Mapped[int]
    axis: Mapped[str | None] = mapped_column(comment="AP, DV or ML: what lower, upper and center lie along")
    second_axis: Mapped[str | None] = mapped_column(comment="The same where two coordinates are crossed")
    second_lower: Mapped[float | None] = mapped_column(comment="um, lower edge along the second axis")
    second_upper: Mapped[float | None] = mapped_column(comment="um, upper edge along the second axis")
    second_center: Mapped[float | None] = mapped_column(comment="um, mean injection coordinate along the second axis")


class DatasetMember(Base):
    """An experiment that was asked for: the group it went into, or why it was left out."""

    __tablename__ = "dataset_member"
    __table_args__ = (
        ForeignKeyConstraint(["version_id", "group_number"], ["dataset_group.version_id", "dataset_group.number"]),
        {"sqlite_with_rowid": False},
    )

    version_id: Mapped[int] = mapped_column(ForeignKey("dataset_version.id"), primary_key=True, autoincrement=False)
    experiment_id: Mapped[int] = mapped_column(
        ForeignKey("experiment.id"), primary_key=True, autoincrement=False, index=True
    )
    group_number: Mapped[int | None] = mapped_column(comment="null = left out")
    left_out_reason: Mapped[str | None]
    array_sha256: Mapped[str | None] = mapped_column(comment="Hash of the volume that went in")
    divisor: Mapped[float | None] = mapped_column(comment="What the volume was divided by; 1 = not normalized")
    injected_hemisphere: Mapped[str | None]
    injection_fraction_sha256: Mapped[str | None] = mapped_column(
        comment="Hash of the volume whose voxels above 0 were left out"
    )
    data_mask_sha256: Mapped[str | None] = mapped_column(comment="Hash of the volume that gave the weights")


class DatasetCheck(Base):
    """A version was computed again from its recorded inputs, and what came of it."""

    __tablename__ = "dataset_check"
    __table_args__ = (
        CheckConstraint(
            "outcome IN ('identical', 'different', 'inputs missing', 'inputs damaged')",
            name="outcome",
        ),
    )

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    version_id: Mapped[int] = mapped_column(ForeignKey("dataset_version.id"), index=True)
    checked_at: Mapped[datetime]
    checked_by: Mapped[str]
    software: Mapped[str] = mapped_column(comment="Versions that computed it again")
    outcome: Mapped[str] = mapped_column(comment="identical, different, inputs missing or damaged")
    file_state: Mapped[str] = mapped_column(comment="The stored result then: intact or damaged")
    largest_difference: Mapped[float | None] = mapped_column(
        comment="Of a mean, absolute; null where nothing could be compared"
    )
    voxels: Mapped[int | None] = mapped_column(BigInteger, comment="Voxels of all groups whose mean differs")
    was_restored: Mapped[bool] = mapped_column(comment="A damaged file was replaced by an equal one")
    note: Mapped[str | None] = mapped_column(comment="What was missing or damaged")


class DatasetAnswer(Base):
    """At which state of the catalog a version was last seen to answer its recipe."""

    __tablename__ = "dataset_answer"

    version_id: Mapped[int] = mapped_column(ForeignKey("dataset_version.id"), primary_key=True, autoincrement=False)
    change_count: Mapped[int] = mapped_column(BigInteger, comment="Rows of catalog_change then")
    release: Mapped[str] = mapped_column(comment="Version of bsv-store that saw it")


class DatasetTag(Base):
    """A name for a version that stays where it was put."""

    __tablename__ = "dataset_tag"

    dataset_id: Mapped[int] = mapped_column(ForeignKey("dataset.id"), primary_key=True, autoincrement=False)
    tag: Mapped[str] = mapped_column(primary_key=True)
    version_id: Mapped[int] = mapped_column(ForeignKey("dataset_version.id"), index=True)
    created_at: Mapped[datetime]
    created_by: Mapped[str]
