"""The target search: the experiments that project to structures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from sqlalchemy import Connection

from bsv_store.catalog.search.found import check_limit, find_named, found_frame, search_among
from bsv_store.catalog.search.signal import read_signal
from bsv_store.catalog.selection.resolve import resolve
from bsv_store.catalog.structures import StructureRef
from bsv_store.catalog.tables.frames import uncovered_among
from bsv_store.catalog.without_unionizes import report_left_out, report_undecided, report_without_side
from bsv_store.check import choice
from bsv_store.vocabulary import MEASURED_HEMISPHERES, MEASURES, MISSING_POLICIES

if TYPE_CHECKING:
    import pandas as pd

    from bsv_store.catalog.selection.selection import Selection
    from bsv_store.vocabulary import Measure, MeasuredHemisphere, MissingPolicy


def search_targets(
    connection: Connection,
    structures: StructureRef | Sequence[StructureRef],
    *,
    selection: Selection,
    measure: Measure = "projection_volume",
    threshold: float = 0.0,
    hemisphere: MeasuredHemisphere = "both",
    limit: int | None = None,
    missing: MissingPolicy = "leave_out",
) -> pd.DataFrame:
    """See :meth:`bsv_store.store.search.Search.targets`."""
    check_limit(limit)
    policy = choice("missing", missing, MISSING_POLICIES).name
    rows = find_named(connection, structures)
    criteria = {
        "projecting_to": [row.id for row in rows],
        "target_measure": measure,
        "target_threshold": threshold,
        "target_hemisphere": hemisphere,
    }
    report_undecided(connection, selection, missing=policy)
    selected = resolve(connection, selection)
    ids = search_among(connection, selected, criteria)
    without = uncovered_among(connection, selected, "projection")
    report_left_out(without, missing=policy)
    side = choice("hemisphere", hemisphere, MEASURED_HEMISPHERES).name
    without_side = report_without_side(connection, selected, [side], missing=policy)
    signal = read_signal(connection, ids, rows, measure=measure, hemisphere=hemisphere)
    strongest = signal.values.argmax(axis=1)
    acronyms = np.array([row.acronym for row in rows], dtype=object)
    own = {
        "target": acronyms[strongest],
        choice("measure", measure, MEASURES).name: signal.values[np.arange(len(strongest)), strongest],
    }
    frame = found_frame(connection, signal.experiment_ids, own, limit=limit)
    frame.attrs["without_unionizes"] = list(without)
    frame.attrs["without_hemisphere"] = without_side
    return frame
