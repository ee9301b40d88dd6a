"""Choosing the planes of a figure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bsv_store.check import choice, finite_numbers, several, whole_number, without
from bsv_store.errors import InputError
from bsv_store.figures.brain import EXTENT_MM, Brain
from bsv_store.figures.style import WIDE_MM
from bsv_store.vocabulary import PLANES, PlaneRow
from bsv_store.volumes.grid import ARRAY_AXES, EXTENT_UM, MIDLINE_UM, Grid

if TYPE_CHECKING:
    from bsv_store.catalog.structures import StructureRef
    from bsv_store.figures.sources import Source
    from bsv_store.vocabulary import MeasuredHemisphere, Plane

DEFAULT_PLANES = 6
MAX_PLANES = 60
_STEP_MM = 0.1


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
        count = grid.shape[ARRAY_AXES.index(self.plane.across)]
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
    axis = ARRAY_AXES.index(plane.across)
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
