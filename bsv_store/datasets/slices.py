"""Boxes and masks as slices of a voxel grid."""

from __future__ import annotations

import reprlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bsv_store.errors import FrameError, InputError
from bsv_store.volumes.grid import ARRAY_AXES, Grid

Box = Sequence[Sequence[float]]
"""Minimum and maximum AP, DV and ML in um, both inclusive."""

_BOX_HINT = "Minimum and maximum AP, DV and ML in um, for example ((7000, 8000), (0, 8000), (5700, 11400))."


def box_slices(grid: Grid, box: Box) -> tuple[slice, slice, slice]:
    """The voxels whose centers are in a box, as slices of the three axes.

    Parameters
    ----------
    grid : Grid
    box : ((float, float), (float, float), (float, float))
        Minimum and maximum AP, DV and ML in um, both inclusive.

    Raises
    ------
    InputError
        If the box is not valid, or contains no voxel center.
    """
    try:
        limits = [(float(low), float(high)) for low, high in box]
    except (TypeError, ValueError) as error:
        raise InputError(f"box must be three pairs of numbers, got {reprlib.repr(box)}", hint=_BOX_HINT) from error
    if len(limits) != len(ARRAY_AXES):
        raise InputError(f"box must be three pairs of numbers, got {reprlib.repr(box)}", hint=_BOX_HINT)
    slices = []
    for axis, (low, high) in zip(ARRAY_AXES, limits, strict=True):
        inside = np.flatnonzero((grid.centers_um(axis) >= low) & (grid.centers_um(axis) <= high))
        if inside.size == 0:
            raise InputError(f"no voxel center is between {axis} {low:g} and {high:g} um", hint=_BOX_HINT)
        slices.append(slice(int(inside[0]), int(inside[-1]) + 1))
    return slices[0], slices[1], slices[2]


def mask_slices(grid: Grid, mask: NDArray[np.bool_]) -> tuple[slice, slice, slice]:
    """The bounding box of the voxels of a mask, as slices of the three axes.

    Raises
    ------
    FrameError
        If the mask is not on the grid.
    InputError
        If the mask is not a boolean array, or has no voxel.
    """
    if not isinstance(mask, np.ndarray):
        raise InputError(
            f"mask must be an array, got {reprlib.repr(mask)}",
            hint="For example: store.atlas.mask('CP'), at the spacing of the version.",
        )
    if mask.dtype != np.bool_:
        raise InputError(f"mask must be boolean, got {mask.dtype}", hint="For example: np.isin(annotation, ids).")
    if mask.shape != grid.shape:
        raise FrameError(
            f"the mask has the shape {mask.shape}, the result has {grid.shape}", hint="Use a mask of the same spacing."
        )
    slices = []
    for axis in range(mask.ndim):
        inside = np.flatnonzero(mask.any(axis=tuple(other for other in range(mask.ndim) if other != axis)))
        if inside.size == 0:
            raise InputError("the mask has no voxel")
        slices.append(slice(int(inside[0]), int(inside[-1]) + 1))
    return slices[0], slices[1], slices[2]
