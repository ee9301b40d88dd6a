"""Outlines of the brain and its structures from the annotation: silhouettes, sections, and the surface from above."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from bsv_store.figures.style import figure_class
from bsv_store.volumes.grid import EXTENT_UM

if TYPE_CHECKING:
    from matplotlib.axes import Axes

EXTENT_MM = (EXTENT_UM[0] / 1000, EXTENT_UM[1] / 1000, EXTENT_UM[2] / 1000)
"""Extent of the CCF along AP, DV and ML."""


@dataclass(frozen=True, slots=True)
class View:
    """A view: the axis along the line of sight, and the axes that point right and down (0 = AP, 1 = DV, 2 = ML)."""

    name: str
    along: int
    right: int
    down: int


CORONAL = View("coronal", 0, 2, 1)
SAGITTAL = View("sagittal", 2, 0, 1)
HORIZONTAL = View("horizontal", 1, 2, 0)
PLANES = (CORONAL, SAGITTAL, HORIZONTAL)

Line = NDArray[np.float64]
"""Points (right, down) in mm, shape (points, 2)."""

_T = TypeVar("_T", bound=np.generic)
_MIN_RING_MM = 0.4


@dataclass(frozen=True, slots=True)
class Region:
    """A structure that is seen in a view: its outlines and its color."""

    acronym: str
    color: str
    outlines: tuple[Line, ...]


@dataclass(frozen=True, slots=True, eq=False)
class BrainShape:
    """The brain as an annotation has it.

    Attributes
    ----------
    annotation : ndarray of uint32, shape (ap, dv, ml)
        Structure id of each voxel; 0 = outside.
    silhouettes : mapping of str to tuple of Line
        By the name of the view, see `PLANES`.
    """

    annotation: NDArray[np.uint32]
    silhouettes: Mapping[str, tuple[Line, ...]]


def brain_of(annotation: NDArray[np.uint32]) -> BrainShape:
    """The brain with its silhouettes in the three planes."""
    inside = annotation != 0
    silhouettes = {view.name: mask_outline(_turned(inside.any(axis=view.along), view), view) for view in PLANES}
    return BrainShape(annotation, silhouettes)


def mask_outline(mask: NDArray[np.bool_], view: View, *, axes: Axes | None = None) -> tuple[Line, ...]:
    """The outlines of a mask of shape (down, right) on the whole extent of a view.

    The mask is averaged over 3 x 3 pixels, so that diagonal borders have no steps. Rings smaller than 0.4 mm are left
    out. ``axes`` are those of a temporary figure, which many outlines can share.
    """
    if not mask.any():
        return ()
    padded = np.pad(mask.astype(np.float64), 2)
    smooth = np.lib.stride_tricks.sliding_window_view(padded, (3, 3)).mean(axis=(2, 3))
    rows, columns = mask.shape
    x = np.clip(np.arange(-0.5, columns + 1) / columns, 0, 1) * EXTENT_MM[view.right]
    y = np.clip(np.arange(-0.5, rows + 1) / rows, 0, 1) * EXTENT_MM[view.down]
    # On a temporary figure: only the points are needed.
    drawn = figure_class()().add_subplot() if axes is None else axes
    contours = drawn.contour(x, y, smooth, levels=[0.5])
    contours.remove()
    lines = [np.asarray(line, np.float64) for line in contours.allsegs[0]]
    return tuple(line for line in lines if len(line) and float(np.ptp(line, axis=0).max()) >= _MIN_RING_MM)


def section(
    brain: BrainShape, view: View, at_mm: float, groups: Sequence[tuple[str, str, frozenset[int]]]
) -> list[Region]:
    """The outlines of structures in the plane at a position along the line of sight.

    Parameters
    ----------
    brain : BrainShape
    view : View
    at_mm : float
    groups : sequence of (acronym, color, ids)
        The structures; ids of each and all its descendants.
    """
    count = brain.annotation.shape[view.along]
    index = min(max(int(at_mm / EXTENT_MM[view.along] * count), 0), count - 1)
    plane = _turned(np.take(brain.annotation, index, axis=view.along), view)
    return _regions(plane, view, groups)


def surface_from_above(brain: BrainShape, groups: Sequence[tuple[str, str, frozenset[int]]]) -> list[Region]:
    """The structures that are seen from above, with their outlines."""
    inside = brain.annotation != 0
    first = inside.argmax(axis=1)
    ids = np.take_along_axis(brain.annotation, first[:, None, :], axis=1)[:, 0, :]
    return _regions(ids, HORIZONTAL, groups)


def _regions(ids: NDArray[np.uint32], view: View, groups: Sequence[tuple[str, str, frozenset[int]]]) -> list[Region]:
    present = set(np.unique(ids).tolist()) - {0}
    axes = figure_class()().add_subplot()
    found = []
    for acronym, color, members in groups:
        here = members & present
        if here:
            outlines = mask_outline(np.isin(ids, sorted(here)), view, axes=axes)
            if outlines:
                found.append(Region(acronym, color, outlines))
    return found


def _turned(values: NDArray[_T], view: View) -> NDArray[_T]:
    """A projection as an image with rows pointing down."""
    return values.T if view.down > view.right else values
