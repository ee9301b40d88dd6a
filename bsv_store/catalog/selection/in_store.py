"""Which rows decide a criterion, and the condition that the store has the unionize table."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import Connection, select

from bsv_store.catalog.database.models import Experiment
from bsv_store.catalog.records import ROOT_STRUCTURE_ID
from bsv_store.catalog.seals import EXPERIMENT_COLUMNS
from bsv_store.catalog.selection.criteria import CRITERIA
from bsv_store.catalog.structures import find_structures
from bsv_store.vocabulary import MEASURED_HEMISPHERES, UNIONIZE_PARTS

if TYPE_CHECKING:
    from bsv_store.catalog.selection.criteria import Criteria
    from bsv_store.catalog.selection.terms import C, Terms
    from bsv_store.vocabulary import UnionizePart, VolumeKind


def needs_side(name: str, leaf: Criteria) -> bool:
    """Whether a criterion depends on the injected hemisphere."""
    if name == "projecting_to":
        return MEASURED_HEMISPHERES[leaf.target_hemisphere].is_relative
    return CRITERIA[name].column == "laterality_index"


def reads_sides(leaves: Collection[Criteria]) -> bool:
    """Whether the parts of a selection may depend on injected hemispheres, which are derived from unionize rows.

    A criterion on a column does, unless the column is copied from the list of experiments.
    """
    return any(
        CRITERIA[name].column not in (None, *EXPERIMENT_COLUMNS) or needs_side(name, leaf)
        for leaf in leaves
        for name in leaf.to_dict()
    )


def with_unionizes(terms: Terms[C], leaf: Criteria) -> C:
    """Whether the store has the whole unionize table, or not."""
    complete = terms.every(terms.covered(row.name) for row in UNIONIZE_PARTS.values())
    return complete if leaf.with_unionizes else terms.opposite(complete)


def needs_unionizes(leaf: Criteria) -> bool:
    """Whether a part of a selection has a criterion that unionize rows decide."""
    return any(CRITERIA[name].unionize_part is not None for name in leaf.to_dict())


def unionizes_read(connection: Connection, leaves: Collection[Criteria]) -> dict[UnionizePart, set[int]]:
    """The structures whose unionize rows decide the criteria of the parts of a selection, by half of the table.

    Raises
    ------
    UnknownStructureError
        If the ontology does not have a structure.
    """
    structures: dict[UnionizePart, set[int]] = {row.name: set() for row in UNIONIZE_PARTS.values()}
    for leaf in leaves:
        if leaf.projecting_to is not None:
            structures["projection"].update(row.id for row in find_structures(connection, leaf.projecting_to))
        if leaf.min_injection_overlap is not None:
            structures["injection"].update(row.id for row in find_structures(connection, leaf.injected_in or ()))
        if leaf.max_injection_outside_primary is not None:
            structures["injection"].update(connection.scalars(select(Experiment.primary_structure_id).distinct()))
        for name in leaf.to_dict():
            part = CRITERIA[name].unionize_part
            if part is not None:
                structures[part].add(ROOT_STRUCTURE_ID)
        if leaf.with_unionizes is not None:
            # Any structure: the tables that the store has are checked too.
            for found in structures.values():
                found.add(ROOT_STRUCTURE_ID)
    return structures


class VolumesRead(NamedTuple):
    """Volumes whose rows decide a criterion."""

    kind: VolumeKind
    spacing_um: int


def volumes_read(leaves: Collection[Criteria]) -> set[VolumesRead]:
    """The volumes whose presence decides the criteria of the parts of a selection."""
    return {
        VolumesRead(leaf.with_volume, leaf.with_volume_spacing_um) for leaf in leaves if leaf.with_volume is not None
    }
