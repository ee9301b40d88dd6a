"""The voxel grids of the Allen CCFv3: shapes, coordinates, hemispheres.

Axes are always in the order AP (anterior to posterior), DV (superior to inferior), ML (left to right). The origin is
the anterior-superior-left corner (Wang et al. 2020, doi:10.1016/j.cell.2020.04.007).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

from bsv_store.check import VOXELS_HINT, as_float
from bsv_store.errors import FrameError, InputError
from bsv_store.text import shown
from bsv_store.vocabulary import SPACINGS_UM, Axis

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ARRAY_AXES: tuple[Axis, ...] = get_args(Axis)
"""Order of the axes of every volume."""

EXTENT_UM = (13_200, 8_000, 11_400)
MIDLINE_UM = 5_700
"""ML coordinates below it are in the left hemisphere, all others in the right."""
FRAME = "Allen CCFv3 (2017)"
# BrainGlobe's notation names the end at which each axis starts: anterior, superior, left.
ORIENTATION = "asl"
# Larger volumes are never held as a whole. As float32: 50 um takes 38 MB, 25 um 308 MB, 10 um 4.8 GB.
LARGE_VOXELS = 50_000_000
# The previous framework, CCFv2, was one 100 um voxel larger on each axis.
CCFV2_SHAPE_100UM = (133, 81, 115)


@dataclass(frozen=True, slots=True)
class Grid:
    """An isotropic voxel grid of the CCFv3 box.

    Parameters
    ----------
    spacing_um : int
        Edge of a voxel in um: 10, 25, 50 or 100.

    Raises
    ------
    InputError
        If no grid of that spacing exists.
    """

    spacing_um: int

    def __post_init__(self) -> None:
        # The object is frozen; this is the only place that sets a value.
        object.__setattr__(self, "spacing_um", checked_spacing(self.spacing_um))

    @classmethod
    def from_shape(cls, shape: tuple[int, ...], *, what: str = "the array") -> Grid:
        """The grid with the shape (ap, dv, ml).

        Raises
        ------
        FrameError
            If no CCFv3 grid has that shape; the message says if it is the CCFv2 grid.
        """
        for spacing in SPACINGS_UM:
            if cls(spacing).shape == tuple(shape):
                return cls(spacing)
        text = "x".join(map(str, shape))
        if tuple(shape) == CCFV2_SHAPE_100UM:
            raise FrameError(
                f"{what} has the CCFv2 grid {text}; this store holds CCFv3 grids only",
                hint="Download the volume again: the API now serves CCFv3.",
            )
        known = ", ".join("x".join(map(str, cls(s).shape)) for s in SPACINGS_UM)
        raise FrameError(f"{what} has the shape {text}, which is not a CCFv3 grid", hint=f"CCFv3 grids are {known}.")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of voxels along AP, DV and ML."""
        ap, dv, ml = (extent // self.spacing_um for extent in EXTENT_UM)
        return ap, dv, ml

    @property
    def size(self) -> int:
        """Number of voxels."""
        return math.prod(self.shape)

    @property
    def is_large(self) -> bool:
        """Whether volumes on this grid are written and read in slabs of AP planes: 25 and 10 um."""
        return self.size >= LARGE_VOXELS

    @property
    def midline(self) -> int:
        """First ML index of the right hemisphere; left is ``array[..., :midline]``."""
        return self.shape[2] // 2

    def voxel(self, ap_um: float, dv_um: float, ml_um: float) -> tuple[int, int, int]:
        """The index (ap, dv, ml) of the voxel that contains a point in um.

        Raises
        ------
        InputError
            If the point is not a finite point of the CCFv3 box.
        """
        point = (ap_um, dv_um, ml_um)
        if not all(
            math.isfinite(value) and 0 <= value < extent for value, extent in zip(point, EXTENT_UM, strict=True)
        ):
            extent = " x ".join(f"{each / 1000:g}" for each in EXTENT_UM)
            raise InputError(
                f"the point {point} um is outside the CCFv3 box {EXTENT_UM} um",
                hint=f"Use AP, DV, ML in um; the box is {extent} mm. {VOXELS_HINT}",
            )
        ap, dv, ml = (int(value // self.spacing_um) for value in point)
        return ap, dv, ml

    def centers_um(self, axis: Axis) -> NDArray[np.float64]:
        """The voxel centers along an axis, um, float64."""
        import numpy as np

        count = self.shape[ARRAY_AXES.index(axis)]
        return (np.arange(count, dtype=np.float64) + 0.5) * self.spacing_um


def checked_spacing(spacing_um: object) -> int:
    """The spacing as a Python int, so that it has the same text in commands and keys, whatever its type was.

    Parameters
    ----------
    spacing_um : object
        A number of Python or NumPy.

    Raises
    ------
    InputError
        If no grid of that spacing exists.
    """
    number = as_float(spacing_um)
    found = next((each for each in SPACINGS_UM if number == each), None)
    if found is None:
        raise InputError(f"spacing_um must be one of {', '.join(map(str, SPACINGS_UM))}, got {shown(spacing_um)}")
    return found


def mirror(volume: NDArray[np.generic]) -> NDArray[np.generic]:
    """The volume mirrored at the midline: a view with the ML axis, the last, reversed."""
    return volume[..., ::-1]


def to_brainglobe(array: NDArray[Any]) -> NDArray[Any]:
    """Convert an array to the orientation of BrainGlobe's Allen atlases, "asr"; that of bsv-store is "asl".

    The ML axis is reversed, so that it runs from right to left. The same index then refers to the same position in the
    returned array and in ``atlas.annotation`` of BrainGlobe.

    Parameters
    ----------
    array : ndarray, shape (..., ap, dv, ml)
        A volume, mask, annotation or the mean of a dataset version.

    Returns
    -------
    ndarray, shape (..., ap, dv, ml from right to left)
        A view of the array.

    Raises
    ------
    FrameError
        If the last three axes are not those of a CCFv3 grid.

    Examples
    --------
    >>> import numpy as np
    >>> volume = np.zeros((132, 80, 114))
    >>> volume[84, 12, 90] = 1
    >>> float(to_brainglobe(volume)[84, 12, 113 - 90])
    1.0
    """
    Grid.from_shape(array.shape[-3:])
    return mirror(array)
