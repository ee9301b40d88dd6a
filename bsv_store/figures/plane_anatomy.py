"""The anatomy drawn on planes: outlines, emphasized structures with their labels, titles and ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bsv_store.figures.brain import EXTENT_MM, AnnotatedPlane, Brain, edge_color, relabelled
from bsv_store.figures.contours import area, borders, inner_point, outline
from bsv_store.figures.plane_values import convolved
from bsv_store.figures.sheet import Layer, Panel, Shape
from bsv_store.vocabulary import MEASURED_HEMISPHERES, PlaneRow
from bsv_store.volumes.grid import MIDLINE_UM

if TYPE_CHECKING:
    from bsv_store.catalog.structures import StructureRef
    from bsv_store.figures.brain import Outlines
    from bsv_store.vocabulary import MeasuredHemisphere, Theme

_MARGIN_MM = 0.25
# A structure smaller than this in a plane gets no label.
_MIN_LABELED_MM2 = 0.12
_FILL_ALPHA = {"light": 0.28, "dark": 0.35}
# A label is not written over signal stronger than this part of the strongest in the plane.
_HIDING = 0.2
_LABEL_MM = 0.4
_MIN_OUTLINE_MM = 1.5
_ANTERIOR_POSTERIOR = ("A", "P")


def extent_of(plane: PlaneRow) -> tuple[float, float, float, float]:
    """The extent of the CCF box in a plane: left, right, bottom, top in mm."""
    return (0.0, EXTENT_MM[plane.right], EXTENT_MM[plane.down], 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class Anatomy:
    """What is drawn of the anatomy.

    Attributes
    ----------
    labels : mapping of int to int
        For each structure, the structure as part of which it is outlined.
    emphasized : tuple of (label, ids, color)
        Structures with their descendants.
    targets : frozenset of str
        Labels of the structures through which the planes were chosen.
    """

    labels: Mapping[int, int]
    emphasized: tuple[tuple[str, NDArray[np.uint32], str], ...]
    words: str
    targets: frozenset[str] = frozenset()


def anatomy_of(
    brain: Brain,
    outlines: Outlines,
    emphasize: StructureRef | Sequence[StructureRef] | None,
    through: StructureRef | Sequence[StructureRef] | None = None,
) -> Anatomy:
    """The structures to be outlined and emphasized, in planes through structures.

    Raises
    ------
    InputError, UnknownStructureError
        If a structure or set does not exist.
    """
    labels, words = brain.outlined(outlines)
    rows = () if emphasize is None else brain.named(emphasize)
    emphasized = tuple((row.acronym, brain.leaves(row.id), row.color_hex_triplet) for row in rows)
    targets = frozenset(() if through is None else (row.acronym for row in brain.named(through)))
    return Anatomy(labels, emphasized, words, targets)


def legend_of(
    brain: Brain, emphasize: StructureRef | Sequence[StructureRef] | None, theme: Theme
) -> list[tuple[Any, str]]:
    """Color and name of the emphasized structures."""
    rows = () if emphasize is None else brain.named(emphasize)
    return [(edge_color(row.color_hex_triplet, theme), f"{row.acronym}  {row.name}") for row in rows]


def panel_of(
    annotated: AnnotatedPlane,
    anatomy: Anatomy,
    *,
    title: str,
    ends: tuple[str, str],
    box: tuple[float, float, float, float],
    theme: Theme,
    signal: NDArray[Any] | None = None,
    background: Layer | None = None,
) -> Panel:
    """A plane with its outlines and emphasized structures.

    Parameters
    ----------
    signal : ndarray, shape (down, right), optional
        Strength of the signal in all rows: labels are written where there is less.
    """
    labels = relabelled(annotated.ids, anatomy.labels)
    spacing = annotated.spacing_um
    shapes = []
    for name, ids, color in anatomy.emphasized:
        inside = np.isin(annotated.ids, ids)
        path = area(inside, spacing)
        if path is None:
            continue
        part = labeled_part(inside, spacing, signal, has_both_sides=ends != _ANTERIOR_POSTERIOR)
        edge = edge_color(color, theme)
        fill = (*(int(color[i : i + 2], 16) / 255 for i in (0, 2, 4)), _FILL_ALPHA[theme])
        at, room = (None, (0.0, 0.0, 0.0)) if part is None else part
        shapes.append(Shape(name, path, edge, fill, at, room, name in anatomy.targets))
    brain = outline(annotated.ids != 0, spacing)
    return Panel(title, box, ends, brain, borders(labels, spacing), shapes, background)


def labeled_part(
    inside: NDArray[np.bool_], spacing_um: int, signal: NDArray[Any] | None, *, has_both_sides: bool
) -> tuple[tuple[float, float], tuple[float, float, float]] | None:
    """Where to label a structure, in the half of the plane in which it has less signal.

    Returns
    -------
    (float, float), (float, float, float) or None
        A point inside, and width, top and bottom edge of this part, in mm; None if it is too small.
    """
    half = inside.copy()
    middle = inside.shape[1] // 2
    strength = np.zeros(inside.shape)
    if signal is not None:
        rows, columns = (
            (np.arange(count) * size // count) for count, size in zip(inside.shape, signal.shape, strict=True)
        )
        strength = np.where(inside, signal[np.ix_(rows, columns)], 0)
    if has_both_sides and half[:, :middle].any() and half[:, middle:].any():
        is_left = bool(strength[:, :middle].sum() <= strength[:, middle:].sum())
        half[:, slice(middle, None) if is_left else slice(None, middle)] = False
    mm = spacing_um / 1000
    point = inner_point(half, spacing_um)
    if point is None or half.sum() * mm**2 < _MIN_LABELED_MM2:
        return None
    rows = np.flatnonzero(half.any(axis=1))
    width = float(np.count_nonzero(half.any(axis=0)) * mm)
    near = tuple(slice(max(0, int((at - _LABEL_MM) / mm)), int((at + _LABEL_MM) / mm) + 1) for at in reversed(point))
    if signal is not None and strength[near].max() > _HIDING * signal.max():
        # Inside, the label would hide signal.
        width = 0.0
    return point, (width, float(rows[0]) * mm, float(rows[-1] + 1) * mm)


def box_around(masks: Sequence[AnnotatedPlane], plane: PlaneRow) -> tuple[float, float, float, float]:
    """Left, right, bottom and top in mm of what is inside any of these planes, with a margin."""
    inside = np.any([each.ids != 0 for each in masks], axis=0) if masks else np.zeros((1, 1), np.bool_)
    if not inside.any():
        return extent_of(plane)
    mm = masks[0].spacing_um / 1000
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    return (
        float(columns[0]) * mm - _MARGIN_MM,
        float(columns[-1] + 1) * mm + _MARGIN_MM,
        float(rows[-1] + 1) * mm + _MARGIN_MM,
        float(rows[0]) * mm - _MARGIN_MM,
    )


def ends_of(plane: PlaneRow, halves: tuple[MeasuredHemisphere, MeasuredHemisphere]) -> tuple[str, str]:
    """Names of the left and right end of a plane."""
    if plane.right != "ML":
        return _ANTERIOR_POSTERIOR
    left, right = (MEASURED_HEMISPHERES[name].short for name in halves)
    return left, right


def title_of(plane: PlaneRow, at_mm: float, halves: tuple[MeasuredHemisphere, MeasuredHemisphere]) -> str:
    """The position of a plane, such as 'AP 5.2 mm', or 'ML 7.2 mm (R)'."""
    half = MEASURED_HEMISPHERES[halves[0 if at_mm * 1000 < MIDLINE_UM else 1]]
    side = f" ({half.short})" if plane.across == "ML" else ""
    text = f"{at_mm:.1f}" if round(at_mm, 1) == at_mm else f"{at_mm:g}"
    return f"{plane.across} {text} mm{side}"


def outline_of_data(values: Sequence[NDArray[Any]], spacing_um: int) -> list[NDArray[np.float64]]:
    """The outline of all pixels with signal, where the store has no annotation."""
    mask = np.any([np.nan_to_num(each) != 0 for each in values], axis=0)
    # Averaged over about 0.5 mm, so that single voxels get no outline.
    width = 2 * max(1, round(250 / spacing_um)) + 1
    smooth = mask.astype(np.float64)
    for axis in (0, 1):
        smooth = convolved(smooth, np.full(width, 1 / width), axis)
    lines = outline(smooth >= 0.5, spacing_um)
    return [line for line in lines if float(np.ptp(line, axis=0).max()) >= _MIN_OUTLINE_MM] or lines


def sampled(annotated: AnnotatedPlane, shape: tuple[int, int]) -> NDArray[np.uint32]:
    """The annotation at the voxel centers of a plane of another spacing."""
    rows, columns = (
        np.minimum(((np.arange(count) + 0.5) * size / count).astype(int), size - 1)
        for count, size in zip(shape, annotated.ids.shape, strict=True)
    )
    return annotated.ids[np.ix_(rows, columns)]
