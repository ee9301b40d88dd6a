"""Surfaces of equal value, and volumes with fewer voxels."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from bsv_store.figures.surface import Mesh, coarser, smoothed, surface

RADIUS_MM, CENTER_MM = 1.2, np.array([1.5, 1.7, 1.9])


def ball(spacing_mm: float = 0.1) -> NDArray[np.float32]:
    """Distance inside a ball, so that its surface is the level 0."""
    axes = [(np.arange(size) + 0.5) * spacing_mm for size in (30, 34, 38)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    return np.asarray(RADIUS_MM - np.linalg.norm(grid - CENTER_MM, axis=-1), np.float32)


def enclosed_mm3(mesh: Mesh) -> float:
    """The volume inside, positive if the triangles face outward."""
    first, second, third = (mesh.vertices[mesh.faces[:, corner]] for corner in range(3))
    return float(np.einsum("ij,ij->i", first, np.cross(second, third)).sum() / 6)


def edge_uses(mesh: Mesh) -> set[int]:
    """How many triangles each edge belongs to."""
    edges = np.sort(np.concatenate([mesh.faces[:, pair] for pair in ([0, 1], [1, 2], [2, 0])]), axis=1)
    return set(np.unique(edges, axis=0, return_counts=True)[1].tolist())


def test_the_surface_of_a_ball_lies_where_the_ball_ends() -> None:
    mesh = surface(ball(), 0.0, 0.1)
    distances = np.linalg.norm(mesh.vertices - CENTER_MM, axis=1)
    assert abs(distances - RADIUS_MM).max() < 0.02
    assert enclosed_mm3(mesh) == pytest.approx(4 / 3 * np.pi * RADIUS_MM**3, rel=0.01)
    assert edge_uses(mesh) == {2}
    outward = (mesh.vertices - CENTER_MM) / distances[:, None]
    assert np.einsum("ij,ij->i", mesh.normals, outward).min() > 0.95


def test_the_surface_of_one_voxel_is_around_its_center() -> None:
    values = np.zeros((5, 6, 7))
    values[1, 2, 3] = 1
    mesh = surface(values, 0.5, 0.1)
    np.testing.assert_allclose(mesh.vertices.mean(axis=0), [0.15, 0.25, 0.35])
    assert edge_uses(mesh) == {2}
    assert enclosed_mm3(mesh) > 0


def test_a_surface_is_closed_at_the_edge_of_the_volume() -> None:
    mesh = surface(np.ones((3, 3, 3)), 0.5, 1.0)
    assert edge_uses(mesh) == {2}
    assert mesh.vertices.min() == pytest.approx(0, abs=0.2)
    assert mesh.vertices.max() == pytest.approx(3, abs=0.2)


def test_no_voxel_above_the_level_has_no_surface() -> None:
    for values in (np.zeros((4, 4, 4)), np.full((4, 4, 4), 0.5)):
        assert surface(values, 0.5, 1.0).faces.shape == (0, 3)


def test_smoothing_keeps_the_sum_and_coarser_voxels_are_means() -> None:
    values = np.zeros((8, 9, 10), np.float32)
    values[3:5, 4, 5] = 4
    assert smoothed(values, 2).sum() == pytest.approx(values.sum())
    coarse = coarser(values, 2)
    assert coarse.shape == (4, 5, 5)
    assert coarse[1, 2, 2] == coarse[2, 2, 2] == pytest.approx(0.5)
    assert coarse.sum() * 8 == pytest.approx(values.sum())
