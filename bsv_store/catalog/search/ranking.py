"""The structures of experiments, ranked by their signal: most injected, most projected."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import Connection, false, select, true

from bsv_store.catalog.database.id_lists import id_in
from bsv_store.catalog.database.models import Structure, Unionize
from bsv_store.catalog.search.signal import checked_measure, find_targets
from bsv_store.catalog.selection.criteria import HEMISPHERE_IDS, Measure
from bsv_store.catalog.selection.resolve import resolve_nonempty
from bsv_store.catalog.selection.selection import Selection
from bsv_store.catalog.structures import StructureRef
from bsv_store.catalog.tables.frames import uncovered
from bsv_store.check import several
from bsv_store.errors import InputError, MissingDataError
from bsv_store.text import listed, number_of, shown
from bsv_store.vocabulary import MeasuredHemisphere

if TYPE_CHECKING:
    import pandas as pd

_NAMES = {number: name for name, number in HEMISPHERE_IDS.items()}


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

    ids = resolve_nonempty(connection, selection)
    hemispheres = several("hemisphere", hemisphere, such_as="['left', 'right']")
    _check(hemispheres, threshold, limit)
    _refuse_uncovered(connection, selection, is_injection)
    ranked = find_targets(connection, structures, structure_set)
    value = Unionize.__table__.c[checked_measure(measure)]
    query = (
        select(Unionize.experiment_id, Structure.acronym, Structure.id, Unionize.hemisphere_id, value)
        .join(Structure, Structure.id == Unionize.structure_id)
        .where(
            id_in(connection, Unionize.experiment_id, ids),
            Unionize.is_injection == (true() if is_injection else false()),
            Unionize.hemisphere_id.in_([HEMISPHERE_IDS[name] for name in hemispheres]),
            id_in(connection, Unionize.structure_id, [row.id for row in ranked]),
            value > threshold,
        )
        # Ties, which tables of real experiments have, in the same order on both databases.
        .order_by(Unionize.experiment_id, value.desc(), Structure.graph_order, Structure.id, Unionize.hemisphere_id)
    )
    of = {key: list(rows)[:limit] for key, rows in groupby(connection.execute(query), key=lambda row: row[0])}
    rows: list[tuple[Any, ...]] = [
        (experiment, number, acronym, structure, _NAMES[side], found)
        for key in ids
        for number, (experiment, acronym, structure, side, found) in enumerate(of.get(key, ()), start=1)
    ]
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(_DTYPES)
    return pd.DataFrame(
        {name: pd.Series(list(data), dtype=kind) for (name, kind), data in zip(_DTYPES.items(), columns, strict=True)}
    )


_DTYPES = {
    "experiment_id": "int64",
    "rank": "int64",
    "structure": "object",
    "structure_id": "int64",
    "hemisphere": "object",
    "value": "float64",
}


def _check(hemispheres: Sequence[str], threshold: object, limit: object) -> None:
    if not hemispheres or any(name not in HEMISPHERE_IDS for name in hemispheres):
        raise InputError(
            f"{shown(hemispheres)} are no hemispheres", hint=f"It is a list of {', '.join(HEMISPHERE_IDS)}."
        )
    if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not math.isfinite(threshold):
        raise InputError(f"the threshold {shown(threshold)} is no finite number")
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        raise InputError(f"the limit is a positive whole number, not {shown(limit)}")


def _refuse_uncovered(connection: Connection, selection: Selection, is_injection: bool) -> None:
    part: Literal["injection", "projection"] = "injection" if is_injection else "projection"
    absent = uncovered(connection, selection, part)
    if absent:
        raise MissingDataError(
            f"the {part} rows of {number_of(len(absent), 'experiment')} are not in the store: {listed(absent)}",
            hint=f"Bring them: bsv-store sync unionizes --ids {','.join(map(str, absent[:10]))}",
        )
