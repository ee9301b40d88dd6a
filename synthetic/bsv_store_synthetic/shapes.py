"""The shapes of the synthetic brain: the structure at each point of one hemisphere.

All lengths are in um of the CCFv3 box. A point is given by AP, DV and its distance from the midline, here called
"side". The numbers are our own: they approximate a mouse brain with two lofts and some ellipsoids.

Only sums, products, quotients, square roots and comparisons of whole arrays are used. IEEE arithmetic defines their
results, so that the annotation is identical on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Loft:
    """A body along the AP axis, symmetric to the midline, whose sections are rounded rectangles.

    ``profile`` has control points (ap, top, middle, bottom, half_width): the DV of the upper edge, of the widest place
    and of the lower edge.
    """

    profile: tuple[tuple[int, int, int, int, int], ...]

    def section(self, ap: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        """Top, middle, bottom and half width at these AP positions."""
        at, *columns = np.array(self.profile, np.float32).T
        top, middle, bottom, width = (_interpolated(ap, at, column) for column in columns)
        return top, middle, bottom, width

    def covers(self, ap: Floats) -> Mask:
        return (ap >= self.profile[0][0]) & (ap <= self.profile[-1][0])


_CEREBRUM: Final = _Loft(
    (
        (1_950, 3_000, 3_600, 4_300, 350),
        (2_150, 2_500, 3_600, 4_900, 1_150),
        (2_700, 1_900, 3_700, 5_600, 2_050),
        (3_400, 1_400, 3_800, 6_000, 2_800),
        (4_200, 1_000, 3_900, 6_350, 3_500),
        (5_200, 700, 4_100, 6_700, 4_200),
        (6_200, 520, 4_300, 6_950, 4_650),
        (7_200, 480, 4_400, 7_050, 4_900),
        (8_100, 580, 4_300, 6_950, 4_950),
        (8_900, 800, 3_950, 6_350, 4_750),
        (9_500, 1_080, 3_600, 5_600, 4_350),
        (10_000, 1_450, 3_300, 4_800, 3_800),
        (10_400, 1_950, 3_050, 4_100, 3_000),
        (10_650, 2_550, 2_900, 3_350, 1_900),
    )
)
_STEM: Final = _Loft(
    (
        (7_900, 2_600, 4_400, 6_700, 1_900),
        (8_600, 1_950, 4_100, 6_350, 2_150),
        (9_200, 1_600, 3_900, 6_150, 2_250),
        (9_800, 1_650, 4_100, 6_500, 2_250),
        (10_400, 1_900, 4_600, 6_900, 2_400),
        (11_000, 2_900, 5_100, 6_950, 2_400),
        (11_600, 3_800, 5_500, 7_000, 2_200),
        (12_200, 4_300, 5_800, 7_100, 1_900),
        (12_800, 4_800, 6_000, 7_150, 1_600),
        (13_050, 5_000, 6_050, 7_150, 1_500),
    )
)
_CORTEX_UM: Final = 950
_WHITE_MATTER_UM: Final = 230
_HIPPOCAMPUS_UM: Final = 1_000


class Brain:
    """The structures at the points of a box of one hemisphere.

    Parameters
    ----------
    ap, dv, side : ndarray of float32, one-dimensional
        Coordinates of the box. ``side`` is the distance from the midline, at least 0.
    """

    def __init__(self, ap: Floats, dv: Floats, side: Floats) -> None:
        self._ap = ap.astype(np.float32)[:, None, None]
        self._dv = dv.astype(np.float32)[None, :, None]
        self._side = side.astype(np.float32)[None, None, :]

    def structures(self) -> list[tuple[str, Mask]]:
        """Leaf acronyms with masks of the shape (ap, dv, side), by precedence: the first that contains a point wins."""
        return [*self._bulb_and_cerebellum(), *self._cerebrum()]

    def _ball(self, center: tuple[int, int, int], radii: tuple[int, int, int]) -> Mask:
        """An ellipsoid in each hemisphere; the last entry of the center is the distance from the midline."""
        x, y, z = ((at - c) / r for at, c, r in zip((self._ap, self._dv, self._side), center, radii, strict=True))
        return (x * x + y * y) + z * z < 1

    def _bulb_and_cerebellum(self) -> list[tuple[str, Mask]]:
        ap, dv, side = self._ap, self._dv, self._side
        bulb = self._ball((1_650, 4_250, 880), (1_400, 1_300, 840)) & (ap < 2_900)
        # The lobules, fanned out around the roof of the fourth ventricle.
        x, y = ap - 11_500, dv - 3_600
        lobules = _cosine_of_multiple(x / np.sqrt(x * x + y * y + 1), 9)
        vermis = ((ap - 11_550) / 1_450) ** 2 + ((dv - 3_050) / 1_850) ** 2 + (side / 1_300) ** 2
        lobe = ((ap - 11_350) / 1_200) ** 2 + ((dv - 3_050) / 1_450) ** 2 + ((side - 2_000) / 1_750) ** 2
        body = np.minimum(vermis, lobe)
        cerebellum = body < 1 + 0.11 * lobules
        flocculus = self._ball((11_150, 4_500, 3_100), (750, 950, 750))
        return [
            ("MOB", bulb),
            ("arb", cerebellum & (body < 0.24 + 0.22 * lobules)),
            ("LOB4, 5", cerebellum & (side < 950)),
            ("AN", cerebellum | flocculus),
        ]

    def _cerebrum(self) -> list[tuple[str, Mask]]:
        ap, dv, side = self._ap, self._dv, self._side
        top, middle, bottom, width = _CEREBRUM.section(ap)
        fissure = 400 / (1 + (side / 280) ** 2)
        hull = _rounded(side, dv, top + fissure, middle, bottom, width) < 1
        # Behind the thalamus the hemispheres part and cover the brain stem like a hood.
        x, y, z = np.minimum(ap - 10_200, 0) / 2_100, (dv - 5_900) / 2_250, side / 2_700
        hood = x * x + y * y + z * z >= 1
        hull &= _CEREBRUM.covers(ap) & (side > 1.2 * (ap - 9_300)) & hood
        stem = (_rounded(side, dv, *_STEM.section(ap)) < 1) & _STEM.covers(ap)
        brain = hull | stem
        front = ap + 0.35 * (dv - 5_000)
        arch = (1_100 - 0.65 * np.clip(ap - 7_900, 0, 1_400)) / (1 + (side / 700) ** 2)

        def within(depth: float) -> Mask:
            """Deeper in the hemisphere than this: below the cortex, the white matter or the hippocampus."""
            inner = (top + depth + arch, middle, bottom - depth, width - depth)
            return hull & (_rounded(side, dv, *inner) < 1)

        white = within(_CORTEX_UM)
        core = within(_CORTEX_UM + _WHITE_MATTER_UM)
        deep = within(_CORTEX_UM + _WHITE_MATTER_UM + _HIPPOCAMPUS_UM)
        dentate = within(_CORTEX_UM + _WHITE_MATTER_UM + 0.55 * _HIPPOCAMPUS_UM)
        hippocampus = core & ~deep & (ap > 6_500 + 0.4 * (dv - 2_200)) & (dv < 6_000)
        hippocampus &= (side > 0.9 * (dv - 3_300)) & (side > 1.4 * (ap - 8_200))
        sheet = hull & ~white
        above_rhinal = dv < middle + 450
        ventral = sheet & ~above_rhinal & (side > 1_300 + 0.35 * np.maximum(ap - 5_000, 0))
        thalamus = self._ball((7_200, 4_100, 0), (1_450, 1_250, 2_350))
        return [
            *self._cortical(sheet & above_rhinal, within(0.5 * _CORTEX_UM)),
            ("ENT", ventral & (ap > 8_100)),
            ("PIR", ventral),
            ("cc", white & ~core & (dv < middle + 900) & (ap > 3_300) & (ap < 9_600)),
            ("LGd", core & self._ball((7_700, 3_650, 2_050), (700, 750, 480))),
            ("LP", core & self._ball((7_700, 3_350, 1_250), (950, 650, 850))),
            ("DG", hippocampus & dentate),
            ("CA1", hippocampus),
            ("CM", thalamus & (side < 380) & (dv > 3_700)),
            ("VPM", thalamus & self._ball((7_200, 4_350, 1_450), (750, 750, 650))),
            ("PO", thalamus),
            ("CP", core & self._ball((5_300, 3_950, 2_400), (2_000, 1_800, 1_550))),
            ("ACB", hull & self._ball((4_250, 5_500, 1_250), (900, 850, 1_000))),
            ("HY", hull & self._ball((6_900, 6_000, 0), (1_700, 1_550, 1_800))),
            ("cm", brain & self._ball((8_500, 3_300, 0), (450, 220, 800))),
            ("SCs", brain & self._ball((9_250, 2_250, 200), (1_000, 950, 1_700))),
            ("IC", brain & self._ball((10_250, 2_400, 900), (800, 1_050, 1_300))),
            ("PAG", brain & self._ball((9_400, 3_600, 0), (1_300, 700, 750))),
            ("PIR", hull & (ap < 3_400)),
            ("PAL", hull & (ap < 6_300)),
            ("CTXsp", hull & (side > 1_700) & (ap < 9_000)),
            ("ENT", hull & (side > 1_700)),
            ("HY", hull & (front < 8_600) & (dv > 4_500)),
            ("PO", hull & (ap < 8_200)),
            ("MY", stem & (ap > 10_900)),
            ("P", stem & (front > 9_700) & (dv > 3_900)),
            ("MRN", brain),
        ]

    def _cortical(self, sheet: Mask, deep: Mask) -> list[tuple[str, Mask]]:
        """The areas of the neocortex, as patches seen from above and, on the flank, from the side."""
        ap, dv, side = self._ap, self._dv, self._side

        def patch(at_ap: int, at_side: int, radius_ap: int, radius_side: int) -> Mask:
            return sheet & (((ap - at_ap) / radius_ap) ** 2 + ((side - at_side) / radius_side) ** 2 < 1)

        upper = dv < 3_000
        primary = patch(9_000, 2_550, 1_600, 900) & upper
        return [
            ("VISp2/3", primary & ~deep),
            ("VISp5", primary),
            ("VISpm", patch(8_700, 1_350, 1_400, 700) & (side > 850) & upper),
            ("VISal", patch(7_900, 3_450, 650, 750) & upper),
            ("VISl", patch(9_000, 3_550, 1_500, 800)),
            ("RSP", sheet & (side < 1_250) & (ap > 6_900)),
            ("AUDp", sheet & (side > 3_000) & (ap > 7_300)),
            ("VISC", sheet & (dv > 3_300) & (side > 1_500) & (ap > 3_700)),
            ("SSp", patch(6_300, 3_700, 2_000, 1_700)),
            ("MOs", sheet & (side < 1_150 + 0.2 * np.maximum(4_500 - ap, 0))),
            ("MOp", sheet & (ap < 6_900)),
            ("RSP", sheet),
        ]


def _interpolated(at: Floats, points: Floats, values: Floats) -> Floats:
    """A cubic Hermite spline through the values; constant before the first and after the last point."""
    slopes = np.empty_like(values)
    slopes[1:-1] = (values[2:] - values[:-2]) / (points[2:] - points[:-2])
    slopes[0], slopes[-1] = ((values[i + 1] - values[i]) / (points[i + 1] - points[i]) for i in (0, len(points) - 2))
    x = np.clip(at, points[0], points[-1])
    left = np.clip(np.searchsorted(points, x.ravel(), side="right") - 1, 0, len(points) - 2).reshape(x.shape)
    step = points[left + 1] - points[left]
    t = (x - points[left]) / step
    rest = 1 - t
    ends = rest * rest * (1 + 2 * t) * values[left] + t * t * (3 - 2 * t) * values[left + 1]
    curve: Floats = ends + t * rest * step * (rest * slopes[left] - t * slopes[left + 1])
    return curve


def _rounded(side: Floats, dv: Floats, top: Floats, middle: Floats, bottom: Floats, width: Floats) -> Floats:
    """A measure that is 0 in the middle of a rounded rectangle and 1 on its edge, above 1 where there is none."""
    u = side / np.maximum(width, 1)
    above, below = (middle - dv) / np.maximum(middle - top, 1), (dv - middle) / np.maximum(bottom - middle, 1)
    v = np.maximum(above, below)
    u *= u
    v *= v
    measure: Floats = np.maximum(u + v - 0.5 * u * v, np.maximum(u, v))
    return measure


def _cosine_of_multiple(cosine: Floats, times: int) -> Floats:
    """cos(n x) of cos(x), by Chebyshev's recurrence."""
    before, now = np.ones_like(cosine), cosine
    for _ in range(times - 1):
        before, now = now, 2 * cosine * now - before
    return now
