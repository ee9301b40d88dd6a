"""Headers of NRRD files. Fields that rotate, shift, crop or scale the image are applied or refused, never ignored.

pynrrd parses the header. Format: NRRD0005, https://teem.sourceforge.net/nrrd/format.html
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from bsv_store.errors import FormatError, FrameError
from bsv_store.formats.fields import DAMAGED_HINT, looks_like_html, quoted
from bsv_store.formats.nifti import affine_of
from bsv_store.volumes.grid import Grid

_MAX_HEADER_BYTES = 64 * 1024

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
# Fields of files whose voxels are in another file.
_DETACHED = ("data file", "datafile")
# Fields that skip a part of the file; 0 is the default.
_SKIPS = ("line skip", "lineskip", "byte skip", "byteskip")
# Limits of the values before they were scaled to the stored range.
_SCALED = ("old min", "oldmin", "old max", "oldmax")
_SPATIAL_KINDS = ("domain", "space", "none", "???", "")
_UM_PER_UNIT = {"": 1, "um": 1, "micron": 1, "microns": 1, "micrometer": 1, "micrometers": 1, "\u00b5m": 1, "mm": 1000}

# Factors that convert coordinates of a space to left, posterior, superior.
_SPACE_SIGNS: Mapping[str, NDArray[np.float64]] = {
    name: np.array(signs)
    for names, signs in (
        (("left-posterior-superior", "lps"), (1.0, 1.0, 1.0)),
        (("right-anterior-superior", "ras"), (-1.0, -1.0, 1.0)),
        (("left-anterior-superior", "las"), (1.0, -1.0, 1.0)),
    )
    for name in names
}


class NrrdHeader:
    """The part of an NRRD header that describes the layout of the voxels."""

    def __init__(self, fields: Mapping[str, Any], *, what: str) -> None:
        _check_layout(fields, what=what)
        sizes = tuple(int(size) for size in np.atleast_1d(fields.get("sizes", ())))
        if fields.get("dimension") != 3 or len(sizes) != 3:
            raise FormatError(f"{what} is not 3-D: sizes {sizes}", hint=DAMAGED_HINT)
        self.grid = Grid.from_shape(sizes, what=what)
        self.dtype = _dtype(fields, what=what)
        self.is_gzip = _is_gzip(fields, what=what)
        _check_space(fields, self.grid, what=what)

    @classmethod
    def read(cls, stream: BinaryIO, *, what: str) -> NrrdHeader:
        """Read and validate the header; the stream is then at the first byte of the data."""
        import nrrd

        # pynrrd gets only the header, so that it cannot open other files.
        text = _header_bytes(stream, what=what)
        try:
            # Sizes beyond int64 become negative.
            with np.errstate(invalid="ignore"):
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
    """The format of a file that is not NRRD, for error messages."""
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
        raise FormatError(f"{what} must be an NRRD file, got {_kind_of(start)}", hint=DAMAGED_HINT)
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
        raise FormatError(f"{what}: the byte order must be little or big, got {quoted(endian)}", hint=DAMAGED_HINT)
    return dtype.newbyteorder(">" if endian == "big" else "<")


def _is_gzip(fields: Mapping[str, Any], *, what: str) -> bool:
    encoding = str(fields.get("encoding", "")).lower()
    if encoding not in _GZIP + _RAW:
        raise FormatError(
            f"{what}: the encoding {quoted(encoding)} is not supported", hint="Save it with encoding gzip or raw."
        )
    return encoding in _GZIP


def _check_layout(fields: Mapping[str, Any], *, what: str) -> None:
    """Refuse files whose voxels are in another file or have another meaning."""
    for name in _DETACHED:
        if name in fields:
            raise FormatError(
                f"{what}: the header field {name!r} is not supported: data must follow the header", hint=DAMAGED_HINT
            )
    for name in _SKIPS:
        if fields.get(name, 0) != 0:
            raise FormatError(
                f"{what}: the header field {name!r} is {fields[name]}: data must follow the header", hint=DAMAGED_HINT
            )
    for name in _SCALED:
        if name in fields:
            raise FormatError(
                f"{what}: the header field {name!r} states that the values were scaled, which is not supported",
                hint="Save it with the original values.",
            )


def _check_space(fields: Mapping[str, Any], grid: Grid, *, what: str) -> None:
    """Refuse images that are rotated, flipped, shifted or scaled."""
    directions, spacings = fields.get("space directions"), fields.get("spacings")
    if directions is not None and _is_true_frame(fields, np.asarray(directions, np.float64), grid):
        directions, true_origin = None, True
    else:
        # Without the true directions the field `space` is ignored: in Allen's files it is misleading.
        true_origin = False
    scale = _um_per_unit(fields, what=what)
    expected = np.eye(3) * grid.spacing_um
    stated: dict[str, NDArray[np.float64]] = {}
    if directions is not None:
        stated["space directions"] = np.asarray(directions, np.float64)
    if spacings is not None:
        stated["spacings"] = np.diag(np.asarray(spacings, np.float64))
    for name, matrix in stated.items():
        if matrix.shape != (3, 3) or not np.allclose(matrix * scale, expected, rtol=1e-6, atol=1e-6):
            raise FrameError(
                f"{what} states the {name} {quoted(fields[name].tolist())}, which contradict its {grid.spacing_um} um "
                "grid with the axes AP, DV, ML",
                hint="Flipped or rotated images are not supported. Save it on the axes of the CCFv3.",
            )
    neutrals = (
        {"measurement frame": np.eye(3)}
        if true_origin
        else {"space origin": np.zeros(3), "measurement frame": np.eye(3)}
    )
    for name, neutral in neutrals.items():
        if fields.get(name) is not None and not np.array_equal(np.asarray(fields[name], np.float64), neutral):
            raise FrameError(
                f"{what} states the {name} {quoted(np.asarray(fields[name]).tolist())}; only "
                f"{quoted(neutral.tolist())} is supported",
                hint="Shifted or rotated images are not supported. Save it on the grid of the CCFv3.",
            )
    _check_extent(fields, grid, scale, what=what)
    if strange := [kind for kind in fields.get("kinds", ()) if kind.lower() not in _SPATIAL_KINDS]:
        raise FrameError(f"{what} has an axis of the kind {quoted(strange[0])}, not in space", hint=DAMAGED_HINT)


def _um_per_unit(fields: Mapping[str, Any], *, what: str) -> int:
    units = {str(unit).strip().lower() for name in ("units", "space units") for unit in fields.get(name) or ()}
    found = {_UM_PER_UNIT.get(unit) for unit in units} or {1}
    if len(found) != 1 or None in found:
        raise FrameError(f"{what}: the units must be um or mm, got {quoted(sorted(units))}", hint=DAMAGED_HINT)
    return int(found.pop() or 1)


def _check_extent(fields: Mapping[str, Any], grid: Grid, scale: int, *, what: str) -> None:
    """Check `axis mins`, which must be 0, and `axis maxs`, which must be the end or center of the last voxel."""
    mins, maxs = (fields.get(f"axis {end}", fields.get(f"axis{end}")) for end in ("mins", "maxs"))
    for name, values in (("axis mins", mins), ("axis maxs", maxs)):
        if values is not None and (len(values) != 3 or (name == "axis mins" and np.nan_to_num(values).any())):
            raise FrameError(f"{what}: the {name} must be 0, got {quoted(list(values))}", hint=DAMAGED_HINT)
    if maxs is None:
        return
    lengths = np.asarray(maxs, np.float64) * scale
    counts = np.asarray(grid.shape)
    known = ~np.isnan(lengths)
    by_voxel, by_center = counts * grid.spacing_um, (counts - 1) * grid.spacing_um
    if not (np.isclose(lengths, by_voxel) | np.isclose(lengths, by_center))[known].all():
        raise FrameError(
            f"{what} states the axis maxs {quoted(list(maxs))}, which contradict its {grid.spacing_um} um grid",
            hint=DAMAGED_HINT,
        )


def _is_true_frame(fields: Mapping[str, Any], directions: NDArray[np.float64], grid: Grid) -> bool:
    """Whether a header states the true directions and origin of the grid, in mm or um, as exports do."""
    signs = _SPACE_SIGNS.get(str(fields.get("space", "")).lower())
    if signs is None or directions.shape != (3, 3):
        return False
    true_directions, true_origin = true_frame(grid)
    # Other programs preserve the directions, but not always the unit.
    for scale in (1.0, 1000.0):
        step = grid.spacing_um / 1000 * scale
        if np.allclose(directions * signs, true_directions * scale, rtol=0, atol=1e-4 * step):
            origin = np.asarray(fields.get("space origin", true_origin * scale * signs), np.float64)
            # Some programs state the corner of the first voxel instead of its center.
            return origin.shape == (3,) and bool((np.abs(origin * signs - true_origin * scale) <= step).all())
    return False


def true_frame(grid: Grid) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The direction of each axis (one row each) and the center of the first voxel: left, posterior, superior, in mm.

    The position is the same as in NIfTI exports, whose coordinates are right, anterior, superior.
    """
    affine = np.diag([-1.0, -1.0, 1.0]) @ affine_of(grid)[:3]
    return affine[:, :3].T, affine[:, 3]
