"""The share of each injection that lies in given structures."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, Double, Select, case, cast, func, literal, select, true

from bsv_store.catalog.coverage import covered
from bsv_store.catalog.database.id_lists import id_in
from bsv_store.catalog.database.models import StructureAncestor, Unionize
from bsv_store.catalog.records import ROOT_STRUCTURE_ID
from bsv_store.vocabulary import MEASURED_HEMISPHERES


def injection_overlaps(
    connection: Connection, structure_ids: Collection[int], *, experiment_ids: Collection[int] | None = None
) -> Select[Any]:
    """A SELECT of experiment_id and injection_overlap, the share of the injection volume inside the structures, 0 to 1.

    It has the experiments whose unionize rows inside the injection site are in the store and not 0. Structures inside
    other ones of the list do not count twice: parents already contain their children.

    Parameters
    ----------
    experiment_ids : collection of int, optional
        All experiments by default.
    """
    inner = select(StructureAncestor.descendant_id).where(
        id_in(connection, StructureAncestor.ancestor_id, structure_ids), StructureAncestor.distance > 0
    )
    nested = set(connection.scalars(inner))
    outermost = [each for each in structure_ids if each not in nested]
    whole, part = Unionize.__table__.alias("whole"), Unionize.__table__.alias("part")
    both = MEASURED_HEMISPHERES["both"].unionize_id
    inside = (
        select(func.coalesce(func.sum(part.c.projection_volume), cast(literal(0.0), Double)))
        .where(
            part.c.experiment_id == whole.c.experiment_id,
            id_in(connection, part.c.structure_id, outermost),
            part.c.hemisphere_id == both,
            part.c.is_injection == true(),
        )
        .scalar_subquery()
    )
    # The root is not exactly the sum of its children.
    share = case(
        (inside >= whole.c.projection_volume, cast(literal(1.0), Double)), else_=inside / whole.c.projection_volume
    )
    query = select(whole.c.experiment_id, share.label("injection_overlap")).where(
        whole.c.structure_id == ROOT_STRUCTURE_ID,
        whole.c.hemisphere_id == both,
        whole.c.is_injection == true(),
        whole.c.projection_volume > 0,
        whole.c.experiment_id.in_(covered("injection")),
    )
    return query if experiment_ids is None else query.where(id_in(connection, whole.c.experiment_id, experiment_ids))
