"""SQLAlchemy models of experiments, lines, structures, unionize rows and injection summaries, for use in a `Session`.

>>> from sqlalchemy import select
>>> from sqlalchemy.orm import Session
>>> from bsv_store import open_store
>>> from bsv_store.models import Experiment
>>> with open_store() as store, store.database.reading() as connection:              # doctest: +SKIP
...     for experiment in Session(connection).scalars(select(Experiment)):
...         print(experiment.id, experiment.primary_structure.acronym)

The models map the tables in ``bsv_store.catalog.database.models``, which define the types and comments of the columns.
They are for reading only: change the catalog with the methods of `Store`. The package itself does not use them, because
importing ``sqlalchemy.orm`` and mapping the tables doubles the startup time of a short command.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, MetaData
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from bsv_store.catalog.database import models as tables

__all__ = ["Experiment", "InjectionSummary", "Structure", "TransgenicLine", "Unionize"]


class _TableBase(DeclarativeBase):
    metadata = tables.Base.metadata


class _ViewBase(DeclarativeBase):
    # Separate metadata, so that migrations do not create the view as a table.
    metadata = MetaData()


class Structure(_TableBase):
    """A structure of the ontology (the API's structure graph 1, adult mouse)."""

    __table__ = tables.Structure.__table__

    id: Mapped[int]
    acronym: Mapped[str]
    name: Mapped[str]
    parent_structure_id: Mapped[int | None]
    depth: Mapped[int]
    graph_order: Mapped[int]
    structure_id_path: Mapped[str]
    color_hex_triplet: Mapped[str]
    withdrawn: Mapped[bool]


class TransgenicLine(_TableBase):
    """A transgenic line. A mouse is wild type if it has no line, or only lines of the type 'wild type'."""

    __table__ = tables.TransgenicLine.__table__

    id: Mapped[int]
    name: Mapped[str]
    allen_id: Mapped[int | None]
    type_name: Mapped[str | None]
    description: Mapped[str | None]
    stock_number: Mapped[str | None]


class Experiment(_TableBase):
    """A tracing experiment (section data set), with its primary structure, lines and injection structures."""

    __table__ = tables.Experiment.__table__

    id: Mapped[int]
    specimen_name: Mapped[str | None]
    product_id: Mapped[int | None]
    primary_structure_id: Mapped[int]
    transgenic_line: Mapped[str | None]
    strain: Mapped[str | None]
    sex: Mapped[str | None]
    injection_volume: Mapped[float | None]
    injection_ap: Mapped[int | None]
    injection_dv: Mapped[int | None]
    injection_ml: Mapped[int | None]
    projection_volume: Mapped[float | None]
    injected_hemisphere: Mapped[str | None]
    hemisphere_source: Mapped[str | None]
    injection_volume_left: Mapped[float | None]
    injection_volume_right: Mapped[float | None]
    storage_directory: Mapped[str | None]
    source_kind: Mapped[str]
    withdrawn: Mapped[bool]

    primary_structure: Mapped[Structure] = relationship(viewonly=True)
    lines: Mapped[list[TransgenicLine]] = relationship(
        secondary=tables.ExperimentLine.__table__, order_by=TransgenicLine.name, viewonly=True
    )
    injection_structures: Mapped[list[Structure]] = relationship(
        secondary=tables.ExperimentInjectionStructure.__table__, order_by=Structure.graph_order, viewonly=True
    )


class Unionize(_TableBase):
    """Signal of one experiment in one structure and hemisphere, inside or outside the injection site."""

    __table__ = tables.Unionize.__table__

    experiment_id: Mapped[int]
    structure_id: Mapped[int]
    hemisphere_id: Mapped[int]
    is_injection: Mapped[bool]
    id: Mapped[int]
    sum_pixels: Mapped[float]
    sum_projection_pixels: Mapped[float]
    sum_pixel_intensity: Mapped[float]
    sum_projection_pixel_intensity: Mapped[float]
    projection_density: Mapped[float]
    projection_intensity: Mapped[float]
    projection_energy: Mapped[float]
    volume: Mapped[float]
    projection_volume: Mapped[float]
    normalized_projection_volume: Mapped[float]
    max_voxel_density: Mapped[float]
    max_voxel_x: Mapped[int]
    max_voxel_y: Mapped[int]
    max_voxel_z: Mapped[int]


class InjectionSummary(_ViewBase):
    """Signal of one experiment in one structure and hemisphere inside the injection site: a row of the view."""

    __tablename__ = "injection_summary"

    experiment_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    structure_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    hemisphere_id: Mapped[int] = mapped_column(primary_key=True)
    structure: Mapped[str]
    structure_name: Mapped[str]
    hemisphere: Mapped[str]
    side: Mapped[str | None]
    sum_pixels: Mapped[float]
    sum_projection_pixels: Mapped[float]
    sum_pixel_intensity: Mapped[float]
    sum_projection_pixel_intensity: Mapped[float]
    projection_density: Mapped[float]
    projection_intensity: Mapped[float]
    projection_energy: Mapped[float]
    volume: Mapped[float]
    projection_volume: Mapped[float]
    normalized_projection_volume: Mapped[float]
    max_voxel_density: Mapped[float]
    max_voxel_x: Mapped[int]
    max_voxel_y: Mapped[int]
    max_voxel_z: Mapped[int]
