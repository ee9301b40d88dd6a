"""What the catalog knows about the experiments of a call."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, select

from bsv_store.averaging.grouping.assignment import Subject
from bsv_store.averaging.grouping.subjects import subject_attributes
from bsv_store.catalog.database.id_lists import id_in
from bsv_store.catalog.database.models import Unionize
from bsv_store.catalog.records import ROOT_STRUCTURE_ID
from bsv_store.catalog.selection.criteria import HEMISPHERE_IDS


def read_experiments(connection: Connection, ids: Sequence[int]) -> list[Subject]:
    """The experiments in the order of the ids, all of which the catalog must have."""
    found = {each["experiment_id"]: Subject(**each) for each in subject_attributes(connection, ids)}
    return [found[experiment_id] for experiment_id in ids]


def read_injections(connection: Connection, ids: Sequence[int]) -> dict[int, tuple[float, float]]:
    """Injection volume (mm3) and summed pixel intensity by experiment id, where the injection rows are known."""
    query = select(Unionize.experiment_id, Unionize.projection_volume, Unionize.sum_pixel_intensity).where(
        id_in(connection, Unionize.experiment_id, ids),
        Unionize.structure_id == ROOT_STRUCTURE_ID,
        Unionize.hemisphere_id == HEMISPHERE_IDS["both"],
        Unionize.is_injection,
    )
    return {row[0]: (float(row[1]), float(row[2])) for row in connection.execute(query).all()}
