"""NRRD files as the Allen Institute writes them: the same header fields, gzip, the AP axis fastest."""

from __future__ import annotations

import errno
import math
import os
import secrets
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bsv_store.errors import FrameError, InputError, NoSpaceError
from bsv_store.formats.fields import checked_text
from bsv_store.volumes.grid import Grid

_SLABS = 16
_LEVEL = 6
_GZIP_WBITS = 31
# Name in the header and type of the voxels.
_TYPES = {"float32": ("float", "<f4"), "float64": ("double", "<f8"), "uint8": ("unsigned char", "u1")}

_Array = NDArray[np.floating[Any]] | NDArray[np.uint8]


def write_nrrd(path: Path, array: _Array, grid: Grid, *, content: str, no_data: float = math.nan) -> None:
    """Write a volume or mask as an NRRD file that reads back equal; the same input gives the same bytes.

    Parameters
    ----------
    path : Path
        Where the file goes; it appears there whole or not at all. An existing file is replaced.
    array : ndarray of float32 or uint8, shape (ap, dv, ml)
        NaN = no data.
    grid : Grid
        The array's grid.
    content : str
        One line that says what the file shows, for its header.
    no_data : float
        What stands in the file for NaN. -1, the mark of Allen's own files, lets `read_nrrd` read it back.

    Raises
    ------
    FrameError
        If the array does not lie on the grid.
    FormatError
        If ``content`` is no single line of at most 255 plain characters.
    NoSpaceError
        If the disk is full.
    InputError
        If the file cannot be written.
    """
    if array.shape != grid.shape:
        raise FrameError(
            f"the array for {path} has the shape {array.shape}, not that of the {grid.spacing_um} um grid, {grid.shape}"
        )
    write_nrrd_blocks(path, [array], grid, dtype=array.dtype.name, content=content, no_data=no_data)


def write_nrrd_blocks(
    path: Path,
    blocks: Iterable[_Array],
    grid: Grid,
    *,
    content: str,
    dtype: str = "float32",
    no_data: float = math.nan,
    groups: int | None = None,
    labels: Sequence[str] = (),
    facts: Mapping[str, str] | None = None,
    level: int = _LEVEL,
) -> None:
    """Write the same file as :func:`write_nrrd` from blocks of ML planes, of which one at a time is in memory.

    Parameters
    ----------
    blocks : iterable of ndarray of float32, float64 or uint8, shape (ap, dv, some of ml)
        In ascending order, all of the grid together; group after group.
    dtype : {'float32', 'float64', 'uint8'}
        Of the blocks.
    groups : int, optional
        So many volumes make a fourth axis, a list; by default there is one volume and no such axis.
    labels : sequence of str
        Names of all axes, for the header; it need not have any.
    facts : mapping of str to str, optional
        More lines of the header, name and value.
    level : int
        How hard to compress, 1 to 9.
    path, grid, content, no_data
        As for :func:`write_nrrd`.

    Raises
    ------
    FormatError, NoSpaceError, InputError
        As :func:`write_nrrd` does.
    """
    checked_text(content, field="content", what=str(path))
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as stream:
            name, _ = _TYPES[dtype]
            stream.write(_header(grid, name, content=content, groups=groups, labels=labels, facts=facts or {}))
            for part in _parts(blocks, dtype=dtype, no_data=no_data, level=level):
                stream.write(part)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise NoSpaceError(f"no space to write {path}", hint="Free some space, or write elsewhere.") from error
        raise InputError(
            f"{path} cannot be written: {error.strerror or error}", hint="Choose another place."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def _parts(blocks: Iterable[_Array], *, dtype: str, no_data: float, level: int) -> Iterator[bytes]:
    stored = _TYPES[dtype][1]
    packer = zlib.compressobj(level, zlib.DEFLATED, _GZIP_WBITS)
    for block in blocks:
        for first in range(0, block.shape[2], _SLABS):
            part = block[:, :, first : first + _SLABS].astype(stored)
            if part.dtype.kind == "f" and not math.isnan(no_data):
                part[np.isnan(part)] = no_data
            yield packer.compress(part.tobytes(order="F"))
    yield packer.flush()


def _header(
    grid: Grid, type_name: str, *, content: str, groups: int | None, labels: Sequence[str], facts: Mapping[str, str]
) -> bytes:
    spacing = grid.spacing_um
    sizes = " ".join(map(str, grid.shape if groups is None else (*grid.shape, groups)))
    lines = (
        "NRRD0004",
        "# Complete NRRD file format specification at:",
        "# http://teem.sourceforge.net/nrrd/format.html",
        f"content: {content}",
        f"type: {type_name}",
        f"dimension: {3 if groups is None else 4}",
        # As in Allen's files, where it is misleading: the axes run posterior, inferior, right.
        "space: left-posterior-superior",
        f"sizes: {sizes}",
        f"space directions: ({spacing},0,0) (0,{spacing},0) (0,0,{spacing}){'' if groups is None else ' none'}",
        f"kinds: domain domain domain{'' if groups is None else ' list'}",
        *(["labels: " + " ".join(f'"{label}"' for label in labels)] if labels else []),
        "endian: little",
        "encoding: gzip",
        "space origin: (0,0,0)",
        *(f"{name}:={' '.join(value.split())}" for name, value in facts.items()),
        "",
        "",
    )
    return "\n".join(lines).encode("ascii", "backslashreplace")
