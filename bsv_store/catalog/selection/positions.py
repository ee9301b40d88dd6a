"""Conditions of selections on the injection coordinate."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bsv_store.catalog.selection.criteria import Criteria
    from bsv_store.catalog.selection.terms import C, Terms

_SQUARE_UNDERFLOWS = 1e-150


def in_box(terms: Terms[C], leaf: Criteria) -> C:
    """Whether the coordinate lies in the box of a part of a selection, borders included."""
    conditions: list[C] = []
    for axis, interval in zip(terms.coordinates(), leaf.box or (), strict=True):
        if interval is not None:
            conditions += [axis >= interval[0], axis <= interval[1]]
    return terms.every(conditions)


def near_point(terms: Terms[C], leaf: Criteria) -> C:
    """Whether the coordinate lies within the radius around the point of a part of a selection, border included."""
    assert leaf.near is not None
    assert leaf.radius_um is not None
    # Postgres refuses a product that underflows; SQLite and Python make it 0.
    centers = [0.0 if abs(center) < _SQUARE_UNDERFLOWS else center for center in leaf.near]
    offsets = [axis - center for axis, center in zip(terms.coordinates(), centers, strict=True)]
    ap, dv, ml = (offset * offset for offset in offsets)
    condition: C = ap + dv + ml <= _largest_square(leaf.radius_um)
    return condition


def _largest_square(root: float) -> float:
    """The largest number whose square root, rounded, is at most ``root``.

    A distance that a search reports is such a root, and must be inside a radius of the same number; ``root * root`` is
    often a bit too small.
    """
    square = root * root
    while math.sqrt(square) > root:
        square = math.nextafter(square, 0.0)
    while math.sqrt(above := math.nextafter(square, math.inf)) <= root:
        square = above
    return square
