"""The synthetic volumes in Allen's file formats: the zip with a MetaImage, and NRRD.

In the files the first axis varies fastest, in memory slowest.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from bsv_store.vocabulary import VolumeKind
from bsv_store.volumes.grid import Grid
from bsv_store_synthetic import anatomy
from bsv_store_synthetic.anatomy import GRID
from bsv_store_synthetic.atlas import SyntheticAtlas

ZipMember = Literal["density", "energy", "intensity"]
ZIP_MEMBERS: tuple[ZipMember, ...] = get_args(ZipMember)
NRRD_SPACINGS_UM = (25, 50, 100)
ANNOTATION_SPACINGS_UM = (10, 25, 50, 100)

# Fast rather than small; most voxels are zeros, which compress well at any level.
_LEVEL = 1
_EPOCH = (2022, 1, 1, 0, 0, 0)
_NRRD_TYPES = {"f4": "float", "f8": "double", "u4": "unsigned int"}


def grid_zip(atlas: SyntheticAtlas, experiment_id: int, members: tuple[ZipMember, ...] = ("density",)) -> bytes:
    """A zip with <member>.mhd and <member>.raw for each member: 100 um, little-endian float32, first axis fastest.

    Raises
    ------
    KeyError
        If the experiment is unknown.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL) as archive:
        for member in members:
            array = _member(atlas, experiment_id, member)
            for name, data in ((f"{member}.mhd", _mhd(member)), (f"{member}.raw", first_axis_fastest(array))):
                info = zipfile.ZipInfo(name, _EPOCH)
                info.compress_type = zipfile.ZIP_DEFLATED
                info.external_attr = 0o644 << 16
                archive.writestr(info, data)
    return buffer.getvalue()


def grid_nrrd(atlas: SyntheticAtlas, experiment_id: int, kind: VolumeKind, spacing_um: int) -> bytes:
    """An NRRD file of one volume: float at 100 and 50 um, double at 25 um, like Allen's.

    Raises
    ------
    KeyError
        If the experiment or spacing is unknown.
    """
    if spacing_um not in NRRD_SPACINGS_UM:
        raise KeyError(spacing_um)
    array = atlas.volume(experiment_id, kind)
    return nrrd(array, spacing_um, dtype="f8" if spacing_um == 25 else "f4")


def annotation_nrrd(spacing_um: int) -> bytes:
    """An NRRD file of the annotation, unsigned int; at 10 um with the voxels of 50 um, repeated.

    Raises
    ------
    KeyError
        If the spacing is unknown.
    """
    if spacing_um not in ANNOTATION_SPACINGS_UM:
        raise KeyError(spacing_um)
    sampled = 50 if spacing_um == 10 else spacing_um
    return _nrrd(anatomy.planes(sampled), spacing_um, dtype="u4", repeat=sampled // spacing_um)


def nrrd(array: NDArray[np.generic], spacing_um: int, *, dtype: Literal["f4", "f8", "u4"]) -> bytes:
    """An NRRD file with a gzip body of a 100 um array, whose voxels are repeated for finer spacings.

    Parameters
    ----------
    array : ndarray, shape (132, 80, 114), axes [ap, dv, ml]
    spacing_um : int
        10, 25, 50 or 100.
    dtype : str
        Data type in the file, little-endian.
    """
    planes = iter(np.moveaxis(array, 2, 0))
    return _nrrd(planes, spacing_um, dtype=dtype, repeat=GRID.spacing_um // spacing_um)


def _nrrd(
    planes: Iterator[NDArray[np.generic]], spacing_um: int, *, dtype: Literal["f4", "f8", "u4"], repeat: int
) -> bytes:
    grid = Grid(spacing_um)
    header = (
        "NRRD0004\n"
        "# Complete NRRD file format specification at:\n"
        "# http://teem.sourceforge.net/nrrd/format.html\n"
        f"type: {_NRRD_TYPES[dtype]}\n"
        "dimension: 3\n"
        "space: left-posterior-superior\n"
        f"sizes: {' '.join(map(str, grid.shape))}\n"
        f"space directions: ({spacing_um},0,0) (0,{spacing_um},0) (0,0,{spacing_um})\n"
        "kinds: domain domain domain\n"
        "endian: little\n"
        "encoding: gzip\n"
        "space origin: (0,0,0)\n\n"
    )
    # Plane by plane: at 25 um the whole body takes 0.6 GB. wbits=31 selects gzip, with a time stamp of 0.
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, 31)
    parts = [header.encode("ascii")]
    for plane in planes:
        data = np.repeat(np.repeat(plane.T.astype(f"<{dtype}"), repeat, 0), repeat, 1).tobytes()
        parts.extend(packer.compress(data) for _ in range(repeat))
    return b"".join((*parts, packer.flush()))


def first_axis_fastest(array: NDArray[np.float32]) -> bytes:
    """The bytes of a [ap, dv, ml] array as little-endian float32, AP fastest."""
    return np.ascontiguousarray(array.astype("<f4", copy=False).T).tobytes()


def _member(atlas: SyntheticAtlas, experiment_id: int, member: ZipMember) -> NDArray[np.float32]:
    if member == "density":
        return atlas.volume(experiment_id, "projection_density")
    energy = atlas.volume(experiment_id, "projection_energy")
    if member == "energy":
        return energy
    density = atlas.volume(experiment_id, "projection_density")
    return np.divide(energy, density, out=np.zeros_like(energy), where=density > 0)


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
        f"ElementSpacing = {' '.join([str(GRID.spacing_um)] * 3)}\n"
        f"DimSize = {' '.join(map(str, GRID.shape))}\n"
        "ElementType = MET_FLOAT\n"
        f"ElementDataFile = {member}.raw\n"
    ).encode("ascii")
