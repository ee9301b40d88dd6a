"""The values of planes, and their smoothing."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bsv_store.check import finite_number
from bsv_store.errors import InputError
from bsv_store.figures.brain import upright
from bsv_store.volumes.grid import ARRAY_AXES, Grid

if TYPE_CHECKING:
    from bsv_store.figures.sources import SourceRow
    from bsv_store.vocabulary import PlaneRow


def read_plane(row: SourceRow, grid: Grid, plane: PlaneRow, index: int, *, smooth_um: float) -> NDArray[Any]:
    """The values of a plane, shape (down, right), smoothed if asked; NaN = no data, including rows without members."""
    axis = ARRAY_AXES.index(plane.across)
    reach = math.ceil(3 * smooth_um / grid.spacing_um)
    first, last = max(0, index - reach), min(grid.shape[axis], index + reach + 1)
    block = np.moveaxis(row.read(axis, first, last), axis, 0)
    if row.is_empty:
        values = np.full(block.shape[1:], np.nan)
    elif smooth_um == 0:
        values = np.asarray(block[0], np.float64)
    else:
        values = _smoothed(block, index - first, smooth_um / grid.spacing_um)
    return upright(values, plane)


def checked_smoothing(smooth_um: Any) -> float:
    """The standard deviation of the Gaussian.

    Raises
    ------
    InputError
        If it is not a number from 0 to 2000.
    """
    number = finite_number("smooth_um", smooth_um)
    if not 0 <= number <= 2000:
        raise InputError(f"smooth_um must be from 0 to 2000, got {number:g}")
    return number


def _smoothed(block: NDArray[Any], at: int, sigma: float) -> NDArray[np.float64]:
    """The plane ``at`` of a block after a Gaussian filter along all three axes; voxels without data do not count."""
    known = np.isfinite(block)
    weights = _gaussian(np.arange(len(block)) - at, sigma)
    value = np.tensordot(weights, np.where(known, block, 0), 1)
    weight = np.tensordot(weights, known.astype(np.float64), 1)
    reach = math.ceil(3 * sigma)
    kernel = _gaussian(np.arange(-reach, reach + 1), sigma)
    for axis in (0, 1):
        value, weight = (convolved(each, kernel, axis) for each in (value, weight))
    with np.errstate(invalid="ignore", divide="ignore"):
        result: NDArray[np.float64] = value / weight
    return np.where(known[at], result, np.nan)


def _gaussian(offsets: NDArray[Any], sigma: float) -> NDArray[np.float64]:
    weights = np.exp(-0.5 * (offsets / sigma) ** 2)
    return np.asarray(weights / weights.sum(), np.float64)


def convolved(values: NDArray[np.float64], kernel: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """An image of shape (down, right), convolved along one axis; values beyond the edge are those at the edge."""
    reach = kernel.size // 2
    padding = [(reach, reach) if number == axis else (0, 0) for number in range(2)]
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(values, padding, mode="edge"), kernel.size, axis=axis)
    return np.asarray(windows @ kernel)
