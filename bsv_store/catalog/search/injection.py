"""The injection search: the experiments injected nearest to a point."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from sqlalchemy import Connection, select

from bsv_store.catalog.database.id_lists import id_in
from bsv_store.catalog.database.models import Experiment
from bsv_store.catalog.search.found import check_limit, found_frame, search_among
from bsv_store.catalog.selection.resolve import resolve
from bsv_store.catalog.without_unionizes import report_undecided
from bsv_store.check import point_um

if TYPE_CHECKING:
    import pandas as pd

    from bsv_store.catalog.selection.selection import Selection

# More than any distance in the CCF.
_EVERYWHERE_UM = 1e6


def search_injections(
    connection: Connection,
    point: Sequence[float],
    *,
    selection: Selection,
    radius_um: float | None = None,
    limit: int | None = None,
) -> pd.DataFrame:
    """See :meth:`bsv_store.store.search.Search.injections`."""
    check_limit(limit)
    point = point_um("point", point)
    report_undecided(connection, selection, missing="leave_out")
    ids = search_among(
        connection,
        resolve(connection, selection),
        {"near": point, "radius_um": _EVERYWHERE_UM if radius_um is None else radius_um},
    )
    columns = (Experiment.id, Experiment.injection_ap, Experiment.injection_dv, Experiment.injection_ml)
    query = select(*columns).where(id_in(connection, Experiment.id, ids)).order_by(Experiment.id)
    # Convert to tuples: NumPy looks up attributes of SQLAlchemy rows, which takes longer than the query.
    found = np.array([tuple(row) for row in connection.execute(query)], dtype=float).reshape(-1, 4)
    distance = np.sqrt(((found[:, 1:] - np.array(point, dtype=float)) ** 2).sum(axis=1))
    return found_frame(connection, ids, {"distance_um": distance}, limit=limit, ascending=True)
