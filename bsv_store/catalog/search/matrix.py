"""The projection matrix: a measure by experiment, or source structure, and by target structure and hemisphere.

A cell is 0 where the store has an experiment's unionize table and the table has no row for the target (no overlap), and
NaN where it does not have the table. AllenSDK's ``get_projection_matrix`` is the matrix by experiment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Literal, assert_never

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from bsv_store.catalog.database.id_lists import id_in
from bsv_store.catalog.database.models import Experiment, StructureAncestor
from bsv_store.catalog.hemispheres import checked_hemispheres, hemisphere_ids
from bsv_store.catalog.search.found import check_limit
from bsv_store.catalog.search.matrix_layout import arranged
from bsv_store.catalog.search.signal import Signal, find_targets, read_signal
from bsv_store.catalog.selection.resolve import resolve_nonempty
from bsv_store.catalog.selection.selection import Selection
from bsv_store.catalog.structures import StructureRef, StructureRow, find_structures
from bsv_store.catalog.tables.frames import uncovered_among
from bsv_store.catalog.without_unionizes import report_left_out, report_undecided, report_without_side
from bsv_store.check import choice
from bsv_store.errors import InputError
from bsv_store.vocabulary import (
    MATRIX_LAYOUTS,
    MATRIX_ROWS,
    MATRIX_STATISTICS,
    MEASURES,
    MISSING_POLICIES,
    MatrixLayout,
    MatrixRows,
    MatrixStatistic,
    Measure,
    MeasuredHemisphere,
    MissingPolicy,
)

if TYPE_CHECKING:
    import pandas as pd


def projection_matrix(
    connection: Connection,
    selection: Selection,
    *,
    rows: MatrixRows = "sources",
    sources: StructureRef | Sequence[StructureRef] | None = None,
    targets: StructureRef | Sequence[StructureRef] | None = None,
    structure_set: int | None = None,
    hemisphere: MeasuredHemisphere | Sequence[MeasuredHemisphere] = ("ipsilateral", "contralateral"),
    measure: Measure = "normalized_projection_volume",
    statistic: MatrixStatistic = "mean",
    layout: MatrixLayout = "wide",
    limit: int | None = None,
    missing: MissingPolicy = "leave_out",
) -> pd.DataFrame:
    """See :meth:`bsv_store.store.catalog.Catalog.matrix`."""
    import pandas as pd

    policy = choice("missing", missing, MISSING_POLICIES).name
    arrangement = choice("layout", layout, MATRIX_LAYOUTS).name
    check_limit(limit)
    chosen = _checked_statistic(rows, statistic, sources)
    sides = checked_hemispheres(hemisphere)
    targeted = find_targets(connection, targets, structure_set)
    membership = experiments_by_source(connection, selection, sources)
    ids = [experiment for experiment, _ in membership]
    without = uncovered_among(connection, ids, "projection")
    report_undecided(connection, selection, missing=policy)
    report_left_out(without, missing=policy)
    without_side = report_without_side(connection, ids, sides, missing=policy)
    signals = [read_signal(connection, ids, targeted, measure=measure, hemisphere=side) for side in sides]
    index: pd.Index
    if choice("rows", rows, MATRIX_ROWS).name == "experiments":
        order = np.searchsorted(signals[0].experiment_ids, ids)
        values = np.hstack([signal.values[order] for signal in signals])
        counted = int((~np.isnan(values)).any(axis=1).sum())
        index = pd.Index(ids, dtype="int64", name="experiment_id")
    else:
        sourced = _unique([source for _, source in membership])
        values = np.hstack([_pooled(signal, membership, sourced, chosen) for signal in signals])
        # An experiment counts for all targets, or for none.
        firsts = [replace(signal, values=signal.values[:, :1]) for signal in signals]
        numbers = [_pooled(first, membership, sourced, "n")[:, 0] for first in firsts]
        counted = int(np.max(numbers, axis=0).sum())
        index = pd.Index([row.acronym for row in sourced], dtype=object, name="source")
    frame = pd.DataFrame(values, index=index, columns=_columns(hemisphere, sides, targeted))
    frame.attrs["n"] = counted
    frame.attrs["without_unionizes"] = list(without)
    frame.attrs["without_hemisphere"] = without_side
    name = "n" if chosen == "n" else choice("measure", measure, MEASURES).name
    return arranged(frame, arrangement, limit=limit, name=name)


def _columns(
    hemisphere: MeasuredHemisphere | Sequence[MeasuredHemisphere],
    sides: Sequence[MeasuredHemisphere],
    targeted: Sequence[StructureRow],
) -> pd.Index:
    import pandas as pd

    acronyms = [row.acronym for row in targeted]
    if isinstance(hemisphere, str):
        return pd.Index(acronyms, dtype=object, name="target")
    return pd.MultiIndex.from_tuples(list(product(sides, acronyms)), names=["hemisphere", "target"])


def _pooled(
    signal: Signal,
    membership: Sequence[tuple[int, StructureRow]],
    sourced: Sequence[StructureRow],
    statistic: MatrixStatistic,
) -> NDArray[np.float64]:
    """One row for each source."""
    numbers = {row.id: number for number, row in enumerate(sourced)}
    source_of = {experiment: numbers[source.id] for experiment, source in membership}
    source = np.array([source_of[identifier] for identifier in signal.experiment_ids.tolist()])
    # An experiment counts for all targets, or for none.
    counts = ~np.isnan(signal.values[:, :1]).any(axis=1)
    members = [signal.values[(source == number) & counts] for number in range(len(sourced))]
    return np.array([_statistic(values, statistic) for values in members])


def _statistic(values: NDArray[np.float64], statistic: MatrixStatistic) -> NDArray[np.float64]:
    """A statistic over the experiments of a source, one row each."""
    targets = values.shape[1]
    if statistic == "n":
        return np.full(targets, float(len(values)))
    if not len(values):
        return np.full(targets, np.nan)
    if statistic == "mean":
        return np.asarray(values.mean(axis=0))
    if statistic == "median":
        return np.asarray(np.median(values, axis=0))
    assert_never(statistic)


# -- as SQL -----------------------------------------------------------------------------------------------------------


def matrix_sql(
    connection: Connection,
    selection: Selection,
    *,
    sources: StructureRef | Sequence[StructureRef] | None = None,
    targets: StructureRef | Sequence[StructureRef] | None = None,
    structure_set: int | None = None,
    hemisphere: MeasuredHemisphere | Sequence[MeasuredHemisphere] = ("ipsilateral", "contralateral"),
    measure: Measure = "normalized_projection_volume",
    statistic: MatrixStatistic = "mean",
) -> str:
    """See :meth:`bsv_store.store.catalog.Catalog.matrix_sql`."""
    chosen = _checked_statistic("sources", statistic, sources)
    name = choice("measure", measure, MEASURES).name
    sides = checked_hemispheres(hemisphere)
    targeted = find_targets(connection, targets, structure_set)
    membership = experiments_by_source(connection, selection, sources)
    # The statistic 'n' needs no value, because n is always a column.
    value = "" if chosen == "n" else f", {_value_sql(chosen)} AS {name}"
    # Only integers that were looked up and names from closed lists: the text contains no user input.
    return f"""\
WITH member (experiment_id, source_id) AS (
    VALUES {", ".join(f"({int(experiment)}, {int(source.id)})" for experiment, source in membership)}
),
counted AS (
    SELECT m.experiment_id, m.source_id, e.injected_hemisphere
    FROM member AS m
    JOIN experiment AS e ON e.id = m.experiment_id
    JOIN unionize_coverage AS c ON c.experiment_id = m.experiment_id AND c.part = 'projection'
),
side (experiment_id, source_id, hemisphere, side_order, hemisphere_id) AS (
    {" UNION ALL ".join(_side_sql(number, side) for number, side in enumerate(sides))}
),
cell AS (
    SELECT side.source_id, side.hemisphere, side.side_order, target.id AS target_id, coalesce(u.{name}, 0.0) AS value
    FROM side
    CROSS JOIN structure AS target
    LEFT JOIN unionize AS u
        ON u.experiment_id = side.experiment_id AND u.structure_id = target.id
        AND u.hemisphere_id = side.hemisphere_id AND u.is_injection = FALSE
    WHERE target.id IN ({", ".join(str(int(row.id)) for row in targeted)})
),
ranked AS (
    SELECT cell.*{_RANKS if chosen == "median" else ""} FROM cell
)
SELECT source.acronym AS source, ranked.hemisphere, target.acronym AS target, count(*) AS n{value}
FROM ranked
JOIN structure AS source ON source.id = ranked.source_id
JOIN structure AS target ON target.id = ranked.target_id
GROUP BY source.id, source.acronym, source.graph_order, ranked.side_order, ranked.hemisphere,
    target.id, target.acronym, target.graph_order
ORDER BY source.graph_order, ranked.side_order, target.graph_order"""


_RANKS = """,
        row_number() OVER (PARTITION BY source_id, side_order, target_id ORDER BY value) AS position,
        count(*) OVER (PARTITION BY source_id, side_order, target_id) AS n"""


def _value_sql(statistic: Literal["mean", "median"]) -> str:
    if statistic == "mean":
        return "avg(value)"
    if statistic == "median":
        return "avg(CASE WHEN position IN ((n + 1) / 2, (n + 2) / 2) THEN value END)"
    assert_never(statistic)


def _side_sql(number: int, side: MeasuredHemisphere) -> str:
    on_left, on_right = hemisphere_ids(side)
    if on_left == on_right:
        return f"SELECT experiment_id, source_id, '{side}', {number}, {on_left} FROM counted"
    return (
        f"SELECT experiment_id, source_id, '{side}', {number},"
        f" CASE injected_hemisphere WHEN 'left' THEN {on_left} ELSE {on_right} END"
        " FROM counted WHERE injected_hemisphere IS NOT NULL"
    )


# -- shared by both ---------------------------------------------------------------------------------------------------


def _checked_statistic(
    rows: MatrixRows, statistic: MatrixStatistic, sources: StructureRef | Sequence[StructureRef] | None
) -> MatrixStatistic:
    chosen: MatrixStatistic = choice("statistic", statistic, MATRIX_STATISTICS).name
    if choice("rows", rows, MATRIX_ROWS).name == "experiments" and (sources is not None or chosen != "mean"):
        raise InputError("rows='experiments' cannot be combined with sources or a statistic", hint="Leave them out.")
    return chosen


def experiments_by_source(
    connection: Connection, selection: Selection, sources: StructureRef | Sequence[StructureRef] | None
) -> list[tuple[int, StructureRow]]:
    """The experiments with their sources: in the ontology order of the sources, then by id.

    A source is the primary injection structure, or the nearest of the given structures that contains it.
    """
    ids = resolve_nonempty(connection, selection)
    query = select(Experiment.id, Experiment.primary_structure_id).where(id_in(connection, Experiment.id, ids))
    primaries = {key: value for key, value in connection.execute(query)}
    if sources is None:
        used = {row.id: row for row in find_structures(connection, sorted(set(primaries.values())))}
        nearest = {identifier: identifier for identifier in used}
    else:
        used = {row.id: row for row in find_structures(connection, sources)}
        nearest = _nearest(connection, list(used))
    found = [(identifier, used[nearest[own]]) for identifier, own in primaries.items() if own in nearest]
    if not found:
        raise InputError(
            f"none of the selected experiments ({len(ids):,}) was injected in one of the sources",
            hint="See their primary structures: `bsv-store catalog summary`.",
        )
    return sorted(found, key=lambda pair: (pair[1].graph_order, pair[1].id, pair[0]))


def _nearest(connection: Connection, sources: Sequence[int]) -> dict[int, int]:
    """The nearest source that contains each structure, by structure id; a source contains itself."""
    query = select(StructureAncestor.descendant_id, StructureAncestor.ancestor_id).where(
        id_in(connection, StructureAncestor.ancestor_id, sources)
    )
    nearest: dict[int, int] = {}
    for descendant, ancestor in connection.execute(query.order_by(StructureAncestor.distance.desc())):
        nearest[descendant] = ancestor
    return nearest


def _unique(rows: Sequence[StructureRow]) -> list[StructureRow]:
    return list({row.id: row for row in rows}.values())
