"""Planes whose structures are filled by a value."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bsv_store.check import as_float
from bsv_store.errors import InputError
from bsv_store.figures.brain import AnnotatedPlane, Brain, relabelled
from bsv_store.figures.layout import title_or
from bsv_store.figures.montage import draw
from bsv_store.figures.plane_anatomy import anatomy_of, box_around, ends_of, extent_of, legend_of, panel_of, title_of
from bsv_store.figures.planes import Chosen, choose_planes, plane_row, spread_over
from bsv_store.figures.scale import QUANTILE, check_scale, scale_of, scale_words
from bsv_store.figures.sheet import Layer, Row, Sheet
from bsv_store.figures.slices import annotation_notes
from bsv_store.figures.style import PAGE_MM, theme_row
from bsv_store.text import shown
from bsv_store.volumes.grid import MIDLINE_UM

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bsv_store.catalog.structures import StructureRef
    from bsv_store.figures.brain import Outlines
    from bsv_store.figures.scale import Scale
    from bsv_store.vocabulary import ColorScale, MeasuredHemisphere, Plane, PlaneRow, Theme

Values = Mapping[int, float]


@dataclass(frozen=True, slots=True, eq=False)
class RegionRow:
    """The values of one row of the figure, by structure id; NaN = no data.

    Attributes
    ----------
    label : str
    left, right : mapping of int to float
        For the left and the right half of the brain.
    """

    label: str
    left: Values
    right: Values


@dataclass(frozen=True, slots=True, eq=False)
class RegionValues:
    """What a region map shows.

    Attributes
    ----------
    title, quantity : str
    rows : tuple of RegionRow
    halves : (str, str)
        Names of the left and right half.
    facts : tuple of str
        For the footer.
    fingerprint : str or None
    is_count : bool
        Whether the values are counts, such as numbers of experiments or voxels.
    """

    title: str
    quantity: str
    rows: tuple[RegionRow, ...]
    halves: tuple[MeasuredHemisphere, MeasuredHemisphere]
    facts: tuple[str, ...] = ()
    fingerprint: str | None = None
    is_count: bool = False

    @property
    def structure_ids(self) -> list[int]:
        """All structures that have a value in any row."""
        return sorted({each for row in self.rows for half in (row.left, row.right) for each in half})


def checked_values(values: Mapping[Any, Any], brain: Brain) -> dict[int, float]:
    """Values by structure id.

    Raises
    ------
    InputError, UnknownStructureError
        If there are none, one is not a number, or a structure does not exist.
    """
    if not values:
        raise InputError("values must not be empty", hint="For example: {'VISp': 0.8, 'LGd': 0.3}.")
    numbers: list[float] = []
    for structure, value in values.items():
        number = as_float(value)
        if number is None:
            raise InputError(f"the value of {structure} must be a number, got {shown(value)}")
        # NaN is a structure without value. `as_float` also returns NaN for a number that is too large for a float; such
        # a number is equal to itself.
        if math.isinf(number) or (math.isnan(number) and value == value):
            raise InputError(f"the value of {structure} must be finite, got {shown(value)}")
        numbers.append(number)
    rows = brain.each_named(list(values))
    return {row.id: number for row, number in zip(rows, numbers, strict=True)}


def draw_region_map(
    values: RegionValues,
    brain: Brain,
    *,
    plane: Plane = "coronal",
    through: StructureRef | Sequence[StructureRef] | None = None,
    at_mm: float | Sequence[float] | None = None,
    count: int | None = None,
    outlines: Outlines = None,
    emphasize: StructureRef | Sequence[StructureRef] | None = None,
    scale: ColorScale = "linear",
    vmin: float | None = None,
    vmax: float | None = None,
    shared: bool = True,
    title: str | None = None,
    width_mm: float = PAGE_MM,
    theme: Theme = "light",
    footer: bool = True,
) -> Figure:
    """The figure of `bsv_store.reports.region_map`."""
    theme_row(theme)
    orientation = plane_row(plane)
    name, vmin, vmax, _ = check_scale(scale, vmin=vmin, vmax=vmax, quantile=QUANTILE)
    brain.require("region_map")
    chosen = _choose(values, brain, orientation, through=through, at_mm=at_mm, count=count, width_mm=width_mm)
    annotated = brain.planes(orientation, [mm * 1000 + 0.5 for mm in chosen.at_mm])
    labels, _ = brain.outlined(values.structure_ids)
    images = [[_filled(each, row, labels, orientation, at) for each, at in zip(annotated, chosen.at_mm, strict=True)]
              for row in values.rows]  # fmt: skip
    known = [np.array([*row.left.values(), *row.right.values()]) for row in values.rows]
    is_signed = any(bool((each < 0).any()) for each in known)
    found = [
        # Values of structures have no outliers to be cut off.
        scale_of(
            arrays,
            theme=theme,
            scale=name,
            vmin=vmin,
            vmax=vmax,
            quantile=None,
            is_signed=is_signed,
            is_count=values.is_count,
        )
        for arrays in ([known] if shared else [[each] for each in known])
    ]
    scales = found * len(images) if shared else found
    anatomy = anatomy_of(brain, values.structure_ids if outlines is None else outlines, emphasize, through)
    box = box_around(annotated, orientation)
    ends = ends_of(orientation, values.halves)
    panels = [
        panel_of(each, anatomy, title=title_of(orientation, at, values.halves), ends=ends, box=box, theme=theme)
        for each, at in zip(annotated, chosen.at_mm, strict=True)
    ]
    extent = extent_of(orientation)
    notes = [f"{fact}." for fact in values.facts]
    notes.append(f"{orientation.words.capitalize()}{'; ' + chosen.why if chosen.why else ''}.")
    notes.append(scale_words(scales))
    notes += annotation_notes(brain, outlines, "structures with a value" if outlines is None else None)
    if values.halves[1] == "ipsilateral" and not values.facts and orientation.name != "sagittal":
        # Narrow panels have no space for the names of the halves. The titles of sagittal planes have them.
        notes.append("Right half: ipsilateral to the injection; left half: contralateral.")
    # The lowest values have nearly the color of the background.
    notes.append("Structures without a value are not filled.")
    if any(bool(np.isnan(each).any()) for each in known):
        notes.append("Gray: no data (not 0).")
    sheet = Sheet(
        title=title_or(title, values.title),
        panels=panels,
        rows=[
            Row(
                row.label,
                [[Layer(_colored(image, own), extent)] for image in of_row],
                scale=None if shared else own,
            )
            for row, of_row, own in zip(values.rows, images, scales, strict=True)
        ],
        quantity=values.quantity,
        scale=found[0] if shared else None,
        legend=legend_of(brain, emphasize, theme),
        notes=notes,
        fingerprint=values.fingerprint,
    )
    return draw(sheet, width_mm=width_mm, theme=theme, footer=footer)


def _choose(
    values: RegionValues,
    brain: Brain,
    plane: PlaneRow,
    *,
    through: StructureRef | Sequence[StructureRef] | None,
    at_mm: float | Sequence[float] | None,
    count: int | None,
    width_mm: float,
) -> Chosen:
    """The planes: at positions, through structures, or where the values are large."""
    return choose_planes(
        plane,
        brain,
        through=through,
        at_mm=at_mm,
        count=count,
        rows=len(values.rows),
        width_mm=width_mm,
        side=lambda: "right",
        otherwise=lambda number: _planes_by_value(values, brain, plane, number),
    )


def _planes_by_value(values: RegionValues, brain: Brain, plane: PlaneRow, count: int) -> Chosen:
    """Planes through structures with large values."""
    labels, _ = brain.outlined(values.structure_ids)
    strength = dict.fromkeys(values.structure_ids, 0.0)
    for row in values.rows:
        for half in (row.left, row.right):
            for each, value in half.items():
                strength[each] += 0.0 if math.isnan(value) else abs(value)
    if not any(strength.values()):
        strength = dict.fromkeys(strength, 1.0)
    weights = {each: strength[label] for each, label in labels.items() if label}
    profile, spacing_um = brain.profile(weights, plane.across)
    if plane.across == "ML":
        profile[: profile.size // 2] = 0
    return Chosen(plane, spread_over(profile, spacing_um, count), "planes where the values are")


def _filled(
    annotated: AnnotatedPlane, row: RegionRow, labels: Mapping[int, int], plane: PlaneRow, at_mm: float
) -> NDArray[np.float64]:
    """The value of every voxel; infinity where its structure has none."""
    of = relabelled(annotated.ids, labels)
    images = []
    for half in (row.left, row.right):
        known = {**dict.fromkeys(np.unique(of).tolist(), math.inf), **half, 0: math.inf}
        images.append(relabelled(of, known, np.float64))
    if plane.across == "ML":
        return images[0 if at_mm * 1000 < MIDLINE_UM else 1]
    # ML points to the right in the other planes.
    middle = of.shape[1] // 2
    return np.concatenate([images[0][:, :middle], images[1][:, middle:]], axis=1)


def _colored(values: NDArray[np.float64], scale: Scale) -> NDArray[np.float64]:
    """Colors; transparent where there is no value."""
    colors = np.array(scale.colors(scale.norm(np.ma.masked_invalid(values))))
    colors[np.isinf(values), 3] = 0
    return colors
