"""NIfTI-1 label images, read into the axes of the CCF.

Only what label images need: integers, with an affine that is parallel to the axes of the CCF. The world coordinates
are those of `bsv_store.formats.nifti`: ``R = ML``, ``A = -AP``, ``S = -DV``, in millimeters.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from bsv_store.errors import FormatError, FrameError
from bsv_store.formats.fields import DAMAGED_HINT
from bsv_store.formats.input_file import open_unpacked, read_stream
from bsv_store.text import shown

if TYPE_CHECKING:
    from pathlib import Path

    from bsv_store.volumes.grid import Grid

_HEADER_BYTES = 348
_TYPES: Final = {2: "u1", 4: "i2", 8: "i4", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"}
# Codes of xyzt_units, in mm; without a unit, mm is what all programs assume.
_UNITS_MM: Final = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}
# World axes R, A, S: the axis of the CCF and its direction.
_WORLD = ((2, 1.0), (0, -1.0), (1, -1.0))
_TOLERANCE = 0.01
_NOT_PARALLEL = "Resample it to the grid of the volumes, or export one from here: bsv-store structures labels."


@dataclass(frozen=True, slots=True)
class _Header:
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int
    affine: NDArray[np.float64]


def read_nifti_labels(path: Path, grid: Grid, *, what: str) -> NDArray[Any]:
    """The labels in a ``.nii`` or ``.nii.gz`` file on a grid, integers, shape (ap, dv, ml).

    Parameters
    ----------
    path : pathlib.Path
    grid : Grid
        On which the image must lie; the order and direction of its axes may differ.
    what : str
        Name of the file, for errors.

    Raises
    ------
    InputError
        If the file cannot be read.
    FormatError
        If it is not a valid NIfTI-1 file of integers.
    FrameError
        If it lies on another grid.
    """
    limit = grid.size * 8 + (1 << 20)
    with open_unpacked(path, what=what) as stream:
        body = read_stream(stream, what=what, max_bytes=limit)
    header = _header(body, what)
    order, flips, origin_um = _axes(header.affine, grid, what)
    shape = tuple(header.shape[each] for each in order)
    if shape != grid.shape:
        raise FrameError(
            f"{what} has the shape {shape}, the volumes have {grid.shape}",
            hint="Axes are AP, DV, ML. Use a label image of the same spacing.",
        )
    expected = [
        (count - 1 if is_flipped else 0) * grid.spacing_um + grid.spacing_um / 2
        for count, is_flipped in zip(shape, flips, strict=True)
    ]
    if not np.allclose(origin_um, expected, rtol=0, atol=_TOLERANCE * grid.spacing_um):
        found = ", ".join(f"{each:,.6g}" for each in origin_um)
        raise FrameError(
            f"the first voxel of {what} is at {found} um (AP, DV, ML), not at "
            f"{', '.join(f'{each:,.6g}' for each in expected)} um",
            hint="It is in another space than the volumes.",
        )
    count = math.prod(header.shape)
    size_bytes = count * header.dtype.itemsize
    if len(body) - header.offset < size_bytes:
        raise FormatError(f"{what} ends in the middle of its voxels: it is truncated", hint=DAMAGED_HINT)
    values = np.frombuffer(body, header.dtype, count, header.offset).reshape(header.shape, order="F")
    directions = tuple(slice(None, None, -1 if is_flipped else 1) for is_flipped in flips)
    return np.ascontiguousarray(values.transpose(order)[directions])


def _header(body: bytes, what: str) -> _Header:
    if len(body) < _HEADER_BYTES + 4 or body[344:348] != b"n+1\0":
        raise FormatError(f"{what} is not a NIfTI-1 file with header and voxels in one file", hint=DAMAGED_HINT)
    order = next((each for each in "<>" if struct.unpack_from(f"{each}i", body)[0] == _HEADER_BYTES), None)
    if order is None:
        raise FormatError(f"the header of {what} is not {_HEADER_BYTES} bytes long", hint=DAMAGED_HINT)
    dimensions = struct.unpack_from(f"{order}8h", body, 40)
    count, lengths = dimensions[0], dimensions[1:]
    if not 3 <= count <= 7 or min(lengths[:count]) < 1 or any(each != 1 for each in lengths[3:count]):
        raise FormatError(f"{what} must have three dimensions, got {shown(list(lengths[: max(0, min(count, 7))]))}")
    (datatype,) = struct.unpack_from(f"{order}h", body, 70)
    if datatype not in _TYPES:
        raise FormatError(f"the labels of {what} must be integers, got the NIfTI data type {datatype}")
    offset, slope, intercept = struct.unpack_from(f"{order}3f", body, 108)
    if not (math.isfinite(offset) and offset.is_integer() and _HEADER_BYTES + 4 <= offset <= len(body)):
        raise FormatError(f"the voxels of {what} begin at byte {offset:g}, which is not in the file", hint=DAMAGED_HINT)
    # 0 and values that are not finite mean that there is no scaling.
    if math.isfinite(slope) and (slope not in (0.0, 1.0) or (slope == 1.0 and intercept != 0.0)):
        raise FormatError(f"the labels of {what} are scaled by {slope:g} and {intercept:g}", hint="Save them unscaled.")
    return _Header(tuple(lengths[:3]), np.dtype(f"{order}{_TYPES[datatype]}"), int(offset), _affine(body, order, what))


def _affine(body: bytes, order: str, what: str) -> NDArray[np.float64]:
    """Voxel index to world coordinate in mm, shape (3, 4)."""
    to_mm = _UNITS_MM.get(body[123] & 7, math.nan)
    qform, sform = struct.unpack_from(f"{order}2h", body, 252)
    if sform > 0:
        rows = np.array(struct.unpack_from(f"{order}12f", body, 280), np.float64).reshape(3, 4)
    elif qform > 0:
        rows = _from_quaternion(body, order)
    else:
        raise FormatError(f"{what} has no position in space (sform and qform are 0)", hint=_NOT_PARALLEL)
    if not np.isfinite(rows * to_mm).all():
        raise FormatError(f"the position of {what} is not valid", hint=DAMAGED_HINT)
    return rows * to_mm


def _from_quaternion(body: bytes, order: str) -> NDArray[np.float64]:
    b, c, d, *offset = struct.unpack_from(f"{order}6f", body, 256)
    factor, *steps = struct.unpack_from(f"{order}4f", body, 76)
    a = math.sqrt(max(0.0, 1.0 - b * b - c * c - d * d))
    rotation = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )
    handed = np.array([steps[0], steps[1], steps[2] * (-1.0 if factor < 0 else 1.0)])
    return np.column_stack([rotation * handed, np.array(offset)])


def _axes(
    affine: NDArray[np.float64], grid: Grid, what: str
) -> tuple[tuple[int, int, int], tuple[bool, ...], NDArray[np.float64]]:
    """The axis of the file for AP, DV and ML, whether it is reversed, and the position of its first voxel in um."""
    step = grid.spacing_um / 1000
    file_axis, flips = [-1, -1, -1], [False, False, False]
    for axis in range(3):
        column = affine[:, axis]
        world = int(np.argmax(np.abs(column)))
        rest = np.delete(column, world)
        is_parallel = np.allclose(rest, 0, rtol=0, atol=_TOLERANCE * step)
        if not is_parallel or not math.isclose(abs(column[world]), step, rel_tol=_TOLERANCE):
            raise FrameError(
                f"the voxels of {what} are not parallel to those of the volumes with a spacing of {grid.spacing_um} um",
                hint=_NOT_PARALLEL,
            )
        ccf, direction = _WORLD[world]
        if file_axis[ccf] != -1:
            raise FormatError(f"the position of {what} is not valid", hint=DAMAGED_HINT)
        file_axis[ccf] = axis
        flips[ccf] = column[world] * direction < 0
    origin = np.zeros(3)
    for world, (ccf, direction) in enumerate(_WORLD):
        origin[ccf] = affine[world, 3] * direction * 1000
    return (file_axis[0], file_axis[1], file_axis[2]), tuple(flips), origin
