"""What the catalog knows about the experiments of a call."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from bsv_store.averaging.grouping.assignment import is_known
from bsv_store.averaging.grouping.subjects import subject_attributes
from bsv_store.catalog.database.id_lists import id_in
from bsv_store.catalog.database.models import Unionize
from bsv_store.catalog.records import ROOT_STRUCTURE_ID
from bsv_store.catalog.selection.criteria import HEMISPHERE_IDS
from bsv_store.vocabulary import Axis


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """One experiment of a call.

    Attributes
    ----------
    coordinates : dict of axis to float
        Injection coordinates in um; unknown ones are absent.
    line : str or None
        Transgenic line; None for wild type.
    has_injection_rows : bool
        Whether the store has the injection half of its unionize table.
    """

    experiment_id: int
    primary_structure: str
    primary_structure_id: int
    coordinates: dict[Axis, float]
    line: str | None
    has_injection_rows: bool


def read_experiments(connection: Connection, ids: Sequence[int], covered: Collection[int]) -> list[Experiment]:
    """The experiments in the order of the ids, all of which the catalog must have.

    Parameters
    ----------
    covered : collection of int
        Experiments whose injection rows are in the store.
    """
    found = {each["experiment_id"]: each for each in subject_attributes(connection, ids)}
    return [
        Experiment(
            experiment_id=experiment_id,
            primary_structure=row["primary_structure"],
            primary_structure_id=row["primary_structure_id"],
            coordinates=_known({"AP": row["injection_ap"], "DV": row["injection_dv"], "ML": row["injection_ml"]}),
            line=row["line"],
            has_injection_rows=experiment_id in covered,
        )
        for experiment_id in ids
        for row in [found[experiment_id]]
    ]


def read_injections(connection: Connection, ids: Sequence[int]) -> dict[int, tuple[float, float]]:
    """Injection volume (mm3) and summed pixel intensity by experiment id, where the injection rows are known."""
    query = select(Unionize.experiment_id, Unionize.projection_volume, Unionize.sum_pixel_intensity).where(
        id_in(connection, Unionize.experiment_id, ids),
        Unionize.structure_id == ROOT_STRUCTURE_ID,
        Unionize.hemisphere_id == HEMISPHERE_IDS["both"],
        Unionize.is_injection,
    )
    return {row[0]: (float(row[1]), float(row[2])) for row in connection.execute(query).all()}


def _known(coordinates: dict[Axis, float | None]) -> dict[Axis, float]:
    return {axis: float(value) for axis, value in coordinates.items() if value is not None and is_known(value)}
