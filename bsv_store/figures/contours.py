"""Borders of structures as lines and polygons in mm."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.path import Path

Lines = list[NDArray[np.float64]]

# Deviation of a simplified line from the border. Matplotlib's `Path.cleaned` simplifies to 1/9 of a unit.
_TOLERANCE_MM = 0.006
_UNIT_MM = 9 * _TOLERANCE_MM
_MIN_POINTS = 4


def borders(labels: NDArray[Any], spacing_um: float) -> Lines:
    """The lines between voxels with different labels in a plane, smoothed over about one voxel.

    Parameters
    ----------
    labels : ndarray of int, shape (rows, columns)
        0 = outside; no line is drawn around label 0.
    spacing_um : float
        Edge of a voxel.

    Returns
    -------
    list of ndarray of float64, shape (points, 2)
        Right and down in mm from the corner of the plane.
    """
    return [line for label in np.unique(labels).tolist() if label for line in outline(labels == label, spacing_um)]


def outline(mask: NDArray[np.bool_], spacing_um: float) -> Lines:
    """The closed lines around a mask; see `borders`."""
    generator, origin = _generator(mask)
    if generator is None:
        return []
    lines = [_millimeters(points, origin, spacing_um) for points in generator.lines(0.5)]
    return [line for line in map(_simplified, lines) if len(line) >= _MIN_POINTS]


def area(mask: NDArray[np.bool_], spacing_um: float) -> Path | None:
    """The area of a mask, with holes, as one path in mm; None if it is empty."""
    from matplotlib.path import Path

    generator, origin = _generator(mask, fill=True)
    if generator is None:
        return None
    vertices, codes = [], []
    for points, offsets in zip(*generator.filled(0.5, 2.0), strict=True):
        for first, last in itertools.pairwise(offsets):
            ring = _simplified(_millimeters(points[first:last], origin, spacing_um))
            if len(ring) < _MIN_POINTS:
                continue
            vertices.append(ring)
            codes += [Path.MOVETO, *[Path.LINETO] * (len(ring) - 2), Path.CLOSEPOLY]
    return Path(np.concatenate(vertices), codes) if vertices else None


def inner_point(mask: NDArray[np.bool_], spacing_um: float) -> tuple[float, float] | None:
    """A point well inside the largest part of a mask, right and down in mm; None if the mask is empty."""
    if not mask.any():
        return None
    inside = np.pad(mask, 1)
    while True:
        # Erosion by one voxel; the part that lasts longest is the widest.
        core = inside[1:-1, 1:-1] & inside[:-2, 1:-1] & inside[2:, 1:-1] & inside[1:-1, :-2] & inside[1:-1, 2:]
        if not core.any():
            break
        inside = np.pad(core, 1)
    rows, columns = np.nonzero(inside[1:-1, 1:-1])
    # Of several equally wide places, the one nearest to their middle.
    nearest = int(np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2))
    return (float(columns[nearest]) + 0.5) * spacing_um / 1000, (float(rows[nearest]) + 0.5) * spacing_um / 1000


def _generator(mask: NDArray[np.bool_], *, fill: bool = False) -> tuple[Any, tuple[float, float]]:
    """A contour generator of the smoothed mask, cropped, and the index (row, column) of its first point."""
    import contourpy

    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        return None, (0, 0)
    top, left = int(rows[0]), int(columns[0])
    cropped = np.pad(mask[top : rows[-1] + 1, left : columns[-1] + 1].astype(np.float32), 3)
    smooth = cropped
    for _ in range(2):
        smooth[1:-1] = (smooth[:-2] + 2 * smooth[1:-1] + smooth[2:]) / 4
        smooth[:, 1:-1] = (smooth[:, :-2] + 2 * smooth[:, 1:-1] + smooth[:, 2:]) / 4
    kind = contourpy.FillType.OuterOffset if fill else contourpy.FillType.OuterCode
    return contourpy.contour_generator(z=smooth, fill_type=kind, line_type="Separate"), (top - 3, left - 3)


def _millimeters(points: NDArray[Any], origin: tuple[float, float], spacing_um: float) -> NDArray[np.float64]:
    corner = np.array([origin[1] + 0.5, origin[0] + 0.5])
    return np.asarray((points + corner) * (spacing_um / 1000), np.float64)


def _simplified(line: NDArray[np.float64]) -> NDArray[np.float64]:
    from matplotlib.path import Path

    path = Path(line / _UNIT_MM)
    path.should_simplify = True
    cleaned = path.cleaned(simplify=True)
    vertices = np.asarray(cleaned.vertices, np.float64)
    kept: NDArray[np.float64] = vertices[np.asarray(cleaned.codes) != Path.STOP] * _UNIT_MM
    return kept
