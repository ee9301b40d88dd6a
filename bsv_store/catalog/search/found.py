"""The result of a search: experiments with their scores, best first."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import Connection, select

from bsv_store.catalog.database.id_lists import id_in
from bsv_store.catalog.database.models import Experiment
from bsv_store.catalog.selection.criteria import Criteria
from bsv_store.catalog.selection.resolve import compile_selection
from bsv_store.catalog.selection.selection import Selection
from bsv_store.catalog.structures import StructureRef, StructureRow, find_structures
from bsv_store.catalog.tables.views import view
from bsv_store.check import whole_number
from bsv_store.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

_DTYPES = {
    "experiment_id": "int64",
    "primary_structure": "object",
    "transgenic_line": "object",
    "product_id": "Int64",
    "injected_hemisphere": "object",
    "injection_volume": "float64",
    "injection_ap": "Int64",
    "injection_dv": "Int64",
    "injection_ml": "Int64",
}
FOUND_COLUMNS = tuple(_DTYPES)
"""The first columns of every search, before its own."""


# The arguments of the searches that are criteria of a selection.
_ARGUMENTS = {
    "injected_in": "structures",
    "projecting_to": "structures",
    "target_measure": "measure",
    "target_threshold": "threshold",
    "target_hemisphere": "hemisphere",
    "near": "point",
}


def search_among(
    connection: Connection, experiment_ids: Collection[int], criteria: Mapping[str, Any]
) -> tuple[int, ...]:
    """The experiments that meet the criteria, ascending by id, including withdrawn and excluded ones.

    Raises
    ------
    SelectionError
        If a criterion is not valid; the message names the argument of the search.
    """
    everything = {**criteria, "include_withdrawn": True, "include_excluded": True}
    wanted = Selection.of(Criteria.checked(everything, spell=lambda name: _ARGUMENTS.get(name, name)))
    query = compile_selection(connection, wanted).where(id_in(connection, Experiment.id, experiment_ids))
    return tuple(connection.scalars(query.order_by(Experiment.id)))


def find_named(connection: Connection, structures: StructureRef | Sequence[StructureRef]) -> tuple[StructureRow, ...]:
    """The structures of a search, at least one, without duplicates.

    Raises
    ------
    UnknownStructureError
        If the ontology does not have one of them.
    InputError
        If none is given.
    """
    rows = tuple(dict.fromkeys(find_structures(connection, structures)))
    if not rows:
        raise InputError("structures must not be empty", hint="Name one or more, such as 'CP'.")
    return rows


def check_limit(limit: object) -> int | None:
    """The limit, which must be None or a positive integer.

    Raises
    ------
    InputError
        If it is not.
    """
    return None if limit is None else whole_number("limit", limit, least=1)


def found_frame(
    connection: Connection,
    experiment_ids: Collection[int],
    own: Mapping[str, Sequence[Any]],
    *,
    limit: int | None,
    ascending: bool = False,
) -> pd.DataFrame:
    """The experiments with ``FOUND_COLUMNS`` and the columns of the search.

    They are ranked by the last of these columns: descending by default, NaN last, ties by id.

    Parameters
    ----------
    own : mapping of str to sequence
        The columns of the search, in the order of ``experiment_ids``.
    """
    import pandas as pd

    identifiers = np.asarray(experiment_ids, dtype=np.int64)
    scores = np.array(own[list(own)[-1]], dtype=float)
    # NaN sorts last either way.
    order = np.lexsort([identifiers, scores if ascending else -scores])[:limit]
    ids = identifiers[order].tolist()
    experiments = view("experiments").c
    columns = [experiments[name] for name in FOUND_COLUMNS]
    rows = connection.execute(select(*columns).where(id_in(connection, experiments.experiment_id, ids)))
    by_id = {row[0]: row for row in rows}
    values = list(zip(*(by_id[identifier] for identifier in ids), strict=True)) or [()] * len(FOUND_COLUMNS)
    frame = {
        name: pd.Series(list(column), dtype=_DTYPES[name]) for name, column in zip(FOUND_COLUMNS, values, strict=True)
    }
    return pd.DataFrame({**frame, **{name: np.asarray(values)[order] for name, values in own.items()}})
