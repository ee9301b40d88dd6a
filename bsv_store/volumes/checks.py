"""Validation of voxel values."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bsv_store.errors import FormatError
from bsv_store.vocabulary import VOLUME_KINDS, VolumeKind
from bsv_store.volumes.grid import Grid
from bsv_store.volumes.volume import Volume

NO_DATA = -1.0
"""Value of voxels without data in older files of the Allen Institute."""

_ROUNDING = 1e-5


def checked_volume(array: NDArray[Any], kind: VolumeKind, *, what: str) -> Volume:
    """Validate raw voxels and replace their "no data" value by NaN.

    Parameters
    ----------
    array : ndarray, shape (ap, dv, ml)
        As stored in the file, any dtype.
    kind : VolumeKind
    what : str
        Name of the file or reply, for errors.

    Returns
    -------
    Volume
        float32, C order; NaN = no data. Fractions are in [0, 1]; values that exceed 1 by rounding are set to 1.

    Raises
    ------
    FormatError
        On NaN, infinity, negatives other than exactly -1, values above 1 or beyond float32.
    FrameError
        If no CCFv3 grid has that shape.
    """
    Grid.from_shape(array.shape, what=what)
    return Volume(kind, np.ascontiguousarray(checked_values(array, kind, what=what)))


def checked_values(array: NDArray[Any], kind: VolumeKind, *, what: str) -> NDArray[np.float32]:
    """Validate the raw voxels of a volume or of a part of it, with the rules of `checked_volume`.

    Returns
    -------
    ndarray of float32
        Same shape, any memory order; the array itself if nothing changed.

    Raises
    ------
    FormatError
        On NaN, infinity, negatives other than exactly -1, values above 1 or beyond float32.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        values: NDArray[np.float32] = array.astype(np.float32, copy=False)
    if not np.isfinite(values).all():
        bad = int((~np.isfinite(values)).sum())
        raise FormatError(f"{what}: {bad} voxels of the {kind} are NaN or infinite", hint=_HINT)
    no_data = None
    if np.signbit(values).any():
        # In the original dtype: rounding to float32 can turn an invalid value into -0 or -1.
        no_data = array == NO_DATA
        if (below := int(((array < 0) & ~no_data).sum())) > 0:
            raise FormatError(f"{what}: {below} voxels of the {kind} are negative (and not -1, no data)", hint=_HINT)
    if VOLUME_KINDS[kind].is_fraction:
        highest = float(values.max(initial=0.0))
        if highest > 1 + _ROUNDING:
            raise FormatError(f"{what}: the {kind} reaches {highest:g}, but is a fraction of a voxel", hint=_HINT)
        if highest > 1:
            values = np.minimum(values, np.float32(1))
    # Other signs are those of -0, which the sparse layout cannot represent.
    return values if no_data is None else np.where(no_data, np.float32(np.nan), values + np.float32(0))


_HINT = "The file is damaged, or its name is wrong. Download it again."
