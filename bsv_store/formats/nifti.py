"""NIfTI-1 files with an affine that maps voxels to CCF coordinates.

World coordinates are in millimeters, right-anterior-superior as the format requires: ``R = ML``, ``A = -AP``,
``S = -DV``. The origin is the anterior-superior-left corner of the CCF box, and the signs only express the direction of
the axes. The layout is that of the official header (nifti1.h, R. W. Cox).
"""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bsv_store.volumes.grid import Grid

if TYPE_CHECKING:
    from bsv_store.formats.image import Image

_HEADER_BYTES = 348
# Four bytes after the header say whether extensions follow. Each begins with its size and its code.
_NO_EXTENSION, _HAS_EXTENSION = bytes(4), b"\1\0\0\0"
_EXTENSION_START = struct.Struct("<2i")
_EXTENSION_MULTIPLE = 16
_COMMENT = 6
_DATATYPES = {"uint8": (2, 8), "float32": (16, 32), "float64": (64, 64), "uint16": (512, 16)}
_MILLIMETER = 2
# "Aligned": the CCF is not a scanner space, and has no code of its own.
_ALIGNED = 2


def affine_of(grid: Grid) -> NDArray[np.float64]:
    """float64 array, shape (4, 4): voxel index (ap, dv, ml) to world coordinate (right, anterior, superior) in mm."""
    step = grid.spacing_um / 1000
    half = step / 2
    return np.array(
        [
            [0.0, 0.0, step, half],
            [-step, 0.0, 0.0, -half],
            [0.0, -step, 0.0, -half],
            [0.0, 0.0, 0.0, 1.0],
        ]
    )


def write_nifti(image: Image, path: Path, *, compress: bool) -> None:
    """Write an image to a ``.nii`` or ``.nii.gz`` file; the same image gives the same bytes.

    Several groups are the fourth dimension. Masks are stored as uint8. The header holds at most 79 bytes of the image's
    name; its facts are a comment after the header, one line each.
    """
    header = _header(image)
    with path.open("wb") as raw:
        if not compress:
            _write(raw, header, image)
            return
        with gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=1, mtime=0) as packed:
            _write(packed, header, image)


def _write(stream: Any, header: bytes, image: Image) -> None:
    stream.write(header)
    for block in image.ml_blocks():
        # The first axis is the fastest. In parts, so that the block is never copied as a whole.
        for first in range(0, block.shape[2], 16):
            part = block[..., first : first + 16]
            stream.write(part.astype(part.dtype.newbyteorder("<"), copy=False).tobytes(order="F"))


def _header(image: Image) -> bytes:
    grid, groups = image.grid, image.group_count
    step = grid.spacing_um / 1000
    datatype, bits = _DATATYPES[image.number_dtype]
    affine = affine_of(grid)
    dimensions = 4 if groups > 1 else 3
    extension = _extension(image)
    header = struct.pack(
        "<i35sB8h12s4h8f3fhBB4f2i80s24s2h6f12f16s4s",
        _HEADER_BYTES,
        b"",  # fields of the older Analyze format
        0,
        *(dimensions, *grid.shape, groups, 1, 1, 1),
        b"",  # intent: none
        *(0, datatype, bits, 0),
        *(1.0, step, step, step, 1.0, 0.0, 0.0, 0.0),
        *(float(_HEADER_BYTES + len(extension)), 1.0, 0.0),
        0,
        *(0, _MILLIMETER),
        *(0.0, 0.0, 0.0, 0.0),
        *(0, 0),
        image.name.encode("ascii", "replace")[:79],
        b"",
        *(_ALIGNED, _ALIGNED),
        # The rotation of the affine as a quaternion, and its offset.
        *(-0.5, 0.5, -0.5),
        *affine[:3, 3],
        *affine[:3].reshape(-1),
        image.content.encode("ascii")[:15],
        b"n+1\0",
    )
    assert len(header) == _HEADER_BYTES
    return header + extension


def _extension(image: Image) -> bytes:
    """What follows the header: the image's facts as a comment, in UTF-8."""
    if not image.facts:
        return _NO_EXTENSION
    text = "".join(f"{name}: {' '.join(value.split())}\n" for name, value in image.facts.items()).encode()
    size = _EXTENSION_START.size + len(text)
    padding = -size % _EXTENSION_MULTIPLE
    return _HAS_EXTENSION + _EXTENSION_START.pack(size + padding, _COMMENT) + text + bytes(padding)
