"""Surfaces of equal value in a volume as triangles, and small helpers for volumes."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

_CORNERS = np.array(list(product((0, 1), repeat=3)))
_EDGES = [
    (first, second)
    for first in range(8)
    for second in range(first + 1, 8)
    if np.abs(_CORNERS[first] - _CORNERS[second]).sum() == 1
]


@dataclass(frozen=True, slots=True, eq=False)
class Mesh:
    """Triangles.

    Attributes
    ----------
    vertices : ndarray of float64, shape (vertices, 3)
        AP, DV, ML in mm.
    normals : ndarray of float64, shape (vertices, 3)
        Of length 1, away from the larger values.
    faces : ndarray of int64, shape (faces, 3)
        Indices of vertices.
    """

    vertices: NDArray[np.float64]
    normals: NDArray[np.float64]
    faces: NDArray[np.int64]


def surface(values: NDArray[Any], level: float, spacing_mm: float) -> Mesh:
    """The closed surface around the voxels above a level, by surface nets.

    Each cell of eight neighboring voxels that contains the surface has one vertex, at the mean of the points where the
    surface crosses the edges of the cell.

    Parameters
    ----------
    values : ndarray, shape (ap, dv, ml)
        Without NaN. Outside of the volume counts as below the level.
    level : float
    spacing_mm : float
        Edge of a voxel; voxel (0, 0, 0) has its center at half of it.

    Returns
    -------
    Mesh
        Without vertices if no voxel is above the level.
    """
    low = min(float(values.min(initial=level)), level) - 1e-6 * max(abs(level), 1e-6)
    field = np.pad(
        np.asarray(values, np.float64), 1, constant_values=min(low, 2 * level - float(values.max(initial=level)))
    )
    inside = field > level
    shape = np.array(field.shape) - 1
    corners = [
        inside[tuple(slice(at, at + size) for at, size in zip(corner, shape, strict=True))] for corner in _CORNERS
    ]
    count = sum(corner.astype(np.int8) for corner in corners)
    cells = np.argwhere((count > 0) & (count < 8))
    if not len(cells):
        return Mesh(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros((0, 3), np.int64))
    number = np.full(tuple(shape), -1, np.int64)
    number[tuple(cells.T)] = np.arange(len(cells))
    positions = _crossings(field, inside, cells, level)
    faces = _faces(inside, number)
    # Without the padding; voxel centers lie half a voxel from the edge.
    vertices = (positions - 1 + 0.5) * spacing_mm
    return Mesh(vertices, _normals(vertices, faces), faces)


def _crossings(
    field: NDArray[np.float64], inside: NDArray[np.bool_], cells: NDArray[np.intp], level: float
) -> NDArray[np.float64]:
    """The mean of the crossing points on the edges of each cell."""
    total, crossings = np.zeros((len(cells), 3)), np.zeros(len(cells))
    for first, second in _EDGES:
        a, b = cells + _CORNERS[first], cells + _CORNERS[second]
        crosses = inside[tuple(a.T)] != inside[tuple(b.T)]
        start, end = a[crosses], b[crosses]
        from_value, to_value = field[tuple(start.T)], field[tuple(end.T)]
        along = (level - from_value) / (to_value - from_value)
        total[crosses] += start + along[:, None] * (end - start)
        crossings[crosses] += 1
    return np.asarray(total / crossings[:, None])


def _faces(inside: NDArray[np.bool_], number: NDArray[np.int64]) -> NDArray[np.int64]:
    """Two triangles for each pair of neighboring voxels on different sides, among the four cells around them."""
    quads = []
    for axis in range(3):
        second, third = (axis + 1) % 3, (axis + 2) % 3
        before = np.take(inside, range(inside.shape[axis] - 1), axis=axis)
        after = np.take(inside, range(1, inside.shape[axis]), axis=axis)
        for enters in (True, False):
            at = np.argwhere((after & ~before) if enters else (before & ~after))
            around = []
            for back_second, back_third in ((1, 1), (0, 1), (0, 0), (1, 0)):
                cell = at.copy()
                cell[:, second] -= back_second
                cell[:, third] -= back_third
                around.append(number[tuple(cell.T)])
            quad = np.stack(around, axis=1)
            # Counterclockwise, seen from outside.
            quads.append(quad[:, ::-1] if enters else quad)
    quad = np.concatenate(quads)
    return np.concatenate([quad[:, [0, 1, 2]], quad[:, [0, 2, 3]]])


def _normals(vertices: NDArray[np.float64], faces: NDArray[np.int64]) -> NDArray[np.float64]:
    """The sum of the normals of the triangles around each vertex, weighted by area."""
    first, second, third = (vertices[faces[:, corner]] for corner in range(3))
    cross = np.cross(second - first, third - first)
    normals = np.zeros_like(vertices)
    for corner in range(3):
        for axis in range(3):
            normals[:, axis] += np.bincount(faces[:, corner], weights=cross[:, axis], minlength=len(vertices))
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return np.asarray(np.divide(normals, length, out=np.zeros_like(normals), where=length > 0))


def smoothed(values: NDArray[Any], times: int = 1) -> NDArray[np.float32]:
    """The mean of each voxel and its neighbors along each axis, with weights 1, 2, 1, repeatedly."""
    result = np.asarray(values, np.float32)
    for _ in range(times):
        for axis in range(3):
            padded = np.pad(result, [(1, 1) if each == axis else (0, 0) for each in range(3)], mode="edge")
            size = result.shape[axis]
            parts = [np.take(padded, range(start, start + size), axis=axis) for start in range(3)]
            result = 0.25 * parts[0] + 0.5 * parts[1] + 0.25 * parts[2]
    return result


def coarser(values: NDArray[Any], factor: int) -> NDArray[np.float32]:
    """Means over blocks of ``factor`` voxels along each axis; zeros fill up the last blocks."""
    if factor == 1:
        return np.asarray(values, np.float32)
    padded = np.pad(np.asarray(values, np.float32), [(0, -size % factor) for size in values.shape])
    shape = [part for size in padded.shape for part in (size // factor, factor)]
    return np.asarray(padded.reshape(shape).mean(axis=(1, 3, 5)), np.float32)
