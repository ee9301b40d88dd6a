"""The source search: the experiments injected in structures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from sqlalchemy import Connection, select

from bsv_store.catalog.database.id_lists import id_in
from bsv_store.catalog.database.models import StructureAncestor
from bsv_store.catalog.injection_overlap import injection_overlaps
from bsv_store.catalog.records import ROOT_STRUCTURE_ID
from bsv_store.catalog.search.found import check_limit, find_named, found_frame, search_among
from bsv_store.catalog.search.signal import find_targets, read_signal
from bsv_store.catalog.selection.resolve import resolve
from bsv_store.catalog.structures import StructureRef, StructureRow, find_structures
from bsv_store.catalog.without_unionizes import report_undecided, report_without_side
from bsv_store.check import choice
from bsv_store.vocabulary import MEASURED_HEMISPHERES

if TYPE_CHECKING:
    import pandas as pd

    from bsv_store.catalog.selection.selection import Selection
    from bsv_store.vocabulary import InjectionScope, MeasuredHemisphere


def search_sources(
    connection: Connection,
    structures: StructureRef | Sequence[StructureRef],
    *,
    selection: Selection,
    injection: InjectionScope = "primary",
    domain: StructureRef | Sequence[StructureRef] | None = None,
    hemisphere: MeasuredHemisphere = "both",
    limit: int | None = None,
) -> pd.DataFrame:
    """See :meth:`bsv_store.store.search.Search.sources`."""
    check_limit(limit)
    named = [row.id for row in find_named(connection, structures)]
    report_undecided(connection, selection, missing="leave_out")
    ids = search_among(connection, resolve(connection, selection), {"injected_in": named, "injection": injection})
    measured = (
        find_structures(connection, [ROOT_STRUCTURE_ID])
        if domain is None
        else _outermost(connection, find_targets(connection, domain, None))
    )
    side = choice("hemisphere", hemisphere, MEASURED_HEMISPHERES).name
    without_side = report_without_side(connection, ids, [side], missing="leave_out")
    signal = read_signal(connection, ids, measured, measure="projection_volume", hemisphere=side)
    shares = {key: value for key, value in connection.execute(injection_overlaps(connection, named))}
    own = {
        "injection_overlap": np.array([shares.get(each, np.nan) for each in signal.experiment_ids.tolist()]),
        "projection_volume": signal.values.sum(axis=1),
    }
    frame = found_frame(connection, signal.experiment_ids, own, limit=limit)
    frame.attrs["without_hemisphere"] = without_side
    return frame


def _outermost(connection: Connection, rows: Sequence[StructureRow]) -> list[StructureRow]:
    """The structures that are not inside another one of the list; parents already contain their children."""
    ids = [row.id for row in rows]
    inner = select(StructureAncestor.descendant_id).where(
        id_in(connection, StructureAncestor.ancestor_id, ids), StructureAncestor.distance > 0
    )
    inside = set(connection.scalars(inner))
    return [row for row in rows if row.id not in inside]
