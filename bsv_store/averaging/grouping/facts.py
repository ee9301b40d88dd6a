"""The facts about experiments that groupings and hemisphere rules need."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlalchemy import Connection, select

from bsv_store.catalog.database.id_lists import id_in
from bsv_store.catalog.tables.views import view
from bsv_store.vocabulary import AXES, GROUPING_FIELDS, INJECTION_COLUMNS

if TYPE_CHECKING:
    from bsv_store.vocabulary import Axis, GroupingField, Hemisphere


def is_known(coordinate: float | None) -> bool:
    """Whether an injection coordinate in um is known.

    Lists without coordinates have 0 or nothing; 0 is the surface of the CCF's box, far outside the brain.
    """
    return coordinate is not None and math.isfinite(coordinate) and coordinate != 0


@dataclass(frozen=True, slots=True)
class ExperimentFacts:
    """Facts about an experiment. None = not known.

    Attributes
    ----------
    injection_ap, injection_dv, injection_ml : float or None
        um.
    injected_hemisphere : {'left', 'right'} or None
    injection_volume_left, injection_volume_right : float or None
        mm3.
    is_bilateral : bool
        Whether the injection is known to be on both sides.
    fields : mapping of GroupingField to str or int or None
        The values of all grouping fields.
    """

    experiment_id: int
    primary_structure: str
    primary_structure_id: int
    injection_ap: float | None = None
    injection_dv: float | None = None
    injection_ml: float | None = None
    injected_hemisphere: Hemisphere | None = None
    injection_volume_left: float | None = None
    injection_volume_right: float | None = None
    is_bilateral: bool = False
    fields: Mapping[GroupingField, str | int | None] = field(default_factory=dict)

    def coordinate(self, axis: Axis) -> float | None:
        """Injection coordinate in um along an axis; None if it is not known."""
        value: float | None = getattr(self, AXES[axis].column)
        return float(value) if value is not None and is_known(value) else None

    @property
    def minor_share(self) -> float:
        """The share of the injection volume on the minor side; 0 if it is not known."""
        left, right = self.injection_volume_left or 0.0, self.injection_volume_right or 0.0
        return min(left, right) / (left + right) if left + right > 0 else 0.0


_COLUMNS = (
    "primary_structure",
    "primary_structure_id",
    *INJECTION_COLUMNS,
    "injected_hemisphere",
    "injection_volume_left",
    "injection_volume_right",
)


def experiment_facts(connection: Connection, experiment_ids: Collection[int]) -> list[ExperimentFacts]:
    """The facts about each experiment that the catalog has, ascending by id."""
    experiments = view("experiments").c
    fields = [row.column for row in GROUPING_FIELDS.values()]
    names = dict.fromkeys((*_COLUMNS, "bilateral", *fields))
    query = (
        select(experiments.experiment_id, *(experiments[name] for name in names))
        .where(id_in(connection, experiments.experiment_id, experiment_ids))
        .order_by(experiments.experiment_id)
    )
    places = {name: place for place, name in enumerate(names, 1)}
    own, bilateral = [(name, places[name]) for name in _COLUMNS], places["bilateral"]
    by_field = [(row.name, places[row.column]) for row in GROUPING_FIELDS.values()]
    return [
        ExperimentFacts(
            row[0],
            **{name: row[place] for name, place in own},
            is_bilateral=bool(row[bilateral]),
            fields={name: row[place] for name, place in by_field},
        )
        for row in map(tuple, connection.execute(query).all())
    ]
