"""The share of each injection that lies in given structures."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, Double, Select, case, cast, func, literal, select, true

from bsv_store.catalog.coverage import covered
from bsv_store.catalog.database.id_lists import id_in
from bsv_store.catalog.database.models import StructureAncestor, Unionize
from bsv_store.catalog.records import ROOT_STRUCTURE_ID
from bsv_store.vocabulary import MEASURED_HEMISPHERES


def injection_overlaps(connection: Connection, structure_ids: Collection[int]) -> Select[Any]:
    """A SELECT of experiment_id and injection_overlap, the share of the injection volume inside the structures, 0 to 1.

    It has the experiments whose unionize rows inside the injection site are in the store and not 0. Structures inside
    other ones of the list do not count twice: parents already contain their children.

    The last bit of a sum of several structures depends on the database; see `exact_overlaps`.
    """
    outermost = _outermost(connection, structure_ids)
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
    return select(whole.c.experiment_id, share.label("injection_overlap")).where(
        whole.c.structure_id == ROOT_STRUCTURE_ID,
        whole.c.hemisphere_id == both,
        whole.c.is_injection == true(),
        whole.c.projection_volume > 0,
        whole.c.experiment_id.in_(covered("injection")),
    )


def exact_overlaps(
    connection: Connection, structure_ids: Collection[int], experiment_ids: Collection[int]
) -> dict[int, float]:
    """The shares of `injection_overlaps` for these experiments, with the same bits on every database.

    Databases add in another order or with another precision, so that a weight in a fingerprint would depend on them.
    """
    outermost = set(_outermost(connection, structure_ids))
    query = select(Unionize.experiment_id, Unionize.structure_id, Unionize.projection_volume).where(
        id_in(connection, Unionize.experiment_id, experiment_ids),
        id_in(connection, Unionize.structure_id, sorted(outermost | {ROOT_STRUCTURE_ID})),
        Unionize.hemisphere_id == MEASURED_HEMISPHERES["both"].unionize_id,
        Unionize.is_injection == true(),
        Unionize.experiment_id.in_(covered("injection")),
    )
    parts: dict[int, list[float]] = {}
    wholes: dict[int, float] = {}
    for experiment, structure, volume in connection.execute(query):
        if structure == ROOT_STRUCTURE_ID:
            wholes[experiment] = volume
        if structure in outermost:
            parts.setdefault(experiment, []).append(volume)
    # The root is not exactly the sum of its children.
    return {
        each: min(math.fsum(parts.get(each, ())) / whole, 1.0) for each, whole in sorted(wholes.items()) if whole > 0
    }


def _outermost(connection: Connection, structure_ids: Collection[int]) -> list[int]:
    """The structures that are not inside other ones of the list."""
    inner = select(StructureAncestor.descendant_id).where(
        id_in(connection, StructureAncestor.ancestor_id, structure_ids), StructureAncestor.distance > 0
    )
    nested = set(connection.scalars(inner))
    return [each for each in structure_ids if each not in nested]
