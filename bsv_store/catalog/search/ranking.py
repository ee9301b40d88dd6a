"""The structures of experiments, ranked by their signal: most injected, most projected."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import Connection, false, select, true

from bsv_store.catalog.database.id_lists import id_in
from bsv_store.catalog.database.models import Structure, Unionize
from bsv_store.catalog.search.signal import checked_measure, find_targets
from bsv_store.catalog.selection.criteria import HEMISPHERE_IDS, Measure
from bsv_store.catalog.structures import StructureRef
from bsv_store.catalog.tables.frames import uncovered
from bsv_store.check import several
from bsv_store.errors import InputError, MissingDataError
from bsv_store.text import listed, number_of, shown

if TYPE_CHECKING:
    import pandas as pd

Side = Literal["left", "right", "both"]
_NAMES = {number: name for name, number in HEMISPHERE_IDS.items()}


def rank_structures(
    connection: Connection,
    experiment_ids: Iterable[int],
    *,
    is_injection: bool,
    structures: Sequence[StructureRef] | None = None,
    structure_set: int | None = None,
    hemispheres: Sequence[Side] = ("left", "right"),
    measure: Measure = "normalized_projection_volume",
    threshold: float = 0.01,
    limit: int | None = 5,
) -> pd.DataFrame:
    """The structures with the most signal of each experiment, the strongest first: AllenSDK's ``rank_structures``.

    Columns: ``experiment_id``, ``rank`` (from 1), ``structure`` (acronym), ``structure_id``, ``hemisphere``, ``value``.
    Experiments come in the order given; one without a structure above the threshold has no row.

    Parameters
    ----------
    connection : sqlalchemy.Connection
    experiment_ids : iterable of int
    is_injection : bool
        True: what was injected; False: what is projected to.
    structures : sequence of str or int, optional
        Rank these. Overlapping ones tell the same signal twice.
    structure_set : int, optional
        Or the members of this set; by default 167587189, the summary structures, which do not overlap.
    hemispheres : sequence of {"left", "right", "both"}
        Rank the structures of these. "both" beside the others tells the same signal twice.
    measure : str
    threshold : float
        Must be exceeded.
    limit : int or None
        The first so many of each experiment.

    Raises
    ------
    UnknownExperimentError, UnknownStructureError
        If the catalog does not have one that is named.
    MissingDataError
        If an experiment's rows are not in the store.
    InputError
        If an option has a value that it cannot have.
    """
    import pandas as pd

    ids = list(dict.fromkeys(several("experiment_ids", experiment_ids, such_as="[158314987]")))
    hemispheres = several("hemispheres", hemispheres, such_as="['left', 'right']")
    _check(hemispheres, threshold, limit)
    _refuse_uncovered(connection, ids, is_injection)
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


def _refuse_uncovered(connection: Connection, ids: Sequence[int], is_injection: bool) -> None:
    part: Literal["injection", "projection"] = "injection" if is_injection else "projection"
    absent = uncovered(connection, ids, part)
    if absent:
        raise MissingDataError(
            f"the {part} rows of {number_of(len(absent), 'experiment')} are not in the store: {listed(absent)}",
            hint=f"Bring them: bsv-store sync unionizes --ids {','.join(map(str, absent[:10]))}",
        )
