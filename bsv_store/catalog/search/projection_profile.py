"""Ranked targets of a selection, and ranked sources of a target: means over animals, ipsilateral and contralateral."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from bsv_store.catalog.animal_weights import animal_weights
from bsv_store.catalog.database.id_lists import id_in
from bsv_store.catalog.database.models import Experiment, StructureAncestor
from bsv_store.catalog.search.found import check_limit
from bsv_store.catalog.search.matrix import experiments_by_source
from bsv_store.catalog.search.signal import find_targets, read_signal
from bsv_store.catalog.selection.resolve import resolve_nonempty
from bsv_store.catalog.structures import StructureRef, StructureRow, descendant_ids, find_structure
from bsv_store.catalog.tables.frames import uncovered_among
from bsv_store.catalog.without_unionizes import (
    nothing_to_rank,
    report_left_out,
    report_not_ranked,
    report_undecided,
    with_unknown_side,
)
from bsv_store.check import boolean, choice
from bsv_store.vocabulary import (
    ANIMAL_WEIGHTS,
    MEASURED_HEMISPHERES,
    MEASURES,
    MISSING_POLICIES,
    MeasuredHemisphereRow,
)

if TYPE_CHECKING:
    import pandas as pd

    from bsv_store.catalog.selection.selection import Selection
    from bsv_store.vocabulary import AnimalWeight, Measure, MeasuredHemisphere, MissingPolicy

# The hemispheres of the columns, with the prefixes of their names.
_PREFIXES: Mapping[MeasuredHemisphere, str] = {
    "both": "",
    "ipsilateral": "ipsilateral_",
    "contralateral": "contralateral_",
}
_RANKING_HEMISPHERES: Mapping[str, MeasuredHemisphereRow] = {name: MEASURED_HEMISPHERES[name] for name in _PREFIXES}

# Fiber tracts and ventricular systems in Allen's ontology.
_NOT_GREY_MATTER = (1009, 73)


def ranked_targets(
    connection: Connection,
    selection: Selection,
    *,
    targets: StructureRef | Sequence[StructureRef] | None = None,
    structure_set: int | None = None,
    within: StructureRef | None = None,
    include_sources: bool = False,
    include_fiber_tracts: bool = False,
    measure: Measure = "normalized_projection_volume",
    hemisphere: MeasuredHemisphere = "both",
    weight_by: AnimalWeight = "none",
    limit: int | None = None,
    missing: MissingPolicy = "leave_out",
) -> pd.DataFrame:
    """See :meth:`bsv_store.store.search.Search.targets_of`."""
    order = _checked(hemisphere, limit)
    weighting = choice("weight_by", weight_by, ANIMAL_WEIGHTS).name
    with_sources = boolean("include_sources", include_sources)
    with_tracts = boolean("include_fiber_tracts", include_fiber_tracts)
    ids, attributes = _with_tables(connection, resolve_nonempty(connection, selection), selection, missing, weighting)
    rows = targets_to_rank(
        connection,
        ids,
        targets=targets,
        structure_set=structure_set,
        within=within,
        include_sources=with_sources,
        include_fiber_tracts=with_tracts,
    )
    values = _values(connection, ids, rows, measure)
    weights = _weights(connection, _primaries(connection, ids), weighting)
    columns = _statistics(values, np.array([weights[each] for each in ids]))
    return _ranked(rows, columns, order, limit, {**attributes, "measure": measure, "weight_by": weighting})


def ranked_sources(
    connection: Connection,
    target: StructureRef,
    *,
    selection: Selection,
    sources: StructureRef | Sequence[StructureRef] | None = None,
    measure: Measure = "normalized_projection_volume",
    hemisphere: MeasuredHemisphere = "both",
    weight_by: AnimalWeight = "none",
    limit: int | None = None,
    missing: MissingPolicy = "leave_out",
) -> pd.DataFrame:
    """See :meth:`bsv_store.store.search.Search.sources_of`."""
    order = _checked(hemisphere, limit)
    weighting = choice("weight_by", weight_by, ANIMAL_WEIGHTS).name
    targeted = find_targets(connection, [find_structure(connection, target).id], None)
    source_of = dict(experiments_by_source(connection, selection, sources))
    ids, attributes = _with_tables(connection, sorted(source_of), selection, missing, weighting)
    values = _values(connection, ids, targeted, measure)
    rows = sorted({source_of[each] for each in ids}, key=lambda row: (row.graph_order, row.id))
    source_ids = np.array([source_of[each].id for each in ids], dtype=np.int64)
    found = _weights(connection, {each: source_of[each].id for each in ids}, weighting)
    weights = np.array([found[each] for each in ids])
    parts = []
    for row in rows:
        own = source_ids == row.id
        parts.append(_statistics({side: each[own] for side, each in values.items()}, weights[own]))
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    # An animal of weight 0 does not count.
    counted = columns["n"] > 0
    rows = [row for row, is_counted in zip(rows, counted, strict=True) if is_counted]
    columns = {name: own[counted] for name, own in columns.items()}
    return _ranked(rows, columns, order, limit, {**attributes, "measure": measure, "weight_by": weighting})


def _checked(hemisphere: MeasuredHemisphere, limit: int | None) -> MeasuredHemisphere:
    check_limit(limit)
    return choice("hemisphere", hemisphere, _RANKING_HEMISPHERES).name


def _with_tables(
    connection: Connection,
    ids: Collection[int],
    selection: Selection,
    missing: MissingPolicy,
    weight_by: AnimalWeight,
) -> tuple[list[int], dict[str, Any]]:
    """The experiments with unionize table and known injected hemisphere, ascending; the others, which are reported.

    Raises
    ------
    MissingDataError
        If none is left.
    """
    policy = choice("missing", missing, MISSING_POLICIES).name
    without = set(uncovered_among(connection, ids, "projection"))
    if weight_by == "injection_overlap":
        without |= set(uncovered_among(connection, ids, "injection"))
    report_undecided(connection, selection, missing=policy)
    without_side = with_unknown_side(connection, ids)
    known = sorted(set(ids) - without - set(without_side))
    if not known and policy == "leave_out":
        # Warnings would only repeat the error.
        raise nothing_to_rank(len(ids), len(without))
    report_left_out(without, missing=policy)
    report_not_ranked(without_side, missing=policy)
    return known, {"without_unionizes": sorted(without), "without_hemisphere": without_side}


def _primaries(connection: Connection, ids: Collection[int]) -> dict[int, int]:
    """The id of the primary injection structure by experiment id."""
    query = select(Experiment.id, Experiment.primary_structure_id).where(id_in(connection, Experiment.id, ids))
    return {key: value for key, value in connection.execute(query)}


def _weights(connection: Connection, source_of: Mapping[int, int], weight_by: AnimalWeight) -> dict[int, float]:
    """The weight of each experiment, given the id of its source."""
    found = animal_weights(connection, weight_by, {each: [source] for each, source in source_of.items()})
    return dict.fromkeys(source_of, 1.0) if found is None else found


def targets_to_rank(
    connection: Connection,
    experiment_ids: Collection[int],
    *,
    targets: StructureRef | Sequence[StructureRef] | None,
    structure_set: int | None,
    within: StructureRef | None,
    include_sources: bool,
    include_fiber_tracts: bool,
) -> tuple[StructureRow, ...]:
    """The targets of experiments to list, in graph order; parameters are those of `ranked_targets`."""
    rows = find_targets(connection, targets, structure_set)
    if targets is None:
        left_out = set() if include_sources else _overlapping_sources(connection, experiment_ids)
        left_out |= set() if include_fiber_tracts else descendant_ids(connection, _NOT_GREY_MATTER)
        rows = tuple(row for row in rows if row.id not in left_out)
    if within is not None:
        inside = descendant_ids(connection, [find_structure(connection, within).id])
        rows = tuple(row for row in rows if row.id in inside)
    return rows


def _overlapping_sources(connection: Connection, ids: Collection[int]) -> set[int]:
    """The primary injection structures of the experiments, what they contain, and what contains them."""
    sources = set(_primaries(connection, ids).values())
    above = select(StructureAncestor.ancestor_id).where(id_in(connection, StructureAncestor.descendant_id, sources))
    return set(descendant_ids(connection, sources)) | set(connection.scalars(above))


def _values(
    connection: Connection, ids: Sequence[int], rows: Sequence[StructureRow], measure: Measure
) -> dict[MeasuredHemisphere, NDArray[np.float64]]:
    """The measure by hemisphere, each an array of shape (n_experiments, n_structures)."""
    return {side: read_signal(connection, ids, rows, measure=measure, hemisphere=side).values for side in _PREFIXES}


def _statistics(
    values: Mapping[MeasuredHemisphere, NDArray[np.float64]], weights: NDArray[np.float64]
) -> dict[str, NDArray[Any]]:
    """Weighted mean and standard error over the first axis, and the number of animals with a weight above 0.

    The formulas are those of averages: docs/averages.md.
    """
    used = weights > 0
    weight = weights[used]
    count, total, squares = int(used.sum()), weight.sum(), (weight**2).sum()
    columns: dict[str, NDArray[Any]] = {}
    for side, everything in values.items():
        own = everything[used]
        mean = sem = np.full(own.shape[1], np.nan)
        if count:
            mean = (weight[:, None] * own).sum(axis=0) / total
        if count > 1:
            variance = (weight[:, None] * (own - mean) ** 2).sum(axis=0) / (total - squares / total)
            sem = np.sqrt(variance * squares) / total
        columns |= {f"{_PREFIXES[side]}mean": mean, f"{_PREFIXES[side]}sem": sem}
    return {**columns, "n": np.full(values["both"].shape[1], count, dtype=np.int64)}


def _ranked(
    rows: Iterable[StructureRow],
    columns: Mapping[str, NDArray[Any]],
    hemisphere: MeasuredHemisphere,
    limit: int | None,
    attributes: Mapping[str, Any],
) -> pd.DataFrame:
    """One row for each structure, the largest mean in the hemisphere first; ties in graph order."""
    import pandas as pd

    structures = list(rows)
    order = np.argsort(-columns[f"{_PREFIXES[hemisphere]}mean"], kind="stable")[:limit]
    frame = pd.DataFrame(
        {
            "structure": pd.Series([structures[each].acronym for each in order], dtype=object),
            "structure_id": np.array([structures[each].id for each in order], dtype=np.int64),
            "structure_name": pd.Series([structures[each].name for each in order], dtype=object),
            **{name: own[order] for name, own in columns.items()},
        }
    )
    unit = MEASURES[attributes["measure"]].unit
    frame.attrs.update(attributes, unit=unit, hemisphere=hemisphere)
    return frame
