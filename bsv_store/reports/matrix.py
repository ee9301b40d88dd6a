"""The heat map of the projection matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, assert_never

import numpy as np
from numpy.typing import NDArray

from bsv_store.catalog.search.found import check_limit
from bsv_store.catalog.selection.selection import Selection
from bsv_store.catalog.without_unionizes import DOWNLOAD_TABLES
from bsv_store.check import boolean, choice, several
from bsv_store.errors import MissingDataError
from bsv_store.figures.cluster import similar_together
from bsv_store.figures.layout import title_or
from bsv_store.figures.matrix import Division, MatrixAxis, draw_matrix
from bsv_store.figures.style import PAGE_MM, check_width, figure_class
from bsv_store.reports.anatomy import divisions, rows_of
from bsv_store.reports.words import selection_title
from bsv_store.text import number_of
from bsv_store.vocabulary import MATRIX_ORDERS, MATRIX_SCALES, MATRIX_STATISTICS, MEASURES

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from bsv_store.catalog.selection.selection import SelectionLike
    from bsv_store.catalog.structures import StructureRef
    from bsv_store.store.store import Store
    from bsv_store.vocabulary import (
        MatrixOrder,
        MatrixRows,
        MatrixScale,
        MatrixStatistic,
        Measure,
        MeasuredHemisphere,
        MissingPolicy,
        Theme,
    )


def matrix_map(
    store: Store,
    selection: SelectionLike | None = None,
    *,
    rows: MatrixRows = "sources",
    sources: StructureRef | Sequence[StructureRef] | None = None,
    targets: StructureRef | Sequence[StructureRef] | None = None,
    structure_set: int | None = None,
    hemisphere: MeasuredHemisphere | Sequence[MeasuredHemisphere] = ("ipsilateral", "contralateral"),
    measure: Measure = "normalized_projection_volume",
    statistic: MatrixStatistic = "mean",
    order: MatrixOrder = "ontology",
    scale: MatrixScale | None = None,
    limit: int | None = None,
    missing: MissingPolicy = "leave_out",
    title: str | None = None,
    width_mm: float = PAGE_MM,
    theme: Theme = "light",
    footer: bool = True,
) -> Figure:
    """The projection matrix as a heat map: one row for each source or experiment, one column for each target.

    The values are those of ``store.catalog.matrix``. Bars at the left and at the top have Allen's colors of the major
    divisions. All hemispheres share one color scale, which ends at the 99 % quantile of the values above 0. Gray cells
    have no data. Labels that do not fit are thinned out.

    Parameters
    ----------
    store : Store
    selection, rows, sources, targets, structure_set, hemisphere, measure, statistic, missing
        As for `Catalog.matrix`.
    order : {'ontology', 'cluster'}
        Rows and columns in the order of the ontology, with lines between divisions, or such that similar ones are
        neighbors (average linkage; the distance is 1 - Pearson's r over all hemispheres shown).
    scale : {'linear', 'log'}, optional
        Color scale. By default 'log', because projections differ by several orders of magnitude; 'linear' for numbers
        of experiments. On the logarithmic scale 0 has the color of the lowest value.
    limit : int, optional
        Maximum number of targets: those with the largest values in any row and hemisphere.
    title : str, optional
        '' for none.
    width_mm : float
        A column is about 85 mm wide, a page about 180 mm.
    theme : {'light', 'dark'}
    footer : bool
        Write the number of experiments, sources without data and notes below the figure.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    MissingDataError
        If no row has data.
    EmptySelectionError
        If no experiment matches.
    InputError
        If an argument is not valid, or Matplotlib is not installed.
    """
    figure_class()
    with_footer, width = boolean("footer", footer), check_width(width_mm)
    chosen = choice("order", order, MATRIX_ORDERS).name
    chosen_statistic = choice("statistic", statistic, MATRIX_STATISTICS).name
    color_scale = choice("scale", scale or ("linear" if chosen_statistic == "n" else "log"), MATRIX_SCALES).name
    count = check_limit(limit)
    sides = several("hemisphere", hemisphere, such_as="'ipsilateral' or ['ipsilateral', 'contralateral']")
    frame = store.catalog.matrix(
        selection,
        rows=rows,
        sources=sources,
        targets=targets,
        structure_set=structure_set,
        hemisphere=sides,
        measure=measure,
        statistic=statistic,
        missing=missing,
    )
    has_data = frame.notna().any(axis=1)
    kept = frame[has_data]
    if kept.empty:
        raise MissingDataError(
            "no row of the matrix has data",
            hint=DOWNLOAD_TABLES,
        )
    panels = {str(side): kept[side] for side in frame.columns.unique("hemisphere")}
    wanted = _strongest(panels, count)
    arrays = {side: panel[wanted].to_numpy(np.float64) for side, panel in panels.items()}
    by_row, by_column = _order(arrays, chosen)
    arrays = {side: values[np.ix_(by_row, by_column)] for side, values in arrays.items()}
    labels = [kept.index[number] for number in by_row]
    row_axis, column_axis = _axes(store, rows, labels, [wanted[number] for number in by_column])
    notes = [f"n = {number_of(frame.attrs['n'], 'experiment')}."]
    notes += _notes(frame, int((~has_data).sum()), row_axis, chosen, count)
    if any(np.isnan(values).any() for values in arrays.values()):
        notes.append("Gray: no data.")
    return draw_matrix(
        arrays,
        row_axis,
        column_axis,
        scale=color_scale,
        separators=chosen == "ontology",
        quantity=_quantity(
            choice("measure", measure, MEASURES).name, None if rows == "experiments" else chosen_statistic
        ),
        title=title_or(title, f"Projection matrix: {selection_title(selection)}"),
        notes=notes,
        width_mm=width,
        theme=theme,
        footer=with_footer,
        is_count=rows != "experiments" and chosen_statistic == "n",
    )


def _strongest(panels: dict[str, pd.DataFrame], limit: int | None) -> list[str]:
    """The targets to draw, in the order of the frame."""
    first = next(iter(panels.values()))
    names = [str(name) for name in first.columns]
    if limit is None or limit >= len(names):
        return names
    largest = np.max([np.nan_to_num(panel.to_numpy(np.float64)).max(axis=0) for panel in panels.values()], axis=0)
    best = set(np.argsort(-largest, kind="stable")[:limit].tolist())
    return [name for number, name in enumerate(names) if number in best]


def _order(arrays: dict[str, NDArray[np.float64]], order: MatrixOrder) -> tuple[list[int], list[int]]:
    first = next(iter(arrays.values()))
    if order == "ontology":
        return list(range(first.shape[0])), list(range(first.shape[1]))
    if order == "cluster":
        values = [np.nan_to_num(each) for each in arrays.values()]
        return similar_together(np.hstack(values)), similar_together(np.vstack(values).T)
    assert_never(order)


def _axes(
    store: Store, rows: MatrixRows, labels: Sequence[str | int], targets: Sequence[str]
) -> tuple[MatrixAxis, MatrixAxis]:
    parts = divisions(store)
    division_of = {
        identifier: Division(number, part.row.acronym, part.color)
        for number, part in enumerate(parts)
        for identifier in part.ids
    }
    ids: dict[str | int, int]
    if rows == "experiments":
        named = Selection(ids=[int(label) for label in labels], include_excluded=True)
        frame = store.experiments(named)
        ids = dict(zip(frame["experiment_id"].tolist(), frame["primary_structure_id"].tolist(), strict=True))
    else:
        ids = {acronym: row.id for acronym, row in rows_of(store, [str(label) for label in labels]).items()}
    target_ids = {acronym: row.id for acronym, row in rows_of(store, list(targets)).items()}

    return (
        MatrixAxis(
            "experiment" if rows == "experiments" else "source",
            tuple(str(label) for label in labels),
            tuple(division_of.get(ids[label]) for label in labels),
        ),
        MatrixAxis("target", tuple(targets), tuple(division_of.get(target_ids[name]) for name in targets)),
    )


def _quantity(measure: Measure, statistic: MatrixStatistic | None) -> str:
    """The measure with its unit, and the statistic unless rows are experiments."""
    if statistic == "n":
        return "number of experiments"
    unit = MEASURES[measure].unit
    words = f"{measure.replace('_', ' ')}{f' ({unit})' if unit else ''}"
    return words if statistic is None else f"{words}, {statistic}"


def _notes(frame: pd.DataFrame, without: int, rows: MatrixAxis, order: MatrixOrder, limit: int | None) -> list[str]:
    notes = []
    if without:
        notes.append(f"{number_of(without, rows.name)} without data left out.")
    if frame.attrs["without_unionizes"]:
        notes.append(f"{number_of(len(frame.attrs['without_unionizes']), 'experiment')} without unionize table.")
    if frame.attrs["without_hemisphere"]:
        notes.append(f"{number_of(len(frame.attrs['without_hemisphere']), 'experiment')} with unknown hemisphere.")
    if limit is not None:
        notes.append(f"The {limit} targets with the largest values.")
    if order == "cluster":
        notes.append("Ordered by average linkage of correlations.")
    return [*notes, "The color scale ends at the 99 % quantile."]
