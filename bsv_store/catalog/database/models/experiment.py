"""Experiments, their lines and injection structures, and the unionize records."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column, relationship

from bsv_store.catalog.database.models.base import Base, RowId
from bsv_store.catalog.database.models.ontology import Structure


class TransgenicLine(Base):
    """A transgenic line. A mouse is wild type if it has no line, or only lines of the type 'wild type'."""

    __tablename__ = "transgenic_line"

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    allen_id: Mapped[int | None] = mapped_column(BigInteger)
    type_name: Mapped[str | None] = mapped_column(comment="driver, reporter or wild type; null where no list says")
    description: Mapped[str | None]
    stock_number: Mapped[str | None]


class Experiment(Base):
    """A tracing experiment (section data set) as the newest list of the best kind has it."""

    __tablename__ = "experiment"
    __table_args__ = (
        CheckConstraint("injected_hemisphere in ('left', 'right')", name="injected_hemisphere"),
        CheckConstraint("hemisphere_source in ('unionize', 'coordinate')", name="hemisphere_source"),
    )

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False, comment="Allen's id")
    specimen_name: Mapped[str | None]
    product_id: Mapped[int | None]
    primary_structure_id: Mapped[int] = mapped_column(ForeignKey("structure.id"), index=True)
    transgenic_line: Mapped[str | None] = mapped_column(
        comment="Names of the lines that are not wild type, sorted, joined by '/'; null = wild type"
    )
    strain: Mapped[str | None]
    sex: Mapped[str | None]
    injection_volume: Mapped[float | None] = mapped_column(comment="mm3, as the list has it")
    injection_ap: Mapped[int | None] = mapped_column(comment="um; the densest voxel of the 10 um injection grid")
    injection_dv: Mapped[int | None] = mapped_column(comment="um")
    injection_ml: Mapped[int | None] = mapped_column(comment="um; left of the midline below 5,700")
    projection_volume: Mapped[float | None] = mapped_column(comment="mm3 outside the injection, as the list has it")
    injected_hemisphere: Mapped[str | None] = mapped_column(comment="left or right")
    hemisphere_source: Mapped[str | None] = mapped_column(
        comment="unionize: the side with the larger injection; coordinate: where no unionize rows are known"
    )
    injection_volume_left: Mapped[float | None] = mapped_column(comment="mm3, from the unionize rows of the root")
    injection_volume_right: Mapped[float | None] = mapped_column(comment="mm3, from the unionize rows of the root")
    storage_directory: Mapped[str | None]
    source_kind: Mapped[str] = mapped_column(comment="Kind of list that the row follows: api, csv, csv_2016")
    withdrawn: Mapped[bool] = mapped_column(
        comment="Not in the list that has the last word: the newest API list, else the newest CSV"
    )

    primary_structure: Mapped[Structure] = relationship()
    lines: Mapped[list[TransgenicLine]] = relationship(secondary="experiment_line", order_by=TransgenicLine.name)
    injection_structures: Mapped[list[Structure]] = relationship(
        secondary="experiment_injection_structure", order_by=Structure.graph_order
    )


class ExperimentLine(Base):
    """The lines of an experiment's mouse; some have two."""

    __tablename__ = "experiment_line"
    __table_args__ = {"sqlite_with_rowid": False}

    experiment_id: Mapped[int] = mapped_column(ForeignKey("experiment.id"), primary_key=True, autoincrement=False)
    transgenic_line_id: Mapped[int] = mapped_column(
        ForeignKey("transgenic_line.id"), primary_key=True, autoincrement=False, index=True
    )


class ExperimentInjectionStructure(Base):
    """The structures that an injection touched, primary and secondary."""

    __tablename__ = "experiment_injection_structure"
    __table_args__ = {"sqlite_with_rowid": False}

    experiment_id: Mapped[int] = mapped_column(ForeignKey("experiment.id"), primary_key=True, autoincrement=False)
    structure_id: Mapped[int] = mapped_column(
        ForeignKey("structure.id"), primary_key=True, autoincrement=False, index=True
    )


class Unionize(Base):
    """Signal of one experiment in one structure and hemisphere (the API's ProjectionStructureUnionize).

    "No row" means "no overlap". Rows with ``is_injection`` and rows without are disjoint; there is no total.
    """

    __tablename__ = "unionize"
    __table_args__ = (
        # Not "in (1, 2, 3)": for each row, SQLite would make a table of the three, a third of the time of loading.
        CheckConstraint("hemisphere_id = 1 OR hemisphere_id = 2 OR hemisphere_id = 3", name="hemisphere_id"),
        # Covers the target search and the projection matrix by the four measures that people ask for: where it does
        # not cover, each row is looked up in the table. The experiment stands before the measures: loading then adds
        # to the end of each target's part instead of all over it.
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
    experiment_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    structure_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    hemisphere_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, comment="1 left, 2 right, 3 both")
    is_injection: Mapped[bool] = mapped_column(primary_key=True, comment="Inside the injection site")
    id: Mapped[int] = mapped_column(BigInteger, comment="Allen's id of the record")
    sum_pixels: Mapped[float]
    sum_projection_pixels: Mapped[float]
    sum_pixel_intensity: Mapped[float]
    sum_projection_pixel_intensity: Mapped[float]
    projection_density: Mapped[float] = mapped_column(comment="0 to 1: projecting pixels / pixels")
    projection_intensity: Mapped[float]
    projection_energy: Mapped[float]
    volume: Mapped[float] = mapped_column(comment="mm3")
    projection_volume: Mapped[float] = mapped_column(comment="mm3")
    normalized_projection_volume: Mapped[float] = mapped_column(comment="projection_volume / injection volume")
    max_voxel_density: Mapped[float]
    max_voxel_x: Mapped[int] = mapped_column(comment="um, AP; 0 where the density is 0")
    max_voxel_y: Mapped[int] = mapped_column(comment="um, DV")
    max_voxel_z: Mapped[int] = mapped_column(comment="um, ML")


class UnionizeCoverage(Base):
    """Which halves of an experiment's unionize table are in the store, whole. Without it "no row" means nothing."""

    __tablename__ = "unionize_coverage"
    __table_args__ = (
        CheckConstraint("part in ('injection', 'projection')", name="part"),
        {"sqlite_with_rowid": False},
    )

    experiment_id: Mapped[int] = mapped_column(ForeignKey("experiment.id"), primary_key=True, autoincrement=False)
    part: Mapped[str] = mapped_column(primary_key=True, comment="injection or projection")
    snapshot_id: Mapped[int] = mapped_column(ForeignKey("source_snapshot.id"), index=True)
    row_count: Mapped[int]
    content_sha256: Mapped[str] = mapped_column(comment="Hash of the rows, independent of their file format")
