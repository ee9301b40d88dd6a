"""The projection matrix: experiments, or the structures they were injected in, by target structures and hemispheres.

A cell is 0 where the store holds an experiment's rows outside the injection and has none for the target ("no overlap"),
and missing where it does not hold them. What AllenSDK calls ``get_projection_matrix`` is the matrix by experiment.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from bsv_store.catalog.database.id_lists import id_in
from bsv_store.catalog.database.models import Experiment, StructureAncestor
from bsv_store.catalog.search.signal import Signal, checked_hemisphere, checked_measure, find_targets, read_signal
from bsv_store.catalog.selection.criteria import HEMISPHERE_IDS, Measure, TargetHemisphere
from bsv_store.catalog.selection.resolve import resolve_nonempty
from bsv_store.catalog.selection.selection import Selection
from bsv_store.catalog.structures import StructureRef, StructureRow, find_structures
from bsv_store.check import several
from bsv_store.errors import InputError
from bsv_store.text import shown

if TYPE_CHECKING:
    import pandas as pd

Statistic = Literal["mean", "median", "n"]
Rows = Literal["sources", "experiments"]


def projection_matrix(
    connection: Connection,
    selection: Selection,
    *,
    rows: Rows = "sources",
    sources: StructureRef | Sequence[StructureRef] | None = None,
    targets: StructureRef | Sequence[StructureRef] | None = None,
    structure_set: int | None = None,
    hemisphere: TargetHemisphere | Sequence[TargetHemisphere] = ("ipsilateral", "contralateral"),
    measure: Measure = "normalized_projection_volume",
    statistic: Statistic = "mean",
) -> pd.DataFrame:
    """The signal of selected experiments in target structures: float64, rows and columns in ontology order.

    The index is ``source`` (acronym) or ``experiment_id``; the columns are (``hemisphere``, ``target``), or ``target``
    alone where one hemisphere is named. NaN where the store lacks the rows of all experiments of that source.

    Parameters
    ----------
    connection : sqlalchemy.Connection
    selection : Selection
    rows : {"sources", "experiments"}
        One row for each primary injection structure, or for each experiment.
    sources : sequence of str or int, optional
        Pool the experiments by the nearest of these that contains their primary structure; the others are left out.
    targets : sequence of str or int, optional
        By default the members of ``structure_set``. Rows of a parent already contain its children.
    structure_set : int, optional
        By default 167587189, the summary structures; 184527634 holds all that are measured.
    hemisphere : str or sequence of str
        Of the target: "ipsilateral", "contralateral", "left", "right", "both".
    measure : str
        Of the unionize rows outside the injection.
    statistic : {"mean", "median", "n"}
        Over the experiments of a source; "n" is how many of them count.

    Raises
    ------
    EmptySelectionError
        If no experiment matches.
    UnknownStructureError, UnknownExperimentError, SelectionError
        If something is named that the catalog does not have.
    InputError
        If an option has a value that it cannot have, or the signal in a target is never measured.
    """
    import pandas as pd

    _check(rows, statistic, sources)
    sides = _sides(hemisphere)
    targeted = find_targets(connection, targets, structure_set)
    membership = _membership(connection, selection, sources)
    ids = [experiment for experiment, _ in membership]
    signals = [
        read_signal(connection, ids, [row.id for row in targeted], measure=checked_measure(measure), hemisphere=side)
        for side in sides
    ]
    if rows == "experiments":
        order = np.searchsorted(signals[0].experiment_ids, ids)
        values = np.hstack([signal.values[order] for signal in signals])
        index = pd.Index(ids, dtype="int64", name="experiment_id")
    else:
        sourced = _unique([source for _, source in membership])
        values = np.hstack([_pooled(signal, membership, sourced, statistic) for signal in signals])
        index = pd.Index([row.acronym for row in sourced], dtype=object, name="source")
    return pd.DataFrame(values, index=index, columns=_columns(hemisphere, sides, targeted))


def _columns(
    hemisphere: TargetHemisphere | Sequence[TargetHemisphere],
    sides: Sequence[TargetHemisphere],
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
    statistic: Statistic,
) -> NDArray[np.float64]:
    """One row for each source."""
    numbers = {row.id: number for number, row in enumerate(sourced)}
    source_of = {experiment: numbers[source.id] for experiment, source in membership}
    source = np.array([source_of[identifier] for identifier in signal.experiment_ids.tolist()])
    # An experiment counts for all targets, or for none.
    counts = ~np.isnan(signal.values[:, :1]).any(axis=1)
    pooled = np.full((len(sourced), signal.values.shape[1]), 0.0 if statistic == "n" else np.nan)
    for number in range(len(sourced)):
        values = signal.values[(source == number) & counts]
        if statistic == "n":
            pooled[number] = len(values)
        elif len(values):
            pooled[number] = np.median(values, axis=0) if statistic == "median" else values.mean(axis=0)
    return pooled


# -- the same as SQL --------------------------------------------------------------------------------------------------


def matrix_sql(
    connection: Connection,
    selection: Selection,
    *,
    sources: StructureRef | Sequence[StructureRef] | None = None,
    targets: StructureRef | Sequence[StructureRef] | None = None,
    structure_set: int | None = None,
    hemisphere: TargetHemisphere | Sequence[TargetHemisphere] = ("ipsilateral", "contralateral"),
    measure: Measure = "normalized_projection_volume",
    statistic: Statistic = "mean",
) -> str:
    """The matrix by source as one SELECT for both databases, e.g. for ``Store.sql()``: one row for each cell.

    Its columns are source, hemisphere, target, n (experiments that count) and value, in ontology order. Sources without
    any experiment that counts are absent. Parameters and errors are those of ``projection_matrix``.
    """
    _check("sources", statistic, sources)
    name = checked_measure(measure)
    sides = _sides(hemisphere)
    targeted = find_targets(connection, targets, structure_set)
    membership = _membership(connection, selection, sources)
    if statistic == "median":
        value = "avg(CASE WHEN position IN ((n + 1) / 2, (n + 2) / 2) THEN value END)"
    else:
        value = "avg(value)" if statistic == "mean" else "count(*)"
    # Only whole numbers that were looked up, and names out of fixed lists: nothing that a user wrote is in this text.
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
    SELECT cell.*{_RANKS if statistic == "median" else ""} FROM cell
)
SELECT source.acronym AS source, ranked.hemisphere, target.acronym AS target, count(*) AS n, {value} AS value
FROM ranked
JOIN structure AS source ON source.id = ranked.source_id
JOIN structure AS target ON target.id = ranked.target_id
GROUP BY source.id, source.acronym, source.graph_order, ranked.side_order, ranked.hemisphere,
    target.id, target.acronym, target.graph_order
ORDER BY source.graph_order, ranked.side_order, target.graph_order"""


_RANKS = """,
        row_number() OVER (PARTITION BY source_id, side_order, target_id ORDER BY value) AS position,
        count(*) OVER (PARTITION BY source_id, side_order, target_id) AS n"""


def _side_sql(number: int, side: TargetHemisphere) -> str:
    if side in HEMISPHERE_IDS:
        return f"SELECT experiment_id, source_id, '{side}', {number}, {HEMISPHERE_IDS[side]} FROM counted"
    left, right = (1, 2) if side == "ipsilateral" else (2, 1)
    return (
        f"SELECT experiment_id, source_id, '{side}', {number},"
        f" CASE injected_hemisphere WHEN 'left' THEN {left} ELSE {right} END"
        " FROM counted WHERE injected_hemisphere IS NOT NULL"
    )


# -- what both need ---------------------------------------------------------------------------------------------------


def _check(rows: str, statistic: str, sources: StructureRef | Sequence[StructureRef] | None) -> None:
    if rows not in ("sources", "experiments"):
        raise InputError(f"rows cannot be {shown(rows)}", hint="They are 'sources' or 'experiments'.")
    if statistic not in ("mean", "median", "n"):
        raise InputError(f"there is no statistic {shown(statistic)}", hint="It is 'mean', 'median' or 'n'.")
    if rows == "experiments" and (sources is not None or statistic != "mean"):
        raise InputError("a row of one experiment has no statistic and no source", hint="Leave them out.")


def _sides(hemisphere: TargetHemisphere | Sequence[TargetHemisphere]) -> tuple[TargetHemisphere, ...]:
    named = several("hemisphere", hemisphere, such_as="'both' or ['ipsilateral', 'contralateral']")
    if not named:
        raise InputError("no hemisphere is named", hint="Name one or more.")
    return tuple(dict.fromkeys(checked_hemisphere(side) for side in named))


def _membership(
    connection: Connection, selection: Selection, sources: StructureRef | Sequence[StructureRef] | None
) -> list[tuple[int, StructureRow]]:
    """The experiments that belong to a source, and which: by the source in ontology order, then by id."""
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
            f"none of the {len(ids):,} experiments was injected in one of the sources",
            hint="Their primary structures: `bsv-store catalog summary`.",
        )
    return sorted(found, key=lambda pair: (pair[1].graph_order, pair[1].id, pair[0]))


def _nearest(connection: Connection, sources: Sequence[int]) -> dict[int, int]:
    """For each structure inside one of the sources the nearest of them: itself, or the next one up."""
    query = select(StructureAncestor.descendant_id, StructureAncestor.ancestor_id).where(
        id_in(connection, StructureAncestor.ancestor_id, sources)
    )
    nearest: dict[int, int] = {}
    for descendant, ancestor in connection.execute(query.order_by(StructureAncestor.distance.desc())):
        nearest[descendant] = ancestor
    return nearest


def _unique(rows: Sequence[StructureRow]) -> list[StructureRow]:
    return list({row.id: row for row in rows}.values())
