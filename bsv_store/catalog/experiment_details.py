"""The details of one experiment in addition to its row: lines, injection structures, and the data in the store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select

from bsv_store.catalog.database.models import (
    Exclusion,
    Experiment,
    ExperimentInjectionStructure,
    ExperimentLine,
    StoredVolume,
    Structure,
    TransgenicLine,
    UnionizeCoverage,
)
from bsv_store.catalog.selection.names import unknown_experiments

if TYPE_CHECKING:
    from sqlalchemy import Connection


@dataclass(frozen=True, slots=True)
class MouseLine:
    """A line of an experiment's mouse.

    Attributes
    ----------
    name : str
    type_name : str or None
        'driver', 'reporter' or 'wild type'; None = unknown.
    description : str or None
    """

    name: str
    type_name: str | None
    description: str | None


@dataclass(frozen=True, slots=True)
class InjectionStructure:
    """A structure that an injection touched.

    Attributes
    ----------
    structure_id : int
    structure : str
        Acronym.
    name : str
    is_primary : bool
    """

    structure_id: int
    structure: str
    name: str
    is_primary: bool


@dataclass(frozen=True, slots=True)
class VolumeFacts:
    """A volume of an experiment that the store has.

    Attributes
    ----------
    kind : str
    spacing_um : int
    size_bytes : int
        Of its file.
    file_sha256 : str
    """

    kind: str
    spacing_um: int
    size_bytes: int
    file_sha256: str


@dataclass(frozen=True, slots=True)
class ExperimentDetails:
    """What the catalog says about one experiment in addition to its row in ``Store.experiments``.

    Attributes
    ----------
    experiment_id : int
    lines : tuple of MouseLine
        By name.
    injection_structures : tuple of InjectionStructure
        The primary one first, then in ontology order.
    volumes : tuple of VolumeFacts
        By kind and spacing.
    unionize_rows : dict of str to int
        Number of rows of each half of the unionize table that the store has: 'injection', 'projection'.
    excluded_because : str or None
        Why it is on the exclusion list; None if it is not.
    """

    experiment_id: int
    lines: tuple[MouseLine, ...]
    injection_structures: tuple[InjectionStructure, ...]
    volumes: tuple[VolumeFacts, ...]
    unionize_rows: dict[str, int]
    excluded_because: str | None


def experiment_details(connection: Connection, experiment_id: int) -> ExperimentDetails:
    """See `Catalog.describe`."""
    primary = connection.scalar(select(Experiment.primary_structure_id).where(Experiment.id == experiment_id))
    if primary is None:
        raise unknown_experiments([experiment_id])
    lines = (
        select(TransgenicLine.name, TransgenicLine.type_name, TransgenicLine.description)
        .join(ExperimentLine, ExperimentLine.transgenic_line_id == TransgenicLine.id)
        .where(ExperimentLine.experiment_id == experiment_id)
    )
    touched = (
        select(Structure.id, Structure.acronym, Structure.name)
        .join(ExperimentInjectionStructure, ExperimentInjectionStructure.structure_id == Structure.id)
        .where(ExperimentInjectionStructure.experiment_id == experiment_id)
        .order_by(Structure.graph_order)
    )
    structures = [InjectionStructure(*row, is_primary=row[0] == primary) for row in connection.execute(touched)]
    volumes = select(
        StoredVolume.kind, StoredVolume.spacing_um, StoredVolume.size_bytes, StoredVolume.file_sha256
    ).where(StoredVolume.experiment_id == experiment_id)
    halves = select(UnionizeCoverage.part, UnionizeCoverage.row_count).where(
        UnionizeCoverage.experiment_id == experiment_id
    )
    excluded = select(Exclusion.reason).where(Exclusion.experiment_id == experiment_id, Exclusion.lifted_at.is_(None))
    return ExperimentDetails(
        experiment_id,
        tuple(sorted((MouseLine(*row) for row in connection.execute(lines)), key=lambda line: line.name)),
        tuple(sorted(structures, key=lambda structure: not structure.is_primary)),
        tuple(
            sorted(
                (VolumeFacts(*row) for row in connection.execute(volumes)),
                key=lambda each: (each.kind, each.spacing_um),
            )
        ),
        {row.part: row.row_count for row in sorted(connection.execute(halves).all(), key=tuple)},
        connection.scalar(excluded),
    )
