"""The facts about experiments in the catalog that volumes are compared with."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from bsv_store.catalog.database.id_lists import id_in
from bsv_store.catalog.database.models import Experiment, StoredVolume, Structure, Unionize, UnionizeCoverage
from bsv_store.catalog.records import ROOT_STRUCTURE_ID
from bsv_store.catalog.volumes import find_volumes
from bsv_store.plausibility.anatomy import ROOT, Sides, division_ids
from bsv_store.vocabulary import (
    EXPERIMENT_SOURCE_KINDS,
    HEMISPHERES,
    UNIONIZE_PARTS,
    VOLUME_KINDS,
    Hemisphere,
)
from bsv_store.volumes.grid import MIDLINE_UM
from bsv_store.volumes.library import VolumeFile

_RETINA = "retina"
# Nearer to the midline, the coordinate is not reliable: in 107 experiments 5 disagree, the farthest at 230 um.
_LATERAL_UM = 1000


@dataclass(frozen=True, slots=True)
class ExperimentEvidence:
    """Facts about one experiment in the catalog. Volumes are in mm3, pairs are (left, right).

    Attributes
    ----------
    experiment_id : int
    injection_volumes : mapping of str to float
        Injection volume by source; sources may disagree.
    injection_sides : tuple of float or None
        Injection volumes from the unionize table.
    hemisphere : Hemisphere or None
        The injected hemisphere, if it is certain.
    hemisphere_source : str
        Origin of `hemisphere`, for messages.
    point : tuple of int or None
        Injection coordinate (ap, dv, ml) in um.
    signal : mapping of str to tuple of float
        Projection volume inside and outside the injection site, of the root and the divisions; empty unless the store
        has the whole table.
    intensity : mapping of str to tuple of float
        The same for the sum of the intensity of the pixels with signal.
    valid : mapping of str to tuple of float
        The same for the volume with valid data: ``sum_pixels`` times the volume of a pixel.
    volumes : tuple of VolumeFile
        All volumes of the experiment in the store.
    """

    experiment_id: int
    injection_volumes: Mapping[str, float]
    injection_sides: Sides | None
    hemisphere: Hemisphere | None
    hemisphere_source: str
    point: tuple[int, int, int] | None
    signal: Mapping[str, Sides]
    intensity: Mapping[str, Sides]
    valid: Mapping[str, Sides]
    volumes: tuple[VolumeFile, ...]


def read_evidence(connection: Connection, experiment_ids: Collection[int]) -> dict[int, ExperimentEvidence]:
    """The facts about these experiments, by id; unknown experiments are absent."""
    tables = _tables(connection, experiment_ids)
    volumes = _volumes(connection, experiment_ids)
    found = {}
    columns = (
        Experiment.id,
        Experiment.injection_volume,
        Experiment.injection_volume_left,
        Experiment.injection_volume_right,
        Experiment.injected_hemisphere,
        Experiment.hemisphere_source,
        Experiment.injection_ap,
        Experiment.injection_dv,
        Experiment.injection_ml,
        Structure.acronym,
        Experiment.source_kind,
    )
    query = (
        select(*columns)
        .join_from(Experiment, Structure, Structure.id == Experiment.primary_structure_id)
        .where(id_in(connection, Experiment.id, experiment_ids))
    )
    for row in connection.execute(query):
        is_current = not EXPERIMENT_SOURCE_KINDS[row.source_kind].is_historic
        # The coordinates of retina experiments are in the optic tract; the injected side is unknown.
        is_placed = is_current and row.acronym != _RETINA
        sides = _sides(row.injection_volume_left, row.injection_volume_right)
        amounts = {}
        if sides is not None:
            amounts["the unionize table"] = sum(sides)
        if is_current and row.injection_volume:
            amounts["the experiment list"] = row.injection_volume
        point = (row.injection_ap, row.injection_dv, row.injection_ml)
        hemisphere, source = _hemisphere(row, sides) if is_placed else (None, "")
        signal, intensity, valid = tables.get(row.id, ({}, {}, {}))
        found[row.id] = ExperimentEvidence(
            experiment_id=row.id,
            injection_volumes=amounts,
            injection_sides=sides,
            hemisphere=hemisphere,
            hemisphere_source=source,
            point=point if is_placed and None not in point else None,
            signal=signal,
            intensity=intensity,
            valid=valid,
            volumes=volumes.get(row.id, ()),
        )
    return found


def _sides(left: float | None, right: float | None) -> Sides | None:
    if left is None and right is None:
        return None
    sides = left or 0.0, right or 0.0
    return sides if sum(sides) > 0 else None


def _hemisphere(row: object, sides: Sides | None) -> tuple[Hemisphere | None, str]:
    name = getattr(row, "injected_hemisphere", None)
    if name is None:
        return None, ""
    hemisphere = HEMISPHERES[name].name
    if sides is not None:
        return hemisphere, "the unionize table"
    ml = getattr(row, "injection_ml", None)
    if ml is None or abs(ml - MIDLINE_UM) < _LATERAL_UM:
        return None, ""
    return hemisphere, f"the injection coordinate, ML {ml} um"


def _tables(connection: Connection, experiment_ids: Collection[int]) -> dict[int, tuple[dict[str, Sides], ...]]:
    """Signal, intensity and valid volume by structure, where the unionize table is complete and has the root."""
    complete = (
        select(UnionizeCoverage.experiment_id)
        .where(id_in(connection, UnionizeCoverage.experiment_id, experiment_ids))
        .group_by(UnionizeCoverage.experiment_id)
        .having(func.count() == len(UNIONIZE_PARTS))
    )
    ids = set(connection.scalars(complete))
    names = {structure_id: name for name, structure_id in division_ids(connection).items()}
    sides = [row.unionize_id for row in HEMISPHERES.values()]
    query = select(
        Unionize.experiment_id,
        Unionize.structure_id,
        Unionize.hemisphere_id,
        Unionize.is_injection,
        Unionize.projection_volume,
        Unionize.sum_projection_pixel_intensity,
        Unionize.volume,
    ).where(
        id_in(connection, Unionize.experiment_id, ids),
        id_in(connection, Unionize.structure_id, names),
        Unionize.hemisphere_id.in_(sides),
    )
    found: dict[int, tuple[dict[str, list[float]], ...]] = {}
    has_projection_root = set()
    for experiment_id, structure_id, hemisphere_id, is_injection, *values in connection.execute(query):
        for table, value in zip(found.setdefault(experiment_id, ({}, {}, {})), values, strict=True):
            table.setdefault(names[structure_id], [0.0, 0.0])[sides.index(hemisphere_id)] += value
        if structure_id == ROOT_STRUCTURE_ID and not is_injection:
            has_projection_root.add(experiment_id)
    return {
        experiment_id: tuple(map(_paired, tables))
        for experiment_id, tables in found.items()
        if experiment_id in has_projection_root and sum(tables[0][ROOT]) > 0
    }


def _paired(table: Mapping[str, list[float]]) -> dict[str, Sides]:
    return {name: (left, right) for name, (left, right) in table.items()}


def _volumes(connection: Connection, experiment_ids: Collection[int]) -> dict[int, tuple[VolumeFile, ...]]:
    grids = connection.execute(
        select(StoredVolume.kind, StoredVolume.spacing_um)
        .where(id_in(connection, StoredVolume.experiment_id, experiment_ids))
        .distinct()
        .order_by(StoredVolume.kind, StoredVolume.spacing_um)
    ).all()
    found: dict[int, list[VolumeFile]] = {}
    for kind, spacing_um in grids:
        name = VOLUME_KINDS[kind].name
        files = find_volumes(connection, sorted(experiment_ids), kind=name, spacing_um=spacing_um)
        for experiment_id, file in files.items():
            found.setdefault(experiment_id, []).append(file)
    return {experiment_id: tuple(files) for experiment_id, files in found.items()}
