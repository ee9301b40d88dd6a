"""NRRD files: those of the Allen API and of AllenSDK's cache are read block by block, and exports are written.

The voxels are decompressed here, so that a file with a wrong size takes no more memory than its header states, and so
that data are transposed to our axis order block by block. Exports have gzip compression and
the AP axis fastest. Format: NRRD0004, https://teem.sourceforge.net/nrrd/format.html

The headers of the Allen Institute's files claim that the axes run left, posterior, superior, with a spacing in
micrometers but no unit. They run posterior, inferior, right. Exports state the true orientation, origin and unit, or
with `Image.like_allen` what Allen's files state. Both are read.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from bsv_store.errors import FormatError, FrameError
from bsv_store.formats.fields import DAMAGED_HINT, checked_text
from bsv_store.formats.input_file import GZIP_MAGIC, open_unpacked
from bsv_store.formats.nrrd_header import NrrdHeader, true_frame
from bsv_store.vocabulary import VolumeKind
from bsv_store.volumes.checks import NO_DATA, checked_values
from bsv_store.volumes.grid import ARRAY_AXES, Grid
from bsv_store.volumes.spool import SpooledVolume, VolumeSpool
from bsv_store.volumes.volume import Volume

if TYPE_CHECKING:
    from bsv_store.formats.image import Image

_INPUT_BYTES = 256 * 1024
# Decoding a block takes about five times this. One plane of 8-byte voxels at 10 um is as large.
_BLOCK_BYTES = 8 * 1024 * 1024
_GZIP_WBITS = 31

# For writing: names of number types, and ML planes that are compressed at a time.
_TYPE_NAMES = {"float32": "float", "float64": "double", "uint8": "unsigned char", "uint16": "unsigned short"}
_PLANES = 16
# Averages have few zeros, so a higher compression level takes longer and saves little.
_LEVEL, _COMPUTED_LEVEL = 6, 1


@dataclass(frozen=True, slots=True)
class NrrdBlocks:
    """An open NRRD file.

    Attributes
    ----------
    grid : Grid
    dtype : numpy.dtype
        Of the voxels in the file.
    blocks : iterator of ndarray, shape (ap, dv, planes)
        Consecutive blocks of ML planes; after the last one the end of the file is checked.
    """

    grid: Grid
    dtype: np.dtype[Any]
    blocks: Iterator[NDArray[Any]]


def read_nrrd(source: bytes | Path, kind: VolumeKind, *, what: str, spacing_um: int | None = None) -> Volume:
    """The volume in an NRRD file of any number type.

    Parameters
    ----------
    source : bytes or Path
        The file's content or path.
    kind : VolumeKind
        The file does not state it.
    what : str
        Name of the file, for errors.
    spacing_um : int, optional
        Spacing that the file must have.

    Returns
    -------
    Volume
        float32, C order, axes [ap, dv, ml]; NaN = no data. Fractions are in [0, 1].

    Raises
    ------
    FormatError
        If it is not such an NRRD file, is truncated, has bytes after its end, or voxels out of range.
    FrameError
        If the grid is not a CCFv3 grid, has another spacing than requested, or directions that contradict its sizes.
    InputError
        If the file cannot be read.
    """
    with open_unpacked(source, what=what) as stream:
        header = _header(stream, what=what, spacing_um=spacing_um)
        voxels = np.empty(header.grid.shape, np.float32)
        for first, block in _checked_blocks(stream, header, kind, what=what):
            voxels[:, :, first : first + block.shape[2]] = block
    return Volume(kind, voxels)


def spool_nrrd(
    source: bytes | Path, kind: VolumeKind, spool: VolumeSpool, *, what: str, spacing_um: int | None = None
) -> SpooledVolume:
    """The volume in an NRRD file, validated as by `read_nrrd`, in a spool instead of in memory.

    Parameters
    ----------
    source, kind, what, spacing_um
        As for `read_nrrd`.
    spool : VolumeSpool
        Its previous content is discarded.

    Raises
    ------
    FormatError, FrameError, InputError
        As `read_nrrd` does.
    NoSpaceError, StoreError
        If the spool cannot be written.
    """
    with open_unpacked(source, what=what) as stream:
        header = _header(stream, what=what, spacing_um=spacing_um)
        return spool.fill(kind, header.grid, _checked_blocks(stream, header, kind, what=what))


def _header(stream: BinaryIO, *, what: str, spacing_um: int | None) -> NrrdHeader:
    header = NrrdHeader.read(stream, what=what)
    if spacing_um is not None and header.grid.spacing_um != spacing_um:
        raise FrameError(
            f"{what} is a grid of {header.grid.spacing_um} um, not of {spacing_um} um",
            hint="The file's name and content disagree. Download it again.",
        )
    return header


def _checked_blocks(
    stream: BinaryIO, header: NrrdHeader, kind: VolumeKind, *, what: str
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    return ((first, checked_values(block, kind, what=what)) for first, block in _blocks(stream, header, what=what))


@contextmanager
def opened_nrrd(source: bytes | Path, *, what: str, spacing_um: int | None = None) -> Iterator[NrrdBlocks]:
    """The grid, number type and voxels of an NRRD file; blocks that are not read are not validated.

    Parameters
    ----------
    source : bytes or Path
        The file's content or path.
    what : str
        Name of the file, for errors.
    spacing_um : int, optional
        Spacing that the file must have.

    Raises
    ------
    FormatError
        If it is not such an NRRD file; while the blocks are read, if it is truncated or has bytes after its end.
    FrameError
        If the grid is not a CCFv3 grid, has another spacing than requested, or the header contradicts itself.
    InputError
        If the file cannot be read.
    """
    with open_unpacked(source, what=what) as stream:
        header = _header(stream, what=what, spacing_um=spacing_um)
        yield NrrdBlocks(header.grid, header.dtype, (block for _, block in _blocks(stream, header, what=what)))


def _blocks(stream: BinaryIO, header: NrrdHeader, *, what: str) -> Iterator[tuple[int, NDArray[Any]]]:
    """First ML plane and voxels, shape (ap, dv, planes), of consecutive blocks; then the end of the file is checked."""
    ap, dv, ml = header.grid.shape
    slab = ap * dv * header.dtype.itemsize
    depth = max(1, _BLOCK_BYTES // slab)
    body: _RawBody = _GzipBody(stream, what=what) if header.is_gzip else _RawBody(stream, what=what)
    for first in range(0, ml, depth):
        count = min(depth, ml - first)
        data = body.exactly(count * slab)
        yield first, np.frombuffer(data, header.dtype).reshape((ap, dv, count), order="F")
    body.end()


class _RawBody:
    """Uncompressed bytes of the voxels."""

    def __init__(self, stream: BinaryIO, *, what: str) -> None:
        self._stream = stream
        self._what = what

    def exactly(self, count: int) -> bytearray:
        data = bytearray()
        while len(data) < count:
            part = self._some(count - len(data))
            if not part:
                raise self._cut()
            data += part
        return data

    def end(self) -> None:
        if self._some(1) or self._left_over():
            raise FormatError(f"{self._what} contains more data than its header states", hint=DAMAGED_HINT)

    def _cut(self) -> FormatError:
        return FormatError(f"{self._what} is truncated: it has less data than its header states", hint=DAMAGED_HINT)

    def _some(self, limit: int) -> bytes:
        """Up to ``limit`` further bytes; empty at the end."""
        return self._stream.read(limit)

    def _left_over(self) -> bool:
        return False


class _GzipBody(_RawBody):
    """Bytes of the voxels, decompressed; never more than requested. The gzip data may have several members."""

    def __init__(self, stream: BinaryIO, *, what: str) -> None:
        super().__init__(stream, what=what)
        self._inflater = zlib.decompressobj(_GZIP_WBITS)
        self._ahead = b""

    def _some(self, limit: int) -> bytes:
        while not self._inflater.eof or self._has_next_member():
            packed = self._inflater.unconsumed_tail or self._ahead or self._stream.read(_INPUT_BYTES)
            self._ahead = b""
            try:
                data = self._inflater.decompress(packed, limit)
            except zlib.error as error:
                raise FormatError(f"{self._what} is damaged: {error}", hint=DAMAGED_HINT) from error
            if data:
                return data
            if not packed and not self._inflater.eof:
                raise self._cut()
        return b""

    def _has_next_member(self) -> bool:
        """Start the next member, if there is one."""
        self._ahead = self._inflater.unused_data
        if len(self._ahead) < len(GZIP_MAGIC):
            self._ahead += self._stream.read(_INPUT_BYTES)
        if not self._ahead.startswith(GZIP_MAGIC):
            return False
        self._inflater = zlib.decompressobj(_GZIP_WBITS)
        return True

    def _left_over(self) -> bool:
        return bool(self._ahead)


def write_nrrd(image: Image, path: Path) -> None:
    """Write an image to an NRRD file; the same image gives the same bytes.

    Several groups are a fourth axis, the slowest, of kind "list". The header names the axes, states their true
    directions and the center of the first voxel in mm, and has the image's facts as key/value pairs. With
    `Image.like_allen` it has the misleading directions of Allen's files instead, and that of a volume has no other
    fields than Allen's. No data is NaN in computed images, and -1 in others, as `read_nrrd` expects.

    Raises
    ------
    FormatError
        If the title is not a single line of at most 255 visible characters.
    """
    # Headers are ASCII.
    title = image.title.replace("\u00b3", "^3").replace("\u00b5", "u")
    checked_text(title, field="content", what=str(path))
    packer = zlib.compressobj(_COMPUTED_LEVEL if image.is_computed else _LEVEL, zlib.DEFLATED, _GZIP_WBITS)
    no_data = math.nan if image.is_computed else NO_DATA
    with path.open("wb") as stream:
        stream.write(header_of(image, title))
        for block in image.ml_blocks():
            for first in range(0, block.shape[2], _PLANES):
                part = block[:, :, first : first + _PLANES].astype(block.dtype.newbyteorder("<"))
                if part.dtype.kind == "f" and not math.isnan(no_data):
                    part[np.isnan(part)] = no_data
                stream.write(packer.compress(part.tobytes(order="F")))
        stream.write(packer.flush())


def header_of(image: Image, title: str) -> bytes:
    """The header of an export, with the empty line at its end."""
    several = image.group_count > 1
    as_allen = image.like_allen and image.content == "volume"
    labels = [] if as_allen else [*ARRAY_AXES, *(["group"] if several else [])]
    facts = {} if as_allen else image.facts
    spacing = image.grid.spacing_um
    if image.like_allen:
        directions, origin, units = np.eye(3, dtype=int) * spacing, np.zeros(3, int), ""
    else:
        directions, origin = (np.round(part, 6) + 0.0 for part in true_frame(image.grid))
        units = 'space units: "mm" "mm" "mm"'
    lines = (
        "NRRD0004",
        "# Complete NRRD file format specification at:",
        "# http://teem.sourceforge.net/nrrd/format.html",
        f"content: {title}",
        f"type: {_TYPE_NAMES[image.number_dtype]}",
        f"dimension: {4 if several else 3}",
        "space: left-posterior-superior",
        *([units] if units else []),
        f"sizes: {' '.join(map(str, (*image.grid.shape, *([image.group_count] if several else []))))}",
        f"space directions: {' '.join(map(_vector, directions))}{' none' if several else ''}",
        f"kinds: domain domain domain{' list' if several else ''}",
        *(["labels: " + " ".join(f'"{label}"' for label in labels)] if labels else []),
        "endian: little",
        "encoding: gzip",
        f"space origin: {_vector(origin)}",
        *(f"{name}:={' '.join(value.split())}" for name, value in facts.items()),
        "",
        "",
    )
    return "\n".join(lines).encode("ascii", "backslashreplace")


def _vector(values: NDArray[Any]) -> str:
    return f"({','.join(f'{value:g}' for value in values)})"
