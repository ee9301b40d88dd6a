"""What a volume's numbers must be before the store takes them in."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bsv_store.errors import FormatError
from bsv_store.vocabulary import VOLUME_KINDS, VolumeKind
from bsv_store.volumes.grid import Grid
from bsv_store.volumes.volume import Volume

NO_DATA = -1.0
"""Older grids mark voxels without data with exactly this value."""

_ROUNDING = 1e-5


def checked_volume(array: NDArray[Any], kind: VolumeKind, *, what: str) -> Volume:
    """The volume made of raw voxels, its "no data" marks turned into NaN.

    Parameters
    ----------
    array : ndarray, shape (ap, dv, ml)
        As the file had it, any dtype.
    kind : VolumeKind
    what : str
        Names the file or reply in errors.

    Returns
    -------
    Volume
        float32, C order; values in [0, 1] but for the energies, NaN = no data. Values above 1 by no more than rounding
        become 1.

    Raises
    ------
    FormatError
        On NaN, infinity, negatives other than exactly -1, values above 1 or beyond float32.
    FrameError
        If the shape is no CCFv3 grid.
    """
    Grid.from_shape(array.shape, what=what)
    return Volume(kind, np.ascontiguousarray(checked_values(array, kind, what=what)))


def checked_values(array: NDArray[Any], kind: VolumeKind, *, what: str) -> NDArray[np.float32]:
    """Raw voxels, of a whole volume or of a part of it, under the same rules as :func:`checked_volume`.

    Returns
    -------
    ndarray of float32
        Of the same shape, in any memory order; the array itself where nothing had to change.

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
        # In the source's own type: rounding to float32 can turn a faulty value into -0 or -1.
        no_data = array == NO_DATA
        if (below := int(((array < 0) & ~no_data).sum())) > 0:
            raise FormatError(f"{what}: {below} voxels of the {kind} are negative (and not -1, no data)", hint=_HINT)
    if VOLUME_KINDS[kind].is_fraction:
        highest = float(values.max(initial=0.0))
        if highest > 1 + _ROUNDING:
            raise FormatError(f"{what}: the {kind} reaches {highest:g}, but it is a fraction of a voxel", hint=_HINT)
        if highest > 1:
            values = np.minimum(values, np.float32(1))
    # Where there are signs left, they are those of -0, which the sparse layout does not know from 0.
    return values if no_data is None else np.where(no_data, np.float32(np.nan), values + np.float32(0))


_HINT = "The file is damaged or not what its name says; download it again."
