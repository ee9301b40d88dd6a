"""Projection density at 100 um from the grid download, a zip of density.mhd and density.raw; and density.raw alone.

Nothing is extracted to disk, and no more is decompressed than the size of a CCFv3 grid.
"""

from __future__ import annotations

import io
import stat
import zipfile
from pathlib import Path

import numpy as np

from bsv_store.errors import FormatError, FrameError
from bsv_store.formats.fields import DAMAGED_HINT, looks_like_html, quoted
from bsv_store.formats.input_file import decompressed, open_input, read_input_file
from bsv_store.formats.metaimage import MAX_HEADER_BYTES, MetaImageHeader, read_metaimage_header
from bsv_store.formats.zip_archive import METHODS, ZIP_ERRORS, opened_archive, read_member
from bsv_store.volumes.checks import checked_volume
from bsv_store.volumes.grid import CCFV2_SHAPE_100UM, Grid
from bsv_store.volumes.volume import Volume

GRID = Grid(100)
RAW_BYTES = GRID.size * 4
CCFV2_RAW_BYTES = int(np.prod(CCFV2_SHAPE_100UM)) * 4

_HEADER, _RAW = "density.mhd", "density.raw"
# In um, in mm, or the format's default.
_SPACINGS = (100.0, 0.1, 1.0)
_MAX_MEMBERS = 32


def read_density_zip(body: bytes, *, what: str) -> Volume:
    """The projection density volume of a grid download.

    Parameters
    ----------
    body : bytes
        A zip with the members density.mhd and density.raw.
    what : str
        Name of the download, for errors.

    Returns
    -------
    Volume
        float32, shape (132, 80, 114), axes [ap, dv, ml], values in [0, 1], NaN = no data.

    Raises
    ------
    FormatError
        If it is not such a zip: truncated, a CRC error, members that are missing, duplicate, links or in folders, sizes
        that differ from the header's, or voxels that are not densities.
    FrameError
        If the grid is not the CCFv3 at 100 um; the message says if it is the CCFv2 grid.
    """
    if looks_like_html(body):
        raise FormatError(f"{what} is a web page, not a zip file", hint=DAMAGED_HINT)
    try:
        with opened_archive(io.BytesIO(body)) as archive:
            members = _members(archive, what=what)
            header_info, raw_info = members[_HEADER], members[_RAW]
            header = read_metaimage_header(
                read_member(archive, header_info, MAX_HEADER_BYTES), what=f"{what}, {_HEADER}"
            )
            _check_header(header, what=f"{what}, {_HEADER}")
            _check_raw_size(raw_info.file_size, what=f"{what}, {_RAW}")
            raw = read_member(archive, raw_info, RAW_BYTES)
    except FormatError:
        raise
    except ZIP_ERRORS as error:
        raise FormatError(f"{what} is not a complete zip file: {error}", hint=DAMAGED_HINT) from error
    return read_density_raw(raw, what=f"{what}, {_RAW}")


def read_density_raw(source: bytes | Path, *, what: str, header: Path | None = None) -> Volume:
    """The projection density volume of a density.raw file, as cached by Brain Street View.

    Parameters
    ----------
    source : bytes or Path
        The file's content or path. 4,815,360 bytes: little-endian float32, the AP axis fastest.
    what : str
        Name of the file, for errors.
    header : Path, optional
        Its density.mhd. By default, an unrotated image at the origin is assumed.

    Returns
    -------
    Volume
        float32, shape (132, 80, 114), axes [ap, dv, ml], values in [0, 1], NaN = no data.

    Raises
    ------
    FormatError
        If the size is wrong, or voxels are not densities.
    FrameError
        If the size is that of a CCFv2 grid, or the header describes a rotated or shifted image.
    InputError
        If a file cannot be read.
    """
    if header is not None:
        text = decompressed(
            read_input_file(header, what=str(header), max_bytes=MAX_HEADER_BYTES),
            what=str(header),
            max_bytes=MAX_HEADER_BYTES,
        )
        _check_header(read_metaimage_header(text, what=str(header)), what=str(header))
    if isinstance(source, Path):
        with open_input(source, what=what) as stream:
            # The size is checked before reading, because it is unlimited.
            _check_raw_size(stream.seek(0, 2), what=what)
            stream.seek(0)
            body = stream.read(RAW_BYTES + 1)
    else:
        body = source
    _check_raw_size(len(body), what=what)
    voxels = np.frombuffer(body, "<f4").reshape(GRID.shape, order="F")
    return checked_volume(np.ascontiguousarray(voxels), "projection_density", what=what)


def _members(archive: zipfile.ZipFile, *, what: str) -> dict[str, zipfile.ZipInfo]:
    members: dict[str, zipfile.ZipInfo] = {}
    infos = archive.infolist()
    if len(infos) > _MAX_MEMBERS:
        raise FormatError(f"{what} has {len(infos)} members, a density download has two", hint=DAMAGED_HINT)
    for info in infos:
        # orig_filename is the name in the file; zipfile has already sanitized filename.
        name = info.orig_filename
        if name != info.filename or any(mark in name for mark in "/\\:\0") or name in ("", ".", ".."):
            raise FormatError(f"{what} has a member with a path in its name: {quoted(name)}", hint=DAMAGED_HINT)
        if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
            raise FormatError(f"{what}: the member {quoted(name)} is a link or special file", hint=DAMAGED_HINT)
        if info.flag_bits & 0x1 or info.compress_type not in METHODS:
            raise FormatError(
                f"{what}: the member {quoted(name)} is encrypted or has an unsupported compression", hint=DAMAGED_HINT
            )
        if name in members:
            raise FormatError(f"{what} has the member {quoted(name)} twice", hint=DAMAGED_HINT)
        members[name] = info
    if missing := [name for name in (_HEADER, _RAW) if name not in members]:
        raise FormatError(
            f"{what} is missing the member {' and '.join(missing)}; it contains {quoted(sorted(members))}",
            hint=DAMAGED_HINT,
        )
    return members


def _check_header(header: MetaImageHeader, *, what: str) -> None:
    if header.data_file != _RAW:
        raise FormatError(f"{what} refers to {quoted(header.data_file)} instead of {_RAW}", hint=DAMAGED_HINT)
    grid = Grid.from_shape(header.shape, what=what)
    if grid != GRID:
        raise FrameError(f"{what} is a grid of {grid.spacing_um} um, not of {GRID.spacing_um}", hint=DAMAGED_HINT)
    if header.spacing is not None and (len(set(header.spacing)) != 1 or header.spacing[0] not in _SPACINGS):
        raise FrameError(
            f"{what} states a spacing of {header.spacing}, which contradicts its {GRID.spacing_um} um grid",
            hint=DAMAGED_HINT,
        )


def _check_raw_size(size: int, *, what: str) -> None:
    if size == CCFV2_RAW_BYTES:
        raise FrameError(
            f"{what} has {size} bytes, the CCFv2 grid {'x'.join(map(str, CCFV2_SHAPE_100UM))}; this store holds CCFv3",
            hint="Download the volume again: the API now serves CCFv3.",
        )
    if size != RAW_BYTES:
        raise FormatError(f"{what} has {size} bytes instead of {RAW_BYTES}", hint=DAMAGED_HINT)
