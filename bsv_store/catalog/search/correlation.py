"""The correlation search: the experiments that project most similarly to a given one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import Connection, select

from bsv_store.catalog.database.id_lists import id_in
from bsv_store.catalog.database.models import StructureAncestor
from bsv_store.catalog.search.found import check_limit, found_frame
from bsv_store.catalog.search.signal import find_targets, read_signal
from bsv_store.catalog.selection.commands import sync_command
from bsv_store.catalog.selection.resolve import check_selection, resolve
from bsv_store.catalog.selection.selection import Selection
from bsv_store.catalog.structures import StructureRef, StructureRow, find_structures
from bsv_store.catalog.tables.frames import uncovered_among
from bsv_store.catalog.without_unionizes import report_left_out, report_undecided, report_without_side
from bsv_store.check import choice
from bsv_store.errors import InputError, MissingDataError
from bsv_store.vocabulary import MEASURED_HEMISPHERES, MISSING_POLICIES

if TYPE_CHECKING:
    import pandas as pd

    from bsv_store.vocabulary import Measure, MeasuredHemisphere, MissingPolicy


def search_correlation(
    connection: Connection,
    experiment_id: int,
    *,
    selection: Selection,
    domain: StructureRef | Sequence[StructureRef] | None = None,
    structure_set: int | None = None,
    measure: Measure = "projection_density",
    hemisphere: MeasuredHemisphere = "both",
    limit: int | None = None,
    missing: MissingPolicy = "leave_out",
) -> pd.DataFrame:
    """See :meth:`bsv_store.store.search.Search.correlation`."""
    check_limit(limit)
    policy = choice("missing", missing, MISSING_POLICIES).name
    side = choice("hemisphere", hemisphere, MEASURED_HEMISPHERES).name
    with_excluded = any(leaf.include_excluded for leaf in selection.leaves())
    seed = Selection(ids=[experiment_id], include_excluded=with_excluded)
    check_selection(connection, seed)
    structures = _inside(connection, find_targets(connection, None, structure_set), domain)
    if len(structures) < 2:
        raise InputError(
            f"the domain contains {len(structures)} structures of the set; a correlation needs at least 2",
            hint="Name a larger domain, or another set: 184527634 contains nearly all measured structures.",
        )
    report_undecided(connection, selection, missing=policy)
    ids = {*resolve(connection, selection), experiment_id}
    signal = read_signal(connection, ids, structures, measure=measure, hemisphere=side)
    known = ~np.isnan(signal.values[:, 0])
    experiments, values = signal.experiment_ids[known], signal.values[known]
    without = uncovered_among(connection, ids, "projection")
    if experiment_id in without:
        raise MissingDataError(
            f"the unionize table of experiment {experiment_id} is not in the store",
            hint=f"Fetch it: {sync_command(seed, [experiment_id])}",
        )
    if experiment_id not in experiments:
        raise MissingDataError(
            f"the injected hemisphere of experiment {experiment_id} is not known, so {side} values are not either",
            hint="Choose the hemisphere both, left or right.",
        )
    report_left_out(without, missing=policy)
    without_side = report_without_side(connection, ids, [side], missing=policy)
    correlation = _correlated(values, values[experiments == experiment_id][0])
    others = experiments != experiment_id
    frame = found_frame(connection, experiments[others], {"correlation": correlation[others]}, limit=limit)
    frame.attrs["without_unionizes"] = list(without)
    frame.attrs["without_hemisphere"] = without_side
    return frame


def _correlated(values: Any, seed: Any) -> Any:
    """Pearson's r of each row with the seed; NaN where one of them is constant."""
    centered = values - values.mean(axis=1, keepdims=True)
    own = seed - seed.mean()
    length = np.sqrt((centered**2).sum(axis=1) * (own**2).sum())
    # Constant rows need not be exactly 0 after subtraction of their rounded mean.
    varies = (np.ptp(values, axis=1) > 0) & (np.ptp(seed) > 0) & (length > 0)
    correlation = np.full(len(values), np.nan)
    np.divide(centered @ own, length, out=correlation, where=varies)
    return np.clip(correlation, -1.0, 1.0)


def _inside(
    connection: Connection, rows: Sequence[StructureRow], domain: StructureRef | Sequence[StructureRef] | None
) -> list[StructureRow]:
    if domain is None:
        return list(rows)
    ids = [row.id for row in find_structures(connection, domain)]
    inside = select(StructureAncestor.descendant_id).where(id_in(connection, StructureAncestor.ancestor_id, ids))
    inner = set(connection.scalars(inside))
    return [row for row in rows if row.id in inner]
