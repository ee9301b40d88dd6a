"""Volumes, annotations and templates in Allen's file formats: NRRD, and the zip with MetaImages.

In the files the first axis varies fastest, in memory slowest. The same voxels give the same bytes.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from bsv_store.server.allen.messages import FileContent
from bsv_store.volumes.checks import NO_DATA
from bsv_store.volumes.grid import Grid

ZipMember = Literal["density", "energy", "intensity"]
ZIP_MEMBERS: tuple[ZipMember, ...] = get_args(ZipMember)
"""The grids that the API has as MetaImages."""
ZIP_SPACING_UM = 100

FileDtype = Literal["f4", "f8", "u2", "u4"]

# Fast rather than small; most voxels are zeros, which compress well at any level.
_LEVEL = 1
_EPOCH = (2022, 1, 1, 0, 0, 0)
_NRRD_TYPES: Mapping[FileDtype, str] = {
    "f4": "float",
    "f8": "double",
    "u2": "unsigned short",
    "u4": "unsigned int",
}
_PLANES = 16
_PIECE_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Voxels:
    """The voxels of a volume, annotation or template, read when a file is written.

    Attributes
    ----------
    identity : str
        Determines the voxels: a hash, or the parameters from which they are computed.
    spacing_um : int
        10, 25, 50 or 100.
    blocks : callable
        Returns consecutive blocks of ML planes, shape (ap, dv, planes); NaN = no data.
    dtype : FileDtype, optional
        Of the numbers in the file, if the voxels determine it.
    """

    identity: str
    spacing_um: int
    blocks: Callable[[], Iterator[NDArray[Any]]]
    dtype: FileDtype | None = None


def volume_dtype(spacing_um: int) -> FileDtype:
    """The type of the numbers in Allen's NRRD files of volumes: double at 25 um, float at other spacings."""
    return "f8" if spacing_um == 25 else "f4"


def nrrd_file(voxels: Voxels, *, dtype: FileDtype) -> FileContent:
    """An NRRD file with a gzip body, little-endian. No data is -1, as in older files of the Allen Institute."""

    def pieces() -> Iterator[bytes]:
        return _joined(_nrrd(voxels, dtype))

    identity = f"nrrd {dtype} {voxels.spacing_um} {voxels.identity}"
    return FileContent(identity, pieces, is_large=Grid(voxels.spacing_um).is_large)


def zip_file(members: Mapping[ZipMember, Voxels]) -> FileContent:
    """A zip with <member>.mhd and <member>.raw for each member: 100 um, little-endian float32, first axis fastest."""

    def pieces() -> Iterator[bytes]:
        yield _zip(members)

    return FileContent("zip " + " ".join(f"{name} {each.identity}" for name, each in members.items()), pieces)


def _nrrd(voxels: Voxels, dtype: FileDtype) -> Iterator[bytes]:
    spacing_um = voxels.spacing_um
    yield (
        "NRRD0004\n"
        "# Complete NRRD file format specification at:\n"
        "# http://teem.sourceforge.net/nrrd/format.html\n"
        f"type: {_NRRD_TYPES[dtype]}\n"
        "dimension: 3\n"
        "space: left-posterior-superior\n"
        f"sizes: {' '.join(map(str, Grid(spacing_um).shape))}\n"
        f"space directions: ({spacing_um},0,0) (0,{spacing_um},0) (0,0,{spacing_um})\n"
        "kinds: domain domain domain\n"
        "endian: little\n"
        "encoding: gzip\n"
        "space origin: (0,0,0)\n\n"
    ).encode("ascii")
    # wbits=31 selects gzip, with a time stamp of 0.
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, 31)
    for block in voxels.blocks():
        for first in range(0, block.shape[2], _PLANES):
            part = _first_axis_fastest(block[:, :, first : first + _PLANES], dtype)
            yield packer.compress(part)
    yield packer.flush()


def _zip(members: Mapping[ZipMember, Voxels]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL) as archive:
        for member, voxels in members.items():
            raw = b"".join(_first_axis_fastest(block, "f4") for block in voxels.blocks())
            for name, data in ((f"{member}.mhd", _mhd(member)), (f"{member}.raw", raw)):
                info = zipfile.ZipInfo(name, _EPOCH)
                info.compress_type = zipfile.ZIP_DEFLATED
                info.external_attr = 0o644 << 16
                archive.writestr(info, data)
    return buffer.getvalue()


def _first_axis_fastest(block: NDArray[Any], dtype: FileDtype) -> bytes:
    """The bytes of consecutive ML planes, AP fastest, with -1 for NaN."""
    turned = np.ascontiguousarray(block.T, f"<{dtype}")
    if turned.dtype.kind == "f" and (missing := np.isnan(turned)).any():
        turned = np.where(missing, turned.dtype.type(NO_DATA), turned)
    return turned.tobytes()


def _joined(parts: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes in larger pieces: the compressor mostly returns few bytes or none."""
    pending, size = [], 0
    for part in parts:
        pending.append(part)
        size += len(part)
        if size >= _PIECE_BYTES:
            yield b"".join(pending)
            pending, size = [], 0
    if size:
        yield b"".join(pending)


def _mhd(member: ZipMember) -> bytes:
    return (
        "ObjectType = Image\n"
        "NDims = 3\n"
        "BinaryData = True\n"
        "BinaryDataByteOrderMSB = False\n"
        "CompressedData = False\n"
        "TransformMatrix = 1 0 0 0 1 0 0 0 1\n"
        "Offset = 0 0 0\n"
        "CenterOfRotation = 0 0 0\n"
        f"ElementSpacing = {' '.join([str(ZIP_SPACING_UM)] * 3)}\n"
        f"DimSize = {' '.join(map(str, Grid(ZIP_SPACING_UM).shape))}\n"
        "ElementType = MET_FLOAT\n"
        f"ElementDataFile = {member}.raw\n"
    ).encode("ascii")
