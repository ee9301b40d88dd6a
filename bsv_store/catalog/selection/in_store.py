"""Criteria and what the store must have of an experiment to decide them; conditions on what it has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, and_, not_, select, true

from bsv_store.catalog.coverage import covered
from bsv_store.catalog.database.models import Experiment, StoredVolume
from bsv_store.catalog.selection.criteria import CRITERIA
from bsv_store.vocabulary import MEASURED_HEMISPHERES, UNIONIZE_PARTS

if TYPE_CHECKING:
    from bsv_store.catalog.selection.criteria import Criteria
    from bsv_store.vocabulary import UnionizePart

UNIONIZE_PART_OF: Mapping[str, UnionizePart] = {
    "min_injection_overlap": "injection",
    "max_injection_outside_primary": "injection",
    "projecting_to": "projection",
    "min_laterality_index": "projection",
    "max_laterality_index": "projection",
}
"""The unionize rows that these criteria need."""


def needs_side(name: str, leaf: Criteria) -> bool:
    """Whether a criterion depends on the injected hemisphere."""
    if name == "projecting_to":
        return MEASURED_HEMISPHERES[leaf.target_hemisphere].is_relative
    return CRITERIA[name].column == "laterality_index"


def with_volume(leaf: Criteria) -> ColumnElement[bool]:
    """Whether the store has the volume."""
    stored = select(StoredVolume.experiment_id).where(
        StoredVolume.kind == leaf.with_volume, StoredVolume.spacing_um == leaf.with_volume_spacing_um
    )
    return Experiment.id.in_(stored)


def with_unionizes(leaf: Criteria) -> ColumnElement[bool]:
    """Whether the store has the whole unionize table, or not."""
    complete = and_(true(), *(Experiment.id.in_(covered(row.name)) for row in UNIONIZE_PARTS.values()))
    return complete if leaf.with_unionizes else not_(complete)
