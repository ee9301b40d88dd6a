"""Bars of the structures to which selections project."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from bsv_store.catalog.search.found import check_limit
from bsv_store.catalog.selection.selection import Selection
from bsv_store.check import boolean
from bsv_store.errors import BsvStoreWarning, InputError
from bsv_store.figures.layout import title_or
from bsv_store.figures.ranking import RankedStructure, Ranking, Side, draw_ranking
from bsv_store.figures.style import PAGE_MM, check_width, figure_class
from bsv_store.reports.anatomy import color_of, rows_of
from bsv_store.reports.words import selection_title
from bsv_store.text import number_of
from bsv_store.vocabulary import ANIMAL_WEIGHTS, MEASURES

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from bsv_store.catalog.selection.selection import SelectionLike
    from bsv_store.catalog.structures import StructureRef
    from bsv_store.store.store import Store
    from bsv_store.vocabulary import AnimalWeight, Measure, MeasuredHemisphere, MissingPolicy, Theme

_SIDES: tuple[MeasuredHemisphere, ...] = ("ipsilateral", "contralateral")
_MAX_SELECTIONS = 6


def ranked_targets(
    store: Store,
    selection: SelectionLike | Mapping[str, SelectionLike] | None = None,
    *,
    targets: StructureRef | Sequence[StructureRef] | None = None,
    structure_set: int | None = None,
    within: StructureRef | None = None,
    include_sources: bool = False,
    include_fiber_tracts: bool = False,
    measure: Measure = "normalized_projection_volume",
    hemisphere: MeasuredHemisphere = "both",
    weight_by: AnimalWeight = "none",
    limit: int | None = 20,
    missing: MissingPolicy = "leave_out",
    title: str | None = None,
    width_mm: float = PAGE_MM,
    theme: Theme = "light",
    footer: bool = True,
) -> Figure:
    """The strongest targets of a selection: mean, standard error and every animal, ipsilateral and contralateral.

    The numbers are those of ``store.search.targets_of``, and of ``store.catalog.matrix(rows="experiments")`` for single
    animals. Small squares have Allen's color of the structure.

    Parameters
    ----------
    store : Store
    selection : Selection, experiment ids, or mapping of str to them, optional
        By default all experiments that are neither withdrawn nor on the exclusion list. Several selections by label
        (at most six) are drawn side by side, with the targets of the first one.
    targets, structure_set, within, include_sources, include_fiber_tracts, measure, hemisphere, weight_by, missing
        As for `Search.targets_of`. Animals of weight 0 are not drawn.
    limit : int, optional
        Maximum number of targets; None for all.
    title : str, optional
        '' for none.
    width_mm : float
        A column is about 85 mm wide, a page about 180 mm.
    theme : {'light', 'dark'}
    footer : bool
        Write the measure, the number of animals and those left out below the figure.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    MissingDataError
        If no experiment has a unionize table in the store and a known injected hemisphere.
    InputError
        If an argument is not valid, no structure is left, or Matplotlib is not installed.
    """
    figure_class()
    with_footer, width = boolean("footer", footer), check_width(width_mm)
    count = check_limit(limit)
    selections = _labeled(selection)
    first = next(iter(selections.values()))
    frame = store.search.targets_of(
        first,
        targets=targets,
        structure_set=structure_set,
        within=within,
        include_sources=include_sources,
        include_fiber_tracts=include_fiber_tracts,
        measure=measure,
        hemisphere=hemisphere,
        weight_by=weight_by,
        limit=count,
        missing=missing,
    )
    if frame.empty:
        raise InputError("no target structure is left", hint="Use a wider `within`, or include_sources=True.")
    ids = [int(each) for each in frame["structure_id"]]
    frames = {next(iter(selections)): frame}
    for label, each in list(selections.items())[1:]:
        frames[label] = _same_targets(store, each, ids, measure, weight_by, missing)
    rankings = [_ranking(store, label, selections[label], own, ids, measure) for label, own in frames.items()]
    rows = rows_of(store, ids)
    structures = [RankedStructure(row.acronym, row.name, color_of(row)) for row in (rows[a] for a in frame.structure)]
    row = MEASURES[frame.attrs["measure"]]
    name = row.name.replace("_", " ")
    # The acronym, even if the structure was given by its id.
    inside = "" if within is None else f" in {next(iter(rows_of(store, [within])))}"
    which = "All targets" if count is None else "Strongest targets"
    return draw_ranking(
        structures,
        rankings,
        quantity=f"{name} ({row.unit})" if row.unit else name,
        title=title_or(title, f"{which}{inside}: {_together(selections)}"),
        notes=_notes(frames, hemisphere),
        width_mm=width,
        theme=theme,
        footer=with_footer,
    )


def _labeled(selection: SelectionLike | Mapping[str, SelectionLike] | None) -> dict[str, SelectionLike | None]:
    if not isinstance(selection, Mapping):
        return {selection_title(selection): selection}
    if not 1 <= len(selection) <= _MAX_SELECTIONS:
        raise InputError(
            f"1 to {_MAX_SELECTIONS} selections can be drawn side by side, got {len(selection)}",
            hint='For example: {"VISp": Selection(injected_in="VISp"), "VISl": Selection(injected_in="VISl")}.',
        )
    return dict(selection)


def _together(labels: Iterable[str]) -> str:
    names = list(labels)
    return ("; " if any(", " in name for name in names) else ", ").join(names)


def _same_targets(
    store: Store,
    selection: SelectionLike | None,
    ids: Sequence[int],
    measure: Measure,
    weight_by: AnimalWeight,
    missing: MissingPolicy,
) -> pd.DataFrame:
    """The values of another selection in the same structures, in the same order."""
    frame = store.search.targets_of(selection, targets=ids, measure=measure, weight_by=weight_by, missing=missing)
    ordered = frame.set_index("structure_id").loc[list(ids)].reset_index()
    ordered.attrs.update(frame.attrs)
    return ordered


def _ranking(
    store: Store, label: str, selection: SelectionLike | None, frame: pd.DataFrame, ids: Sequence[int], measure: Measure
) -> Ranking:
    with warnings.catch_warnings():
        # `targets_of` has reported the experiments that are left out.
        warnings.simplefilter("ignore", BsvStoreWarning)
        animals = store.catalog.matrix(
            selection if selection is not None else Selection(),
            rows="experiments",
            targets=list(ids),
            hemisphere=_SIDES,
            measure=measure,
        )
    left_out = {*frame.attrs["without_unionizes"], *frame.attrs["without_hemisphere"]}
    if frame.attrs["weight_by"] == "injection_overlap":
        ids_of_known = [each for each in animals.index.tolist() if each not in left_out]
        known = store.experiments(Selection(ids=ids_of_known, include_excluded=True))
        left_out |= set(known.loc[known["injection_outside_primary"] == 1, "experiment_id"])
    counted = animals[~animals.index.isin(left_out)]
    sides: dict[str, Side] = {
        side: Side(
            frame[f"{side}_mean"].to_numpy(np.float64),
            frame[f"{side}_sem"].to_numpy(np.float64),
            counted[side][list(frame.structure)].to_numpy(np.float64),
        )
        for side in _SIDES
    }
    return Ranking(label, int(frame["n"].iloc[0]), sides)


def _notes(frames: Mapping[str, pd.DataFrame], hemisphere: MeasuredHemisphere) -> list[str]:
    parts = []
    for label, frame in frames.items():
        without = len(frame.attrs["without_unionizes"]), len(frame.attrs["without_hemisphere"])
        reasons = [
            f"{count:,} left out, {reason}"
            for count, reason in zip(without, ("no unionize table", "injected hemisphere not known"), strict=True)
            if count
        ]
        prefix = f"{label}: " if len(frames) > 1 else ""
        animals = f"n = {number_of(int(frame['n'].iloc[0]), 'animal')}"
        parts.append(f"{prefix}{'; '.join([animals, *reasons])}.")
    row = ANIMAL_WEIGHTS[next(iter(frames.values())).attrs["weight_by"]]
    if row.name != "none":
        parts.append(f"Weight of an animal: {row.words}.")
    order = "the mean of both hemispheres" if hemisphere == "both" else f"the {hemisphere} mean"
    return [*parts, f"Sorted by {order}. Signal outside the injection site, relative to the injected hemisphere."]
