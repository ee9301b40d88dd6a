"""Conditions of selections on the injection coordinate."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, Double, and_, cast, true

from bsv_store.catalog.database.models import Experiment

if TYPE_CHECKING:
    from bsv_store.catalog.selection.criteria import Criteria

_SQUARE_UNDERFLOWS = 1e-150


def in_box(leaf: Criteria) -> ColumnElement[bool]:
    """Whether the coordinate lies in the box of a part of a selection, borders included."""
    pairs = zip(_axes(), leaf.box or (), strict=True)
    return and_(true(), *(axis.between(*interval) for axis, interval in pairs if interval is not None))


def near_point(leaf: Criteria) -> ColumnElement[bool]:
    """Whether the coordinate lies within the radius around the point of a part of a selection, border included."""
    assert leaf.near is not None
    assert leaf.radius_um is not None
    # Postgres refuses a product that underflows; SQLite and Python make it 0.
    centers = [0.0 if abs(center) < _SQUARE_UNDERFLOWS else center for center in leaf.near]
    ap, dv, ml = ((axis - center) * (axis - center) for axis, center in zip(_axes(), centers, strict=True))
    return ap + dv + ml <= _largest_square(leaf.radius_um)


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


def _axes() -> list[ColumnElement[float]]:
    # Cast to double, because integers would be rounded or overflow.
    columns = (Experiment.injection_ap, Experiment.injection_dv, Experiment.injection_ml)
    return [cast(column, Double) for column in columns]
