"""What grouping needs to know of experiments, as the catalog has it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, select

from bsv_store.catalog.database.id_lists import id_in
from bsv_store.catalog.database.models import Experiment, Structure

_COLUMNS = (
    Experiment.id.label("experiment_id"),
    Structure.acronym.label("primary_structure"),
    Experiment.primary_structure_id,
    Experiment.injection_ap,
    Experiment.injection_dv,
    Experiment.injection_ml,
    Experiment.injected_hemisphere,
    Experiment.transgenic_line.label("line"),
    Experiment.sex,
    Experiment.product_id,
    Experiment.strain,
)


def subject_attributes(connection: Connection, experiment_ids: Collection[int]) -> list[dict[str, Any]]:
    """The attributes of a :class:`bsv_store.averaging.Subject` for each experiment that the catalog has, by id."""
    query = (
        select(*_COLUMNS)
        .join(Structure, Structure.id == Experiment.primary_structure_id)
        .where(id_in(connection, Experiment.id, experiment_ids))
        .order_by(Experiment.id)
    )
    names = [str(column.key) for column in _COLUMNS]
    return [dict(zip(names, row, strict=True)) for row in connection.execute(query).all()]
