"""NIfTI-1 files of group averages and masks, with an affine that says where the voxels lie.

World coordinates are millimeters, right-anterior-superior as the format asks for. Their amounts are CCF coordinates:
``R = ML``, ``A = -AP``, ``S = -DV``, so the origin is the anterior-superior-left corner of the CCF box, and the sign of
an axis only says in which direction it runs. The layout is that of the official header (nifti1.h, R. W. Cox).
"""

from __future__ import annotations

import gzip
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bsv_store.volumes.grid import Grid

_HEADER_BYTES = 348
# The header, and four bytes that say that no extension follows.
_DATA_OFFSET = 352
_DATATYPES = {"uint8": (2, 8), "float32": (16, 32), "float64": (64, 64)}
_MILLIMETER = 2
# "Aligned to something": the CCF is no scanner's space and none of the templates that have a code.
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


def write_nifti(
    path: Path,
    blocks: Iterable[NDArray[Any]],
    grid: Grid,
    *,
    dtype: str,
    groups: int = 1,
    description: str,
    name: str = "mean",
    compress: bool,
) -> None:
    """Write volumes to a ``.nii`` or ``.nii.gz`` file; the same input gives the same bytes.

    Parameters
    ----------
    path : pathlib.Path
    blocks : iterable of ndarray, shape (ap, dv, some of ml)
        In ascending order, all of the grid together; group after group. One at a time is in memory.
    grid : Grid
    dtype : {'float32', 'float64', 'uint8'}
        Of the blocks.
    groups : int
        One makes a 3-D image, several a 4-D one.
    description : str
        At most 79 bytes of it go into the header.
    name : str
        What the numbers are, in at most 15 bytes.
    compress : bool
    """
    header = _header(groups, dtype, grid, description, name)
    with path.open("wb") as raw:
        if not compress:
            _write(raw, header, blocks)
            return
        with gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=1, mtime=0) as packed:
            _write(packed, header, blocks)


def _write(stream: Any, header: bytes, blocks: Iterable[NDArray[Any]]) -> None:
    stream.write(header)
    for block in blocks:
        # The first axis is the fastest; slab by slab of the slowest one, so that nothing is copied as a whole.
        for first in range(0, block.shape[2], 16):
            part = block[..., first : first + 16]
            stream.write(part.astype(part.dtype.newbyteorder("<"), copy=False).tobytes(order="F"))


def _header(groups: int, dtype: str, grid: Grid, description: str, name: str) -> bytes:
    step = grid.spacing_um / 1000
    datatype, bits = _DATATYPES[dtype]
    affine = affine_of(grid)
    dimensions = 4 if groups > 1 else 3
    header = struct.pack(
        "<i35sB8h12s4h8f3fhBB4f2i80s24s2h6f12f16s4s",
        _HEADER_BYTES,
        b"",  # fields of the older Analyze format
        0,
        *(dimensions, *grid.shape, groups, 1, 1, 1),
        b"",  # intent: none
        *(0, datatype, bits, 0),
        *(1.0, step, step, step, 1.0, 0.0, 0.0, 0.0),
        *(float(_DATA_OFFSET), 1.0, 0.0),
        0,
        *(0, _MILLIMETER),
        *(0.0, 0.0, 0.0, 0.0),
        *(0, 0),
        description.encode("ascii", "replace")[:79],
        b"",
        *(_ALIGNED, _ALIGNED),
        # The rotation of the affine as a quaternion, and its offset.
        *(-0.5, 0.5, -0.5),
        *affine[:3, 3],
        *affine[:3].reshape(-1),
        name.encode("ascii")[:15],
        b"n+1\0",
    )
    assert len(header) == _HEADER_BYTES
    return header + bytes(_DATA_OFFSET - _HEADER_BYTES)
