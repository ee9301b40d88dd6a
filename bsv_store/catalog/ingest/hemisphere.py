"""Determine the injected hemisphere from the unionize rows of the root, or else from the injection coordinate.

The coordinate is the densest voxel of the injection. In 5 of 107 real experiments it lies in the hemisphere with the
smaller part of the injection. For experiments of the retina, which were injected into an eye, the
coordinate is where the axons enter the brain, in the optic nerve or chiasm. The injected side is unknown.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, FromClause, Subquery, and_, case, func, null, or_, select, true, update

from bsv_store.catalog.coverage import covered
from bsv_store.catalog.database.bulk import table_of
from bsv_store.catalog.database.id_lists import id_in
from bsv_store.catalog.database.models import Experiment, Unionize, UnionizeCoverage
from bsv_store.catalog.locks import lock_experiments
from bsv_store.catalog.records import RETINA_STRUCTURE_ID, ROOT_STRUCTURE_ID
from bsv_store.volumes.grid import MIDLINE_UM


def update_injected_hemispheres(connection: Connection, experiment_ids: Collection[int] | None = None) -> int:
    """Update injected hemispheres and injection volumes by hemisphere, and return the number of changed experiments.

    The larger of the root's two injection volumes decides; a missing row counts as 0. If they are equal, or the
    injection rows are not in the store, the ML coordinate decides. It is unknown for all experiments of the retina.
    Unchanged rows are not written.

    Parameters
    ----------
    experiment_ids : collection of int, optional
        By default all experiments.
    """
    if experiment_ids is None:
        experiment_ids = connection.execute(select(Experiment.id)).scalars().all()
    # A separate statement, so that the next one sees what another writer has committed meanwhile.
    lock_experiments(connection, experiment_ids)
    table = table_of(Experiment)
    wanted = _sides(connection, experiment_ids)
    values = {name: wanted.columns[name] for name in _COLUMNS}
    differs = or_(*(table.columns[name].is_distinct_from(value) for name, value in values.items()))
    statement = update(table).where(table.columns.id == wanted.columns.id, differs).values(values)
    return connection.execute(statement).rowcount


def experiments_with_wrong_sides(
    connection: Connection, experiment_ids: Collection[int] | None = None, *, rows: FromClause | None = None
) -> list[int]:
    """The ids of experiments whose injected hemisphere or injection volumes disagree with their unionize rows.

    Parameters
    ----------
    experiment_ids : collection of int, optional
        By default all experiments.
    rows : FromClause, optional
        A table with the columns of the unionize table and at least the rows of the root; by default that table.
    """
    table = table_of(Experiment)
    wanted = _sides(connection, experiment_ids, rows)
    differs = or_(*(table.c[name].is_distinct_from(wanted.c[name]) for name in _COLUMNS))
    query = select(table.c.id).join(wanted, wanted.c.id == table.c.id).where(differs)
    return list(connection.scalars(query.order_by(table.c.id)))


def sides_in_tables(connection: Connection, experiment_ids: Collection[int]) -> list[int]:
    """Those of the experiments, ascending, whose side a unionize table that is not in the store may tell."""
    query = select(Experiment.id).where(
        id_in(connection, Experiment.id, experiment_ids),
        Experiment.id.not_in(covered("injection")),
        Experiment.primary_structure_id != RETINA_STRUCTURE_ID,
    )
    return list(connection.scalars(query.order_by(Experiment.id)))


_COLUMNS = ("injected_hemisphere", "hemisphere_source", "injection_volume_left", "injection_volume_right")


def _sides(connection: Connection, experiment_ids: Collection[int] | None, rows: FromClause | None = None) -> Subquery:
    """What follows from the root's rows, for experiments; for all if ``experiment_ids`` is None."""
    table = table_of(Unionize) if rows is None else rows
    coverage, left, right = table_of(UnionizeCoverage).alias(), table.alias(), table.alias()

    def is_root(row: Any, hemisphere_id: int) -> Any:
        return and_(
            row.c.experiment_id == Experiment.id,
            row.c.structure_id == ROOT_STRUCTURE_ID,
            row.c.hemisphere_id == hemisphere_id,
            row.c.is_injection,
        )

    def volume(row: Any) -> Any:
        return case((coverage.c.experiment_id.is_not(None), func.coalesce(row.c.projection_volume, 0.0)))

    left_volume, right_volume = volume(left), volume(right)
    by_volume = or_(left_volume > right_volume, right_volume > left_volume)
    in_retina = Experiment.primary_structure_id == RETINA_STRUCTURE_ID
    return (
        select(
            Experiment.id,
            left_volume.label("injection_volume_left"),
            right_volume.label("injection_volume_right"),
            case(
                (in_retina, null()),
                (left_volume > right_volume, "left"),
                (right_volume > left_volume, "right"),
                (Experiment.injection_ml < MIDLINE_UM, "left"),
                (Experiment.injection_ml >= MIDLINE_UM, "right"),
            ).label("injected_hemisphere"),
            case(
                (in_retina, null()),
                (by_volume, "unionize"),
                (Experiment.injection_ml.is_not(None), "coordinate"),
            ).label("hemisphere_source"),
        )
        .select_from(Experiment)
        .outerjoin(coverage, and_(coverage.c.experiment_id == Experiment.id, coverage.c.part == "injection"))
        .outerjoin(left, is_root(left, 1))
        .outerjoin(right, is_root(right, 2))
        .where(true() if experiment_ids is None else id_in(connection, Experiment.id, experiment_ids))
        .subquery()
    )
