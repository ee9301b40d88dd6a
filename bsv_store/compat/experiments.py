"""Facts of the catalog about the experiments of a call."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, select

from bsv_store.averaging.grouping.facts import ExperimentFacts, experiment_facts
from bsv_store.catalog.database.id_lists import id_in
from bsv_store.catalog.database.models import Unionize
from bsv_store.catalog.records import ROOT_STRUCTURE_ID
from bsv_store.vocabulary import MEASURED_HEMISPHERES


def read_experiments(connection: Connection, ids: Sequence[int]) -> list[ExperimentFacts]:
    """The experiments in the order of the ids, all of which the catalog must have."""
    found = {each.experiment_id: each for each in experiment_facts(connection, ids)}
    return [found[experiment_id] for experiment_id in ids]


def read_injections(connection: Connection, ids: Sequence[int]) -> dict[int, tuple[float, float]]:
    """Injection volume (mm3) and summed pixel intensity by experiment id, where the injection rows are known."""
    query = select(Unionize.experiment_id, Unionize.projection_volume, Unionize.sum_pixel_intensity).where(
        id_in(connection, Unionize.experiment_id, ids),
        Unionize.structure_id == ROOT_STRUCTURE_ID,
        Unionize.hemisphere_id == MEASURED_HEMISPHERES["both"].unionize_id,
        Unionize.is_injection,
    )
    return {row[0]: (float(row[1]), float(row[2])) for row in connection.execute(query).all()}
