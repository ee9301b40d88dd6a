"""The structures of each experiment, ranked by their signal."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, false, select, true

from bsv_store.catalog.database.id_lists import id_in
from bsv_store.catalog.database.models import Experiment, Structure, Unionize
from bsv_store.catalog.hemispheres import checked_hemispheres, hemisphere_ids
from bsv_store.catalog.search.found import check_limit
from bsv_store.catalog.search.signal import find_targets
from bsv_store.catalog.selection.selection import Selection
from bsv_store.catalog.structures import StructureRef
from bsv_store.catalog.tables.frames import require_unionizes
from bsv_store.catalog.without_unionizes import selected_ids
from bsv_store.check import boolean, choice, finite_number
from bsv_store.vocabulary import MEASURED_HEMISPHERES, MEASURES

if TYPE_CHECKING:
    import pandas as pd

    from bsv_store.vocabulary import Measure, MeasuredHemisphere

_ABSOLUTE = {name: row for name, row in MEASURED_HEMISPHERES.items() if not row.is_relative}


def rank_structures(
    connection: Connection,
    selection: Selection,
    *,
    is_injection: bool,
    structures: StructureRef | Sequence[StructureRef] | None = None,
    structure_set: int | None = None,
    hemisphere: MeasuredHemisphere | Sequence[MeasuredHemisphere] = ("left", "right"),
    measure: Measure = "normalized_projection_volume",
    threshold: float = 0.01,
    limit: int | None = 5,
) -> pd.DataFrame:
    """See :meth:`bsv_store.store.catalog.Catalog.rank_structures`."""
    import pandas as pd

    measured = choice("measure", measure, MEASURES).name
    names = _hemispheres(hemisphere)
    boolean("is_injection", is_injection)
    least = finite_number("threshold", threshold)
    check_limit(limit)
    ids = selected_ids(connection, selection)
    wanted = select(Experiment.id).where(id_in(connection, Experiment.id, ids))
    require_unionizes(connection, selection, wanted, is_injection)
    ranked = find_targets(connection, structures, structure_set)
    value = Unionize.__table__.c[measured]
    query = (
        select(Unionize.experiment_id, Structure.acronym, Structure.id, Unionize.hemisphere_id, value)
        .join(Structure, Structure.id == Unionize.structure_id)
        .where(
            id_in(connection, Unionize.experiment_id, ids),
            Unionize.is_injection == (true() if is_injection else false()),
            Unionize.hemisphere_id.in_(names),
            id_in(connection, Unionize.structure_id, [row.id for row in ranked]),
            value > least,
        )
        # Ties occur in real tables; the order must be the same on both databases.
        .order_by(Unionize.experiment_id, value.desc(), Structure.graph_order, Structure.id, Unionize.hemisphere_id)
    )
    rows: list[tuple[Any, ...]] = [
        (experiment, number, acronym, structure, names[side], found)
        for _, own in groupby(connection.execute(query), key=lambda row: row[0])
        for number, (experiment, acronym, structure, side, found) in enumerate(list(own)[:limit], start=1)
    ]
    dtypes = {**_DTYPES, measured: "float64"}
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(dtypes)
    return pd.DataFrame(
        {name: pd.Series(list(data), dtype=kind) for (name, kind), data in zip(dtypes.items(), columns, strict=True)}
    )


_DTYPES = {
    "experiment_id": "int64",
    "rank": "int64",
    "structure": "object",
    "structure_id": "int64",
    "hemisphere": "object",
}


def _hemispheres(hemisphere: MeasuredHemisphere | Sequence[MeasuredHemisphere]) -> dict[int, str]:
    """The names of the hemispheres by their ids in the unionize records."""
    names = checked_hemispheres(hemisphere, rows=_ABSOLUTE, such_as="['left', 'right']")
    return {hemisphere_ids(name)[0]: name for name in names}
