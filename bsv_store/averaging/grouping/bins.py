"""Bins of an injection coordinate: edges, the bin of a value, labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from bsv_store.averaging.grouping.grouping import CoordinateGrouping
from bsv_store.vocabulary import Axis, BinMethod

OUTSIDE = -1


@dataclass(frozen=True, slots=True)
class Bins:
    """Bins along an axis.

    Attributes
    ----------
    axis : {'AP', 'DV', 'ML'}
    edges : tuple of float
        um, ascending. A bin includes its lower edge; the last one includes both edges.
    """

    axis: Axis
    edges: tuple[float, ...]

    def place(self, coordinates: Sequence[float]) -> NDArray[np.intp]:
        """Number of the bin of each coordinate, from 0; ``OUTSIDE`` beyond the edges."""
        values = np.asarray(coordinates, dtype=np.float64)
        number = np.digitize(values, np.asarray(self.edges)) - 1
        number[values == self.edges[-1]] = len(self.edges) - 2
        number[(values < self.edges[0]) | (values > self.edges[-1])] = OUTSIDE
        return number

    def labels(self) -> list[str]:
        """The label of each bin, such as "AP 7,950-8,310 um"."""
        texts = _distinct_texts(self.edges)
        return [f"{self.axis} {low}-{high} um" for low, high in pairwise(texts)]


def make_bins(grouping: CoordinateGrouping, known: Sequence[float]) -> Bins | None:
    """Bins of a coordinate grouping over the known coordinates; None for one group of all experiments.

    * ``edges``: as given.
    * ``equal_width``: `n` bins between the smallest and the largest coordinate, ``numpy.linspace(low, high, n + 1)``.
    * ``quantile``: the edges are the quantiles 0, 1/n, ..., 1 of the coordinates (NumPy's linear interpolation); equal
      edges become one. Equal coordinates therefore always share a bin, and ties give fewer, larger bins.

    As in Brain Street View, all experiments are in one group, including those with an unknown coordinate, if one bin is
    requested, no coordinate is known, or all coordinates are equal.

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
    return Bins(grouping.axis, tuple(_edges(grouping.method, grouping.bins, np.asarray(known, np.float64)).tolist()))


def _edges(method: BinMethod, bins: int, known: NDArray[np.float64]) -> NDArray[np.float64]:
    if method == "equal_width":
        return np.linspace(known.min(), known.max(), bins + 1)
    if method == "quantile":
        return np.unique(np.quantile(known, np.linspace(0, 1, bins + 1)))
    if method == "edges":
        raise ValueError("a grouping with the method 'edges' has edges")
    assert_never(method)


def _distinct_texts(edges: Sequence[float]) -> list[str]:
    """The edges as texts, with the fewest decimals that distinguish them."""
    for decimals in range(7):
        texts = [f"{edge:,.{decimals}f}" for edge in edges]
        if len(set(texts)) == len(texts):
            return texts
    return [repr(edge) for edge in edges]
