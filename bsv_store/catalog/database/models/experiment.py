"""Experiments, their lines and injection structures, and the unionize records."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, ColumnElement, ForeignKey, Index

from bsv_store.catalog.database.models.base import Base, RowId


class TransgenicLine(Base):
    """A transgenic line. A mouse is wild type if it has no line, or only lines of the type 'wild type'."""

    __tablename__ = "transgenic_line"

    id: ColumnElement[int] = Column(RowId, primary_key=True)
    name: ColumnElement[str] = Column(unique=True)
    allen_id: ColumnElement[int | None] = Column(BigInteger)
    type_name: ColumnElement[str | None] = Column(comment="driver, reporter or wild type; null = unknown")
    description: ColumnElement[str | None]
    stock_number: ColumnElement[str | None]


class Experiment(Base):
    """A tracing experiment (section data set), from the newest list of the most trusted kind."""

    __tablename__ = "experiment"
    __table_args__ = (
        CheckConstraint("injected_hemisphere in ('left', 'right')", name="injected_hemisphere"),
        CheckConstraint("hemisphere_source in ('unionize', 'coordinate')", name="hemisphere_source"),
    )

    id: ColumnElement[int] = Column(BigInteger, primary_key=True, autoincrement=False, comment="Allen's id")
    specimen_name: ColumnElement[str | None]
    product_id: ColumnElement[int | None]
    primary_structure_id: ColumnElement[int] = Column(ForeignKey("structure.id"), index=True)
    transgenic_line: ColumnElement[str | None] = Column(
        comment="Names of the lines that are not wild type, sorted, joined by '/'; null = wild type"
    )
    strain: ColumnElement[str | None]
    sex: ColumnElement[str | None]  # M or F; the words of the lists are in experiment_revision
    injection_volume: ColumnElement[float | None] = Column(comment="mm3, from the list")
    injection_ap: ColumnElement[int | None] = Column(comment="um; the densest voxel of the 10 um injection grid")
    injection_dv: ColumnElement[int | None] = Column(comment="um")
    injection_ml: ColumnElement[int | None] = Column(comment="um; left of the midline below 5,700")
    projection_volume: ColumnElement[float | None] = Column(comment="mm3 outside the injection, from the list")
    injected_hemisphere: ColumnElement[str | None] = Column(comment="left or right")
    hemisphere_source: ColumnElement[str | None] = Column(
        comment="unionize: the side with the larger injection; coordinate: if no unionize rows are in the store"
    )
    injection_volume_left: ColumnElement[float | None] = Column(comment="mm3, from the unionize rows of the root")
    injection_volume_right: ColumnElement[float | None] = Column(comment="mm3, from the unionize rows of the root")
    storage_directory: ColumnElement[str | None]
    source_kind: ColumnElement[str] = Column(comment="Kind of list that the row is from: api, csv, csv_2016")
    withdrawn: ColumnElement[bool] = Column(
        comment="Not in the current list: the newest API list, or else the newest CSV export"
    )


class ExperimentLine(Base):
    """The lines of an experiment's mouse; some have two."""

    __tablename__ = "experiment_line"
    __table_args__ = {"sqlite_with_rowid": False}

    experiment_id: ColumnElement[int] = Column(ForeignKey("experiment.id"), primary_key=True, autoincrement=False)
    transgenic_line_id: ColumnElement[int] = Column(
        ForeignKey("transgenic_line.id"), primary_key=True, autoincrement=False, index=True
    )


class ExperimentInjectionStructure(Base):
    """The structures that an injection touched, primary and secondary."""

    __tablename__ = "experiment_injection_structure"
    __table_args__ = {"sqlite_with_rowid": False}

    experiment_id: ColumnElement[int] = Column(ForeignKey("experiment.id"), primary_key=True, autoincrement=False)
    structure_id: ColumnElement[int] = Column(
        ForeignKey("structure.id"), primary_key=True, autoincrement=False, index=True
    )


class Unionize(Base):
    """Signal of one experiment in one structure and hemisphere (the API's ProjectionStructureUnionize).

    "No row" means "no overlap". Rows with ``is_injection`` and rows without are disjoint; no row is their sum.
    """

    __tablename__ = "unionize"
    __table_args__ = (
        # Not "in (1, 2, 3)": SQLite would build a table of the three values for each row, a third of the loading time.
        CheckConstraint("hemisphere_id = 1 OR hemisphere_id = 2 OR hemisphere_id = 3", name="hemisphere_id"),
        # Covers target searches and the projection matrix by the four common measures; for other measures, each row is
        # looked up in the table. The experiment comes before the measures, so that loading appends to the part of each
        # target.
        Index(
            "ix_unionize_target",
            "structure_id",
            "is_injection",
            "hemisphere_id",
            "experiment_id",
            "projection_volume",
            "normalized_projection_volume",
            "projection_density",
            "projection_energy",
        ),
        {"sqlite_with_rowid": False},
    )

    # No foreign keys: on Postgres they cost more than half of the loading rate. Ingest checks both ids and locks the
    # experiments, and neither experiments nor structures are ever deleted.
    experiment_id: ColumnElement[int] = Column(BigInteger, primary_key=True, autoincrement=False)
    structure_id: ColumnElement[int] = Column(BigInteger, primary_key=True, autoincrement=False)
    hemisphere_id: ColumnElement[int] = Column(primary_key=True, autoincrement=False, comment="1 left, 2 right, 3 both")
    is_injection: ColumnElement[bool] = Column(primary_key=True, comment="Inside the injection site")
    id: ColumnElement[int] = Column(BigInteger, comment="Allen's id of the record")
    sum_pixels: ColumnElement[float]
    sum_projection_pixels: ColumnElement[float]
    sum_pixel_intensity: ColumnElement[float]
    sum_projection_pixel_intensity: ColumnElement[float]
    projection_density: ColumnElement[float] = Column(comment="0 to 1: projecting pixels / pixels")
    projection_intensity: ColumnElement[float]
    projection_energy: ColumnElement[float]
    volume: ColumnElement[float] = Column(comment="mm3")
    projection_volume: ColumnElement[float] = Column(comment="mm3")
    normalized_projection_volume: ColumnElement[float] = Column(comment="projection_volume / injection volume")
    max_voxel_density: ColumnElement[float]
    max_voxel_x: ColumnElement[int] = Column(comment="um, AP; 0 where the density is 0")
    max_voxel_y: ColumnElement[int] = Column(comment="um, DV")
    max_voxel_z: ColumnElement[int] = Column(comment="um, ML")


class UnionizeCoverage(Base):
    """A half of an experiment's unionize table that is completely in the store: there, "no row" means "no overlap"."""

    __tablename__ = "unionize_coverage"
    __table_args__ = (
        CheckConstraint("part in ('injection', 'projection')", name="part"),
        {"sqlite_with_rowid": False},
    )

    experiment_id: ColumnElement[int] = Column(ForeignKey("experiment.id"), primary_key=True, autoincrement=False)
    part: ColumnElement[str] = Column(primary_key=True, comment="injection or projection")
    snapshot_id: ColumnElement[int] = Column(ForeignKey("source_snapshot.id"), index=True)
    row_count: ColumnElement[int]
    content_sha256: ColumnElement[str] = Column(comment="Hash of the rows, independent of their file format")
    remark: ColumnElement[str | None] = Column(comment="What was overridden when the rows were stored; null = nothing")


class UnionizeRevision(Base):
    """A half of an experiment's unionize table that was replaced: its hash, size and origin, without its rows."""

    __tablename__ = "unionize_revision"
    __table_args__ = (CheckConstraint("part in ('injection', 'projection')", name="part"),)

    id: ColumnElement[int] = Column(RowId, primary_key=True)
    experiment_id: ColumnElement[int] = Column(ForeignKey("experiment.id"), index=True)
    part: ColumnElement[str] = Column(comment="injection or projection")
    snapshot_id: ColumnElement[int] = Column(
        ForeignKey("source_snapshot.id"), comment="The snapshot that stored the rows"
    )
    replaced_by_id: ColumnElement[int] = Column(
        ForeignKey("source_snapshot.id"), comment="The snapshot that replaced them"
    )
    row_count: ColumnElement[int]
    content_sha256: ColumnElement[str] = Column(comment="Hash of the rows, independent of their file format")
    injection_volume: ColumnElement[float | None] = Column(comment="mm3, of the root; null for rows outside it")
    remark: ColumnElement[str | None] = Column(comment="What was overridden when the rows were stored")
