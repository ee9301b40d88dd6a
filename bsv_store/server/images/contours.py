"""Outlines of structures in a plane, without the packages that figures need."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Corners of a cell are above the level: top left 1, top right 2, bottom right 4, bottom left 8. For each case, the
# edges at which a line enters and leaves the cell, with the inside on its right: 0 top, 1 right, 2 bottom, 3 left.
_SEGMENTS: dict[int, tuple[tuple[int, int], ...]] = {
    1: ((0, 3),),
    2: ((1, 0),),
    3: ((1, 3),),
    4: ((2, 1),),
    5: ((0, 3), (2, 1)),
    6: ((2, 0),),
    7: ((2, 3),),
    8: ((3, 2),),
    9: ((0, 2),),
    10: ((1, 0), (3, 2)),
    11: ((1, 2),),
    12: ((3, 1),),
    13: ((0, 1),),
    14: ((3, 0),),
}
_PADDING = 3
_LEVEL = 0.5
_MIN_POINTS = 4
_PASSES = 4


def outline(mask: NDArray[np.bool_], spacing_um: float, *, tolerance_um: float = 4.0) -> list[NDArray[np.int64]]:
    """The closed lines around a mask, smoothed over about one voxel.

    Parameters
    ----------
    mask : ndarray of bool, shape (down, right)
    spacing_um : float
        Edge of a voxel.
    tolerance_um : float
        Points closer than this to the line between their neighbors are left out.

    Returns
    -------
    list of ndarray of int64, shape (points, 2)
        Right and down in um from the corner of the plane. The last point is the first.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        return []
    top, left = int(rows[0]), int(columns[0])
    smooth = np.pad(mask[top : rows[-1] + 1, left : columns[-1] + 1].astype(np.float32), _PADDING)
    for _ in range(2):
        smooth[1:-1] = (smooth[:-2] + 2 * smooth[1:-1] + smooth[2:]) / 4
        smooth[:, 1:-1] = (smooth[:, :-2] + 2 * smooth[:, 1:-1] + smooth[:, 2:]) / 4
    lines = []
    for points in _rings(smooth):
        # Values are at the centers of voxels.
        placed = (points + np.array([left - _PADDING + 0.5, top - _PADDING + 0.5])) * spacing_um
        ring = _simplified(placed, tolerance_um)
        if len(ring) >= _MIN_POINTS:
            lines.append(np.round(np.concatenate([ring, ring[:1]])).astype(np.int64))
    return lines


def _rings(field: NDArray[np.float32]) -> list[NDArray[np.float64]]:
    """The closed level lines of a field that is 0 at its margin, by marching squares; points (right, down)."""
    width = field.shape[1]
    above = field > _LEVEL
    case = above[:-1, :-1] * 1 + above[:-1, 1:] * 2 + above[1:, 1:] * 4 + above[1:, :-1] * 8
    starts, ends = [], []
    for number, segments in _SEGMENTS.items():
        corner = np.flatnonzero(case == number)
        if corner.size == 0:
            continue
        # A row has one cell less than corners.
        corner = corner + corner // (width - 1)
        # Horizontal edges are numbered by their left corner, vertical ones by their upper corner.
        edges = (corner, field.size + corner + 1, corner + width, field.size + corner)
        for entered, left in segments:
            starts.append(edges[entered])
            ends.append(edges[left])
    if not starts:
        return []
    start, end = np.concatenate(starts), np.concatenate(ends)
    order = np.argsort(start)
    start, end = start[order], end[order]
    points = _points(field, start)
    following = np.searchsorted(start, end).tolist()
    seen = bytearray(len(following))
    rings = []
    for first in range(len(following)):
        if seen[first]:
            continue
        ring, place = [], first
        while not seen[place]:
            seen[place] = 1
            ring.append(place)
            place = following[place]
        rings.append(points[ring])
    return rings


def _points(field: NDArray[np.float32], edges: NDArray[np.intp]) -> NDArray[np.float64]:
    """Where the level crosses edges, by linear interpolation."""
    width = field.shape[1]
    is_vertical = edges >= field.size
    corner = np.where(is_vertical, edges - field.size, edges)
    flat = field.reshape(-1).astype(np.float64)
    here, there = flat[corner], flat[corner + np.where(is_vertical, width, 1)]
    part = (_LEVEL - here) / (there - here)
    down, right = np.divmod(corner, width)
    return np.stack([right + np.where(is_vertical, 0, part), down + np.where(is_vertical, part, 0)], axis=1)


def _simplified(ring: NDArray[np.float64], tolerance: float) -> NDArray[np.float64]:
    """The ring without points that are close to the line between their neighbors."""
    for number in range(_PASSES):
        if len(ring) < 2 * _MIN_POINTS:
            break
        before, after = np.roll(ring, 1, axis=0), np.roll(ring, -1, axis=0)
        chord = after - before
        offset = ring - before
        length = np.hypot(chord[:, 0], chord[:, 1])
        distance = np.abs(chord[:, 0] * offset[:, 1] - chord[:, 1] * offset[:, 0]) / np.maximum(length, 1e-9)
        # Never two neighbors at once.
        removed = (distance < tolerance / (_PASSES - number)) & (np.arange(len(ring)) % 2 == number % 2)
        ring = ring[~removed]
    return ring


def borders(labels: NDArray[Any], spacing_um: float) -> list[tuple[int, list[NDArray[np.int64]]]]:
    """The outline of each label of a plane, except 0; see `outline`."""
    return [(label, outline(labels == label, spacing_um)) for label in np.unique(labels).tolist() if label]
