"""NRRD files: those of the Allen API and of AllenSDK's cache are read block by block, and exports are written.

pynrrd parses the header. The voxels are decompressed here, so that a file with a wrong size takes no more memory than
its header states, and so that data are transposed to our axis order block by block. Exports have the header fields of
the Allen Institute's files, gzip compression, and the AP axis fastest. Format: NRRD0004,
https://teem.sourceforge.net/nrrd/format.html
"""

from __future__ import annotations

import io
import math
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from bsv_store.errors import FormatError, FrameError, InputError
from bsv_store.formats.fields import DAMAGED_HINT, checked_text, looks_like_html, quoted
from bsv_store.formats.input_file import require_regular_file
from bsv_store.vocabulary import VolumeKind
from bsv_store.volumes.checks import NO_DATA, checked_values
from bsv_store.volumes.grid import AXES, Grid
from bsv_store.volumes.spool import SpooledVolume, VolumeSpool
from bsv_store.volumes.volume import Volume

if TYPE_CHECKING:
    from bsv_store.formats.image import Image

_MAX_HEADER_BYTES = 64 * 1024
_INPUT_BYTES = 256 * 1024
# Decoding a block takes about five times this. One plane of 8-byte voxels at 10 um is as large.
_BLOCK_BYTES = 8 * 1024 * 1024
_GZIP_WBITS = 31

_TYPES = {
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": ("longlong", "long long", "long long int", "signed long long", "signed long long int", "int64", "int64_t"),
    "u8": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
    "f4": ("float",),
    "f8": ("double",),
}
_DTYPES = {name: dtype for dtype, names in _TYPES.items() for name in names}
_GZIP, _RAW = ("gzip", "gz"), ("raw",)
# Fields of files whose voxels are elsewhere, or that skip a part of themselves. Allen's files have none of them.
_DETACHED = ("data file", "datafile", "line skip", "lineskip", "byte skip", "byteskip")

# For writing: names of number types, and ML planes that are compressed at a time.
_TYPE_NAMES = {"float32": "float", "float64": "double", "uint8": "unsigned char"}
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
    with _opened(source, what=what) as stream:
        header = _volume_header(stream, what=what, spacing_um=spacing_um)
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
    with _opened(source, what=what) as stream:
        header = _volume_header(stream, what=what, spacing_um=spacing_um)
        return spool.fill(kind, header.grid, _checked_blocks(stream, header, kind, what=what))


def _volume_header(stream: BinaryIO, *, what: str, spacing_um: int | None) -> _Header:
    header = _Header.read(stream, what=what)
    if spacing_um is not None and header.grid.spacing_um != spacing_um:
        raise FrameError(
            f"{what} is a grid of {header.grid.spacing_um} um, not of {spacing_um} um",
            hint="The file's name and content disagree. Download it again.",
        )
    return header


def _checked_blocks(
    stream: BinaryIO, header: _Header, kind: VolumeKind, *, what: str
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    return ((first, checked_values(block, kind, what=what)) for first, block in _blocks(stream, header, what=what))


@contextmanager
def opened_nrrd(source: bytes | Path, *, what: str) -> Iterator[NrrdBlocks]:
    """The grid, number type and voxels of an NRRD file; blocks that are not read are not validated.

    Parameters
    ----------
    source : bytes or Path
        The file's content or path.
    what : str
        Name of the file, for errors.

    Raises
    ------
    FormatError
        If it is not such an NRRD file; while the blocks are read, if it is truncated or has bytes after its end.
    FrameError
        If the grid is not a CCFv3 grid, or the header contradicts itself.
    InputError
        If the file cannot be read.
    """
    with _opened(source, what=what) as stream:
        header = _Header.read(stream, what=what)
        yield NrrdBlocks(header.grid, header.dtype, (block for _, block in _blocks(stream, header, what=what)))


def _opened(source: bytes | Path, *, what: str) -> BinaryIO:
    if isinstance(source, bytes):
        return io.BytesIO(source)
    require_regular_file(source)
    try:
        return source.open("rb")
    except OSError as error:
        raise InputError(
            f"{what} cannot be read: {error.strerror or error}", hint="Check path and permissions."
        ) from error


class _Header:
    """The part of an NRRD header that describes the layout of the voxels."""

    def __init__(self, fields: Mapping[str, Any], *, what: str) -> None:
        if found := [name for name in _DETACHED if name in fields]:
            raise FormatError(
                f"{what}: the header field {found[0]!r} is not supported: data must follow the header",
                hint=DAMAGED_HINT,
            )
        sizes = tuple(int(size) for size in np.atleast_1d(fields.get("sizes", ())))
        if fields.get("dimension") != 3 or len(sizes) != 3:
            raise FormatError(f"{what} is not 3-D: sizes {sizes}", hint=DAMAGED_HINT)
        self.grid = Grid.from_shape(sizes, what=what)
        self.dtype = _dtype(fields, what=what)
        self.is_gzip = _is_gzip(fields, what=what)
        _check_directions(fields, self.grid, what=what)

    @classmethod
    def read(cls, stream: BinaryIO, *, what: str) -> _Header:
        """Read and validate the header; the stream is then at the first byte of the data."""
        import nrrd

        # pynrrd gets only the header, so that it cannot open other files.
        text = _header_bytes(stream, what=what)
        try:
            fields = nrrd.read_header(io.BytesIO(text))
            return cls(fields, what=what)
        except FormatError:
            raise
        except (nrrd.NRRDError, ValueError, TypeError, KeyError, IndexError, OverflowError) as error:
            raise FormatError(f"{what} has no valid NRRD header: {quoted(str(error))}", hint=DAMAGED_HINT) from error


_SIGNATURES = {
    b"\x1f\x8b": "a gzip file",
    b"PK\x03\x04": "a zip file",
    b"\x89HDF": "an HDF5 file",
    b"\x89PNG": "a PNG picture",
    b"II*\0": "a TIFF picture",
    b"MM\0*": "a TIFF picture",
}


def _kind_of(start: bytes) -> str:
    """The format of a file that is not NRRD, in words for an error message."""
    if not start:
        return "empty"
    if looks_like_html(start):
        return "a web page"
    for signature, kind in _SIGNATURES.items():
        if start.startswith(signature):
            return kind
    first = start[:40]
    if first.isascii() and first.decode("ascii").replace("\n", " ").replace("\r", " ").isprintable():
        return f"text: {quoted(first.decode('ascii'))}"
    return "binary data of an unknown format"


def _header_bytes(stream: BinaryIO, *, what: str) -> bytes:
    start = stream.read(_MAX_HEADER_BYTES)
    if not start.startswith(b"NRRD000"):
        raise FormatError(f"{what} is not an NRRD file, but {_kind_of(start)}", hint=DAMAGED_HINT)
    ends = [at + len(mark) for mark in (b"\n\n", b"\r\n\r\n") if (at := start.find(mark)) >= 0]
    if not ends:
        raise FormatError(f"{what}: the NRRD header has no end; the file is truncated", hint=DAMAGED_HINT)
    stream.seek(min(ends))
    return start[: min(ends)]


def _dtype(fields: Mapping[str, Any], *, what: str) -> np.dtype[Any]:
    name = " ".join(str(fields.get("type", "")).lower().split())
    if name not in _DTYPES:
        raise FormatError(f"{what}: the number type {quoted(name)} is not supported", hint=DAMAGED_HINT)
    dtype = np.dtype(_DTYPES[name])
    endian = str(fields.get("endian", "")).lower()
    if endian not in ("little", "big") and dtype.itemsize > 1:
        raise FormatError(f"{what}: the byte order {quoted(endian)} is neither little nor big", hint=DAMAGED_HINT)
    return dtype.newbyteorder(">" if endian == "big" else "<")


def _is_gzip(fields: Mapping[str, Any], *, what: str) -> bool:
    encoding = str(fields.get("encoding", "")).lower()
    if encoding not in _GZIP + _RAW:
        raise FormatError(
            f"{what}: the encoding {quoted(encoding)} is not supported", hint="Save it with encoding gzip or raw."
        )
    return encoding in _GZIP


def _check_directions(fields: Mapping[str, Any], grid: Grid, *, what: str) -> None:
    # The field `space` is ignored: in Allen's files it is misleading.
    stated: NDArray[np.float64] | None = None
    if fields.get("space directions") is not None:
        stated = np.asarray(fields["space directions"], np.float64)
    elif fields.get("spacings") is not None:
        stated = np.diag(np.asarray(fields["spacings"], np.float64))
    if stated is not None and not np.array_equal(stated, np.eye(3) * grid.spacing_um):
        raise FrameError(
            f"{what} states the space directions {quoted(stated.tolist())}, which contradict its "
            f"{grid.spacing_um} um grid",
            hint=DAMAGED_HINT,
        )


def _blocks(stream: BinaryIO, header: _Header, *, what: str) -> Iterator[tuple[int, NDArray[Any]]]:
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
    """Bytes of the voxels, decompressed; never more than requested."""

    def __init__(self, stream: BinaryIO, *, what: str) -> None:
        super().__init__(stream, what=what)
        self._inflater = zlib.decompressobj(_GZIP_WBITS)

    def _some(self, limit: int) -> bytes:
        while not self._inflater.eof:
            packed = self._inflater.unconsumed_tail or self._stream.read(_INPUT_BYTES)
            try:
                data = self._inflater.decompress(packed, limit)
            except zlib.error as error:
                raise FormatError(f"{self._what} is damaged: {error}", hint=DAMAGED_HINT) from error
            if data:
                return data
            if not packed and not self._inflater.eof:
                raise self._cut()
        return b""

    def _left_over(self) -> bool:
        return bool(self._inflater.unused_data) or bool(self._stream.read(1))


def write_nrrd(image: Image, path: Path) -> None:
    """Write an image to an NRRD file; the same image gives the same bytes.

    Several groups are a fourth axis, the slowest, of kind "list". If the values are not computed by this package, the
    file has Allen's header fields and -1 for no data, as in Allen's older files, so that `read_nrrd` can read it.
    Otherwise it names the axes, has the image's facts as key/value pairs, and NaN for no data.

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
        stream.write(_header(image, title))
        for block in image.ml_blocks():
            for first in range(0, block.shape[2], _PLANES):
                part = block[:, :, first : first + _PLANES].astype(block.dtype.newbyteorder("<"))
                if part.dtype.kind == "f" and not math.isnan(no_data):
                    part[np.isnan(part)] = no_data
                stream.write(packer.compress(part.tobytes(order="F")))
        stream.write(packer.flush())


def _header(image: Image, title: str) -> bytes:
    spacing = image.grid.spacing_um
    several = image.group_count > 1
    labels = [*AXES, *(["group"] if several else [])] if image.is_computed else []
    facts = image.facts if image.is_computed else {}
    lines = (
        "NRRD0004",
        "# Complete NRRD file format specification at:",
        "# http://teem.sourceforge.net/nrrd/format.html",
        f"content: {title}",
        f"type: {_TYPE_NAMES[image.number_dtype]}",
        f"dimension: {4 if several else 3}",
        # As in Allen's files, where it is misleading: the axes run posterior, inferior, right.
        "space: left-posterior-superior",
        f"sizes: {' '.join(map(str, (*image.grid.shape, *([image.group_count] if several else []))))}",
        f"space directions: ({spacing},0,0) (0,{spacing},0) (0,0,{spacing}){' none' if several else ''}",
        f"kinds: domain domain domain{' list' if several else ''}",
        *(["labels: " + " ".join(f'"{label}"' for label in labels)] if labels else []),
        "endian: little",
        "encoding: gzip",
        "space origin: (0,0,0)",
        *(f"{name}:={' '.join(value.split())}" for name, value in facts.items()),
        "",
        "",
    )
    return "\n".join(lines).encode("ascii", "backslashreplace")
