"""Choosing planes, reading them, and the anatomy drawn on them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bsv_store.check import choice, finite_number, finite_numbers, several, whole_number, without
from bsv_store.errors import InputError
from bsv_store.figures.brain import EXTENT_MM, AnnotatedPlane, Brain, edge_color, relabelled, upright
from bsv_store.figures.contours import area, borders, inner_point, outline
from bsv_store.figures.sheet import Layer, Panel, Shape
from bsv_store.figures.style import WIDE_MM
from bsv_store.vocabulary import MEASURED_HEMISPHERES, PLANES, PlaneRow
from bsv_store.volumes.grid import AXES, EXTENT_UM, MIDLINE_UM, Grid

if TYPE_CHECKING:
    from bsv_store.catalog.structures import StructureRef
    from bsv_store.figures.brain import Outlines
    from bsv_store.figures.sources import Source, SourceRow
    from bsv_store.vocabulary import MeasuredHemisphere, Plane, Theme

DEFAULT_PLANES = 6
MAX_PLANES = 60
_MARGIN_MM = 0.25
_STEP_MM = 0.1
# A structure smaller than this in a plane gets no label.
_MIN_LABELED_MM2 = 0.12
_FILL_ALPHA = {"light": 0.28, "dark": 0.35}
# A label is not written over signal stronger than this part of the strongest in the plane.
_HIDING = 0.2
_LABEL_MM = 0.4
_MIN_OUTLINE_MM = 1.5
_ANTERIOR_POSTERIOR = ("A", "P")


@dataclass(frozen=True, slots=True)
class Chosen:
    """The planes of a figure.

    Attributes
    ----------
    plane : PlaneRow
    at_mm : tuple of float
        As labeled.
    why : str
        How they were chosen, for the footer.
    """

    plane: PlaneRow
    at_mm: tuple[float, ...]
    why: str

    def indices(self, grid: Grid) -> list[int]:
        """The voxel planes of a grid that contain the positions."""
        count = grid.shape[AXES.index(self.plane.across)]
        return [min(int(round(mm * 1000, 3) // grid.spacing_um), count - 1) for mm in self.at_mm]

    def centers_um(self, grid: Grid) -> list[float]:
        """The centers of these voxel planes."""
        return [(index + 0.5) * grid.spacing_um for index in self.indices(grid)]


def plane_row(plane: Plane) -> PlaneRow:
    """The row of an orientation.

    Raises
    ------
    InputError
        If there is no such orientation.
    """
    return choice("plane", plane, PLANES)


def choose_planes(
    plane: PlaneRow,
    brain: Brain,
    *,
    through: StructureRef | Sequence[StructureRef] | None,
    at_mm: float | Sequence[float] | None,
    count: int | None,
    rows: int,
    width_mm: float,
    side: Callable[[], MeasuredHemisphere],
    otherwise: Callable[[int], Chosen],
) -> Chosen:
    """The planes of a figure: at positions, through structures, or as the figure chooses them.

    Parameters
    ----------
    rows : int
        Number of rows of the figure, on which the default number of planes depends.
    side : callable
        The half of the brain through which sagittal planes go.
    otherwise : callable
        Chooses a number of planes without positions and structures.

    Raises
    ------
    InputError
        If arguments are combined that exclude each other, or one is not valid.
    """
    if at_mm is not None:
        without("at_mm", "through", through is not None)
        without("at_mm", "count", count is not None)
        return explicit_planes(plane, at_mm)
    number = default_count(rows, width_mm) if count is None else checked_count(count)
    if through is None:
        return otherwise(number)
    return planes_through(plane, through, number, brain, side=side() if plane.across == "ML" else "both")


def default_count(rows: int, width_mm: float) -> int:
    """The number of planes with which rows fill a page and panels are legible."""
    if rows == 1:
        # Its planes are spread over several lines.
        return DEFAULT_PLANES
    if rows <= 8 and width_mm >= WIDE_MM:
        return DEFAULT_PLANES
    return 4 if rows <= 12 and width_mm >= WIDE_MM else 3


def explicit_planes(plane: PlaneRow, at_mm: Any) -> Chosen:
    """The planes at positions.

    Raises
    ------
    InputError
        If a position is not a number in the CCF box, or there are none or too many.
    """
    values = finite_numbers("at_mm", at_mm, such_as="[5.2, 6.4]")
    limit = EXTENT_MM[plane.across]
    for value in values:
        if not 0 <= value < limit:
            in_um = f"If it is in um, use {value / 1000:g}. " if 100 <= value < max(EXTENT_UM) else ""
            raise InputError(
                f"at_mm must be from 0 to {limit:g} mm along {plane.across}, got {value:g}",
                hint=f"{in_um}If it is the index of a plane, use (index + 0.5) times the edge of a voxel in mm.",
            )
    if not 1 <= len(values) <= MAX_PLANES:
        raise InputError(f"at_mm must have 1 to {MAX_PLANES} positions, got {len(values)}")
    return Chosen(plane, tuple(dict.fromkeys(values)), "")


def planes_through(
    plane: PlaneRow,
    structures: StructureRef | Sequence[StructureRef],
    count: int,
    brain: Brain,
    *,
    side: MeasuredHemisphere = "both",
) -> Chosen:
    """Planes spread evenly over the extent of structures."""
    names = several("through", structures, such_as="'CP' or ['CP', 'TH']")
    voxels, spacing_um = brain.profile(dict.fromkeys(brain.leaves(names).tolist(), 1.0), plane.across)
    centers = (np.arange(voxels.size) + 0.5) * spacing_um
    if plane.across == "ML" and side != "both":
        on_side = np.where((centers < MIDLINE_UM) == (side == "left"), voxels, 0)
        voxels = on_side if on_side.any() else voxels
    found = np.flatnonzero(voxels)
    first, last = float(centers[found[0]]), float(centers[found[-1]])
    return Chosen(plane, _spread(first, last, count), f"planes through {', '.join(map(str, names))}")


def planes_by_signal(plane: PlaneRow, count: int, source: Source) -> Chosen:
    """Planes with equal parts of the signal between them, every row counting the same."""
    axis = AXES.index(plane.across)
    others = tuple(other for other in range(3) if other != axis)
    total = np.zeros(source.grid.shape[axis])
    for row in source.rows:
        profile = np.zeros(source.grid.shape[axis])
        for first, values in source.slabs(row):
            strength = np.abs(np.nan_to_num(values)).sum(axis=others)
            profile[slice(first, first + len(values)) if axis == 0 else slice(None)] += strength
        total += profile / (profile.sum() or 1.0)
    if not total.any():
        middle = EXTENT_MM[plane.across] * 500
        return Chosen(plane, _spread(0.4 * middle, 1.6 * middle, count), "planes spread over the brain")
    return Chosen(plane, spread_over(total, source.grid.spacing_um, count), "planes where the signal is")


def spread_over(profile: NDArray[Any], spacing_um: int, count: int) -> tuple[float, ...]:
    """Positions in mm with equal parts of a profile along an axis between them, ascending, at least 0.1 mm apart."""
    part = np.cumsum(profile) / profile.sum()
    shares = (np.arange(count) + 0.5) / count
    at = np.floor((np.searchsorted(part, shares) + 0.5) * spacing_um / 100)
    for number in range(1, count):
        at[number] = max(at[number], at[number - 1] + 1)
    last = profile.size * spacing_um / 100 - 1
    return tuple(dict.fromkeys(round(float(value) * _STEP_MM, 1) for value in np.minimum(at, last)))


def stronger_side(source: Source) -> MeasuredHemisphere:
    """The half of the box with the larger signal, over all rows."""
    halves = np.zeros(2)
    middle = source.grid.midline
    for row in source.rows:
        for _, values in source.slabs(row):
            strength = np.abs(np.nan_to_num(values))
            halves += strength[..., :middle].sum(), strength[..., middle:].sum()
    return "left" if halves[0] > halves[1] else "right"


def checked_count(count: Any) -> int:
    """The number of planes.

    Raises
    ------
    InputError
        If it is not from 1 to 60.
    """
    number = whole_number("count", count, least=1)
    if number > MAX_PLANES:
        raise InputError(f"count must be at most {MAX_PLANES}, got {number}")
    return number


def _spread(first_um: float, last_um: float, count: int) -> tuple[float, ...]:
    """Positions in mm, rounded to 0.1: the middles of equal parts."""
    margin = (last_um - first_um) / (2 * count)
    at = np.linspace(first_um + margin, last_um - margin, count) / 1000
    return tuple(dict.fromkeys(round(float(value), 1) for value in np.floor(np.round(10 * at, 6)) / 10))


# -- values -------------------------------------------------------------------------------------------------------


def read_plane(row: SourceRow, grid: Grid, plane: PlaneRow, index: int, *, smooth_um: float) -> NDArray[Any]:
    """The values of a plane, shape (down, right), smoothed if asked; NaN = no data, including rows without members."""
    axis = AXES.index(plane.across)
    reach = math.ceil(3 * smooth_um / grid.spacing_um)
    first, last = max(0, index - reach), min(grid.shape[axis], index + reach + 1)
    block = np.moveaxis(row.read(axis, first, last), axis, 0)
    if row.is_empty:
        values = np.full(block.shape[1:], np.nan)
    elif smooth_um == 0:
        values = np.asarray(block[0], np.float64)
    else:
        values = _smoothed(block, index - first, smooth_um / grid.spacing_um)
    return upright(values, plane)


def checked_smoothing(smooth_um: Any) -> float:
    """The standard deviation of the Gaussian.

    Raises
    ------
    InputError
        If it is not a number from 0 to 2000.
    """
    number = finite_number("smooth_um", smooth_um)
    if not 0 <= number <= 2000:
        raise InputError(f"smooth_um must be from 0 to 2000, got {number:g}")
    return number


def _smoothed(block: NDArray[Any], at: int, sigma: float) -> NDArray[np.float64]:
    """The plane ``at`` of a block after a Gaussian filter along all three axes; voxels without data do not count."""
    known = np.isfinite(block)
    weights = _gaussian(np.arange(len(block)) - at, sigma)
    value = np.tensordot(weights, np.where(known, block, 0), 1)
    weight = np.tensordot(weights, known.astype(np.float64), 1)
    reach = math.ceil(3 * sigma)
    kernel = _gaussian(np.arange(-reach, reach + 1), sigma)
    for axis in (0, 1):
        value, weight = (_convolved(each, kernel, axis) for each in (value, weight))
    with np.errstate(invalid="ignore", divide="ignore"):
        result: NDArray[np.float64] = value / weight
    return np.where(known[at], result, np.nan)


def _gaussian(offsets: NDArray[Any], sigma: float) -> NDArray[np.float64]:
    weights = np.exp(-0.5 * (offsets / sigma) ** 2)
    return np.asarray(weights / weights.sum(), np.float64)


def _convolved(values: NDArray[np.float64], kernel: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    reach = kernel.size // 2
    padding = [(reach, reach) if number == axis else (0, 0) for number in range(2)]
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(values, padding, mode="edge"), kernel.size, axis=axis)
    return np.asarray(windows @ kernel)


def extent_of(plane: PlaneRow) -> tuple[float, float, float, float]:
    """The extent of the CCF box in a plane: left, right, bottom, top in mm."""
    return (0.0, EXTENT_MM[plane.right], EXTENT_MM[plane.down], 0.0)


# -- anatomy ------------------------------------------------------------------------------------------------------


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
        smooth = _convolved(smooth, np.full(width, 1 / width), axis)
    lines = outline(smooth >= 0.5, spacing_um)
    return [line for line in lines if float(np.ptp(line, axis=0).max()) >= _MIN_OUTLINE_MM] or lines


def sampled(annotated: AnnotatedPlane, shape: tuple[int, int]) -> NDArray[np.uint32]:
    """The annotation at the voxel centers of a plane of another spacing."""
    rows, columns = (
        np.minimum(((np.arange(count) + 0.5) * size / count).astype(int), size - 1)
        for count, size in zip(shape, annotated.ids.shape, strict=True)
    )
    return annotated.ids[np.ix_(rows, columns)]
