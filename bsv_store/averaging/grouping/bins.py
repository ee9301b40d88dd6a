"""Bins of an injection coordinate: where the edges lie, which value falls where, how a bin is called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from bsv_store.averaging.grouping.grouping import CoordinateGrouping
from bsv_store.vocabulary import Axis

OUTSIDE = -1


@dataclass(frozen=True, slots=True)
class Bins:
    """Bin edges and the rule that goes with them.

    Attributes
    ----------
    axis : {'AP', 'DV', 'ML'}
    edges : tuple of float
        um, ascending. A bin holds its lower edge; the last one holds both.
    """

    axis: Axis
    edges: tuple[float, ...]

    def place(self, coordinates: Sequence[float]) -> NDArray[np.intp]:
        """Bin number of each coordinate from 0; ``OUTSIDE`` for those beyond the edges."""
        values = np.asarray(coordinates, dtype=np.float64)
        number = np.digitize(values, np.asarray(self.edges)) - 1
        number[values == self.edges[-1]] = len(self.edges) - 2
        number[(values < self.edges[0]) | (values > self.edges[-1])] = OUTSIDE
        return number

    def labels(self) -> list[str]:
        """A readable name of each bin, such as "AP 7,950-8,310 um"."""
        texts = _distinct_texts(self.edges)
        return [f"{self.axis} {low}-{high} um" for low, high in pairwise(texts)]


def make_bins(grouping: CoordinateGrouping, known: Sequence[float]) -> Bins | None:
    """Bins of a coordinate grouping over the known coordinates, or None for one group of everybody.

    * ``edges``: as given.
    * ``equal_width``: `n` bins between the smallest and the largest coordinate, ``numpy.linspace(low, high, n + 1)``.
    * ``quantile``: the edges are the quantiles 0, 1/n, ..., 1 of the coordinates (NumPy's linear interpolation); equal
      edges become one. Equal coordinates therefore always share a bin, and ties give fewer, larger bins.

    One group of everybody, experiments with an unknown coordinate included, is what Brain Street View makes where there
    is nothing to divide: one bin asked for, no coordinate known, or all coordinates equal.

    Parameters
    ----------
    grouping : CoordinateGrouping
    known : sequence of float
        um.
    """
    if grouping.edges is not None:
        return Bins(grouping.axis, grouping.edges)
    if grouping.bins == 1 or not known or min(known) == max(known):
        return None
    if grouping.method == "equal_width":
        edges = np.linspace(min(known), max(known), grouping.bins + 1)
    else:
        edges = np.unique(np.quantile(np.asarray(known, np.float64), np.linspace(0, 1, grouping.bins + 1)))
    return Bins(grouping.axis, tuple(edges.tolist()))


def _distinct_texts(edges: Sequence[float]) -> list[str]:
    """The edges with as few decimals as keep them apart."""
    for decimals in range(7):
        texts = [f"{edge:,.{decimals}f}" for edge in edges]
        if len(set(texts)) == len(texts):
            return texts
    return [repr(edge) for edge in edges]
