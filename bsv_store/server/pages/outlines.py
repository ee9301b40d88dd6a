"""Outlines of the brain for the injection map, as SVG paths in um."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bsv_store.reports.anatomy import brain_of, divisions
from bsv_store.reports.html_page.markup import Markup, element
from bsv_store.vocabulary import PLANES, SUMMARY_STRUCTURE_SET_ID
from bsv_store.volumes.grid import ARRAY_AXES, EXTENT_UM

if TYPE_CHECKING:
    from bsv_store.store.store import Store

_HEADINGS = {"coronal": "From the front", "sagittal": "From the side", "horizontal": "From above"}
_ORDER = ("horizontal", "sagittal", "coronal")
# Neighbors of a corner of a pixel: right, down, left, up; inside is to the right of the direction of travel.
_STEPS = ((0, 1), (1, 0), (0, -1), (-1, 0))
_MIN_CORNERS = 8


@dataclass(frozen=True, slots=True)
class OutlineMap:
    """A view of the brain.

    Attributes
    ----------
    heading : str
    right, down : str
        Axes.
    width_um, height_um : int
    silhouette : str
        Path of the brain; '' without annotation.
    regions : sequence of (str, str, str)
        Acronym, color and path of structures at the surface.
    """

    heading: str
    right: str
    down: str
    width_um: int
    height_um: int
    silhouette: str
    regions: Sequence[tuple[str, str, str]]

    def markup(self, *symbols: Markup) -> Markup:
        """The picture, with symbols above the outlines."""
        shapes = [element("path", d=path, class_="region", fill=color, stroke=color) for _, color, path in self.regions]
        return element(
            "svg",
            element("path", d=self.silhouette, class_="silhouette") if self.silhouette else None,
            shapes,
            symbols,
            viewBox=f"0 0 {self.width_um} {self.height_um}",
            aria_hidden="true",
        )


def outline_maps(store: Store) -> list[OutlineMap]:
    """The views from above, from the side and from the front; empty outlines if the store has no annotation."""
    brain = brain_of(store)
    rows = [PLANES[name] for name in _ORDER]
    silhouettes = brain.silhouettes(rows)
    surface = brain.surface_from_above()
    extent = dict(zip(ARRAY_AXES, EXTENT_UM, strict=True))
    found = []
    for number, row in enumerate(rows):
        path, regions = "", []
        if silhouettes is not None:
            seen = silhouettes[number][0]
            path = outline_path(seen.ids != 0, seen.spacing_um)
        if surface is not None and row.name == "horizontal":
            parts = divisions(store, SUMMARY_STRUCTURE_SET_ID)
            for part in parts:
                inside = np.isin(surface.ids, list(part.ids))
                if inside.any():
                    regions.append((part.row.acronym, part.color, outline_path(inside, surface.spacing_um)))
        found.append(
            OutlineMap(_HEADINGS[row.name], row.right, row.down, extent[row.right], extent[row.down], path, regions)
        )
    return found


def outline_path(mask: NDArray[np.bool_], spacing_um: int) -> str:
    """The path of an SVG around a mask of shape (down, right), smoothed over about one pixel, in um."""
    parts = []
    for ring in _rings(mask):
        if len(ring) < _MIN_CORNERS:
            continue
        # Midpoints of the edges remove the stairs of diagonal lines.
        points = (ring + np.roll(ring, -1, axis=0)) / 2
        points = (np.roll(points, 1, axis=0) + 2 * points + np.roll(points, -1, axis=0)) / 4 * spacing_um
        listed = " ".join(f"{right:.0f},{down:.0f}" for down, right in points.tolist())
        parts.append(f"M{listed}z")
    return "".join(parts)


def _rings(mask: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """The closed lines along the edges of the pixels of a mask, as corners (down, right)."""
    padded = np.pad(mask, 1)
    inner = padded[1:-1, 1:-1]
    leaving: dict[tuple[int, int], list[int]] = {}
    # An edge of a pixel whose neighbor is outside, from the corner where it starts.
    for step, (neighbor, corner) in enumerate(
        (
            (padded[:-2, 1:-1], (0, 0)),
            (padded[1:-1, 2:], (0, 1)),
            (padded[2:, 1:-1], (1, 1)),
            (padded[1:-1, :-2], (1, 0)),
        )
    ):
        for down, right in np.argwhere(inner & ~neighbor).tolist():
            leaving.setdefault((down + corner[0], right + corner[1]), []).append(step)
    found = []
    while leaving:
        start = next(iter(leaving))
        ring, at, before = [], start, leaving[start][-1]
        while at in leaving:
            steps = leaving[at]
            # Where two pixels touch at a corner, turn so that they stay apart.
            step = max(steps, key=lambda each: (before - each) % 4)
            steps.remove(step)
            if not steps:
                del leaving[at]
            ring.append(at)
            at, before = (at[0] + _STEPS[step][0], at[1] + _STEPS[step][1]), step
        found.append(np.array(ring, np.float64))
    return found
