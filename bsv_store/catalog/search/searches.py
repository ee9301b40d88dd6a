"""The searches of the Allen web site and API, offline: by source, target, injection coordinate and correlation.

Each returns experiments, best first, with what they are ranked by. (The fifth, by the density at a point, needs the
volumes: see ``bsv_store.catalog.search.point``.)
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import Connection, select

from bsv_store.catalog.database.id_lists import id_in
from bsv_store.catalog.database.models import Experiment, StructureAncestor
from bsv_store.catalog.records import ROOT_STRUCTURE_ID
from bsv_store.catalog.search.signal import Signal, checked_hemisphere, checked_measure, find_targets, read_signal
from bsv_store.catalog.selection.criteria import InjectionScope, Measure, TargetHemisphere
from bsv_store.catalog.selection.names import looked_up
from bsv_store.catalog.selection.resolve import resolve
from bsv_store.catalog.selection.selection import Selection
from bsv_store.catalog.structures import StructureRef, StructureRow, find_structures
from bsv_store.catalog.tables.views import view
from bsv_store.check import point_um
from bsv_store.errors import InputError, MissingDataError
from bsv_store.text import shown

if TYPE_CHECKING:
    import pandas as pd

FOUND_COLUMNS = (
    "experiment_id",
    "primary_structure",
    "transgenic_line",
    "product_id",
    "injected_hemisphere",
    "injection_volume",
    "injection_ap",
    "injection_dv",
    "injection_ml",
)
"""What every search tells of the experiments found, before its own columns."""

_DTYPES = dict(
    zip(FOUND_COLUMNS, ("int64", "object", "object", "Int64", "object", "float64", *["Int64"] * 3), strict=True)
)


# Whether withdrawn and excluded experiments are searched is up to the selection that narrows the search.
_ANY: dict[str, Any] = {"include_withdrawn": True, "include_excluded": True}


def search_sources(
    connection: Connection,
    structures: StructureRef | Sequence[StructureRef],
    *,
    selection: Selection,
    injection: InjectionScope = "primary",
    domain: StructureRef | Sequence[StructureRef] | None = None,
    hemisphere: TargetHemisphere = "both",
    limit: int | None = None,
) -> pd.DataFrame:
    """See :meth:`bsv_store.store.search.Search.sources`."""
    wanted = Selection(injected_in=structures, injection=injection, **_ANY)
    ids = _searched(connection, wanted, selection, limit)
    measured = (
        find_structures(connection, [ROOT_STRUCTURE_ID])
        if domain is None
        else _outermost(connection, find_targets(connection, domain, None))
    )
    signal = _signal(connection, ids, measured, "projection_volume", hemisphere)
    values = signal.values.sum(axis=1)
    return _ranked(connection, signal.experiment_ids, {"projection_volume": values}, limit=limit)


def search_targets(
    connection: Connection,
    targets: StructureRef | Sequence[StructureRef],
    *,
    selection: Selection,
    measure: Measure = "projection_volume",
    threshold: float = 0.0,
    hemisphere: TargetHemisphere = "both",
    limit: int | None = None,
) -> pd.DataFrame:
    """See :meth:`bsv_store.store.search.Search.targets`."""
    wanted = Selection(
        projecting_to=targets, measure=measure, threshold=threshold, target_hemisphere=hemisphere, **_ANY
    )
    ids = _searched(connection, wanted, selection, limit)
    (leaf,) = wanted.leaves()
    if leaf.projecting_to is None:
        raise InputError("targets is None", hint="Name one or more structures, such as 'CP'.")
    rows = find_structures(connection, leaf.projecting_to)
    signal = _signal(connection, ids, rows, measure, hemisphere)
    strongest = signal.values.argmax(axis=1)
    acronyms = np.array([row.acronym for row in rows], dtype=object)
    own = {"target": acronyms[strongest], "value": signal.values[np.arange(len(strongest)), strongest]}
    return _ranked(connection, signal.experiment_ids, own, limit=limit)


def search_injections(
    connection: Connection,
    point: Sequence[float],
    *,
    selection: Selection,
    radius_um: float | None = None,
    limit: int | None = None,
) -> pd.DataFrame:
    """See :meth:`bsv_store.store.search.Search.injections`."""
    point = point_um("point", point)
    # The check of a selection; without a radius nothing in the box is too far away.
    nearby = Selection(near=point, radius=1e6 if radius_um is None else radius_um, **_ANY)
    ids = _searched(connection, nearby, selection, limit)
    columns = (Experiment.id, Experiment.injection_ap, Experiment.injection_dv, Experiment.injection_ml)
    query = select(*columns).where(id_in(connection, Experiment.id, ids)).order_by(Experiment.id)
    # As tuples: NumPy asks rows of SQLAlchemy for things that they do not have, which takes longer than the query.
    found = np.array([tuple(row) for row in connection.execute(query)], dtype=float).reshape(-1, 4)
    distance = np.sqrt(((found[:, 1:] - np.array(point, dtype=float)) ** 2).sum(axis=1))
    return _ranked(connection, np.array(ids, dtype=np.int64), {"distance_um": distance}, limit=limit, ascending=True)


def search_correlation(
    connection: Connection,
    experiment_id: int,
    *,
    selection: Selection,
    domain: StructureRef | Sequence[StructureRef] | None = None,
    structure_set: int | None = None,
    measure: Measure = "projection_density",
    hemisphere: TargetHemisphere = "both",
    limit: int | None = None,
) -> pd.DataFrame:
    """See :meth:`bsv_store.store.search.Search.correlation`."""
    _check_limit(limit)
    # Checks that it is an id, and known.
    looked_up(connection, Selection(ids=[experiment_id]))
    structures = _inside(connection, find_targets(connection, None, structure_set), domain)
    if len(structures) < 2:
        raise InputError(
            f"the domain has {len(structures)} structures of the set, too few to compare",
            hint="Name a larger domain, or another set: 184527634 holds all structures that are measured.",
        )
    ids = {*resolve(connection, selection), experiment_id}
    signal = _signal(connection, ids, structures, measure, hemisphere)
    known = ~np.isnan(signal.values[:, 0])
    experiments, values = signal.experiment_ids[known], signal.values[known]
    if experiment_id not in experiments:
        raise MissingDataError(
            f"the projections of experiment {experiment_id}, or its injected hemisphere, are not in the store",
            hint=f"Bring them: bsv-store sync unionizes --ids {experiment_id}",
        )
    correlation = _correlated(values, values[experiments == experiment_id][0])
    others = experiments != experiment_id
    return _ranked(connection, experiments[others], {"correlation": correlation[others]}, limit=limit)


def _correlated(values: Any, seed: Any) -> Any:
    """Pearson's correlation of each row with the seed's; NaN where one of them does not vary."""
    centered = values - values.mean(axis=1, keepdims=True)
    own = seed - seed.mean()
    length = np.sqrt((centered**2).sum(axis=1) * (own**2).sum())
    # What is constant keeps a rest of rounding after its mean is taken away.
    varies = (np.ptp(values, axis=1) > 0) & (np.ptp(seed) > 0) & (length > 0)
    correlation = np.full(len(values), np.nan)
    np.divide(centered @ own, length, out=correlation, where=varies)
    return np.clip(correlation, -1.0, 1.0)


# -- what they share --------------------------------------------------------------------------------------------------


def rank_experiments(
    connection: Connection,
    experiment_ids: Sequence[int],
    own: Mapping[str, Sequence[Any]],
    *,
    limit: int | None = None,
    ascending: bool = False,
) -> pd.DataFrame:
    """The experiments with ``FOUND_COLUMNS`` and further columns, ranked by the last of these; NaN last, ties by id.

    Raises
    ------
    InputError
        If the limit is no positive whole number.
    """
    _check_limit(limit)
    return _ranked(connection, np.array(experiment_ids, dtype=np.int64), own, limit=limit, ascending=ascending)


def _ranked(
    connection: Connection,
    experiment_ids: Any,
    own: Mapping[str, Any],
    *,
    limit: int | None,
    ascending: bool = False,
) -> pd.DataFrame:
    import pandas as pd

    scores = np.array(own[list(own)[-1]], dtype=float)
    # NaN sorts last either way.
    order = np.lexsort([experiment_ids, scores if ascending else -scores])[:limit]
    ids = experiment_ids[order].tolist()
    experiments = view("experiments").c
    columns = (experiments.id, *(experiments[name] for name in FOUND_COLUMNS[1:]))
    rows = connection.execute(select(*columns).where(id_in(connection, experiments.id, ids)))
    by_id = {row[0]: row for row in rows}
    values = list(zip(*(by_id[identifier] for identifier in ids), strict=True)) or [()] * len(FOUND_COLUMNS)
    frame = {
        name: pd.Series(list(column), dtype=_DTYPES[name]) for name, column in zip(FOUND_COLUMNS, values, strict=True)
    }
    return pd.DataFrame({**frame, **{name: np.asarray(values)[order] for name, values in own.items()}})


def _searched(connection: Connection, wanted: Selection, selection: Selection, limit: int | None) -> tuple[int, ...]:
    """The experiments that match, of those that are searched, ascending; and the limit is one."""
    _check_limit(limit)
    return resolve(connection, wanted & selection)


def _signal(
    connection: Connection, ids: Collection[int], structures: Sequence[StructureRow], measure: str, hemisphere: str
) -> Signal:
    """The signal of experiments in structures; the names of measure and hemisphere are checked."""
    return read_signal(
        connection,
        ids,
        [row.id for row in structures],
        measure=checked_measure(measure),
        hemisphere=checked_hemisphere(hemisphere),
    )


def _check_limit(limit: object) -> None:
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        raise InputError(f"the limit is a positive whole number, not {shown(limit)}")


def _outermost(connection: Connection, rows: Sequence[StructureRow]) -> list[StructureRow]:
    """Those that do not lie inside another one: parents already contain their children."""
    ids = [row.id for row in rows]
    inner = select(StructureAncestor.descendant_id).where(
        id_in(connection, StructureAncestor.ancestor_id, ids), StructureAncestor.distance > 0
    )
    inside = set(connection.scalars(inner))
    return [row for row in rows if row.id not in inside]


def _inside(
    connection: Connection, rows: Sequence[StructureRow], domain: StructureRef | Sequence[StructureRef] | None
) -> list[StructureRow]:
    if domain is None:
        return list(rows)
    ids = [row.id for row in find_structures(connection, domain)]
    inside = select(StructureAncestor.descendant_id).where(id_in(connection, StructureAncestor.ancestor_id, ids))
    inner = set(connection.scalars(inside))
    return [row for row in rows if row.id in inner]
