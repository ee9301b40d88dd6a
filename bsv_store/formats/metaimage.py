"""MetaImage headers (.mhd) of the density grids of the Allen API: ``key = value`` lines.

Format: https://itk.org/Wiki/ITK/MetaIO/Documentation
"""

from __future__ import annotations

from dataclasses import dataclass

from bsv_store.errors import FormatError, FrameError
from bsv_store.formats.fields import DAMAGED_HINT, quoted

MAX_HEADER_BYTES = 64 * 1024

_TRUE, _FALSE = ("true", "t", "1", "yes"), ("false", "f", "0", "no")
# Fields that rotate, shift or scale the image, with the only supported value. Each has several names.
# `AnatomicalOrientation` is ignored, as `space` in NRRD files, where Allen's is misleading; `CenterOfRotation` has no
# effect without a rotation.
_SPACING = ("elementspacing", "elementsize")
_IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
_NEUTRAL = {
    "transformmatrix": _IDENTITY,
    "rotation": _IDENTITY,
    "orientation": _IDENTITY,
    "offset": (0.0, 0.0, 0.0),
    "position": (0.0, 0.0, 0.0),
    "origin": (0.0, 0.0, 0.0),
    "elementtointensityfunctionslope": (1.0,),
    "elementtointensityfunctionoffset": (0.0,),
}


@dataclass(frozen=True, slots=True)
class MetaImageHeader:
    """Header of a 3-D image of little-endian float32 in a separate file.

    Attributes
    ----------
    shape : tuple of int
        Voxels along the three axes, the first of which is the fastest in the file.
    spacing : tuple of float or None
        ElementSpacing, or else ElementSize, as stated; the format does not define its unit.
    data_file : str
        Name of the file with the voxels.
    """

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float] | None
    data_file: str


def read_metaimage_header(body: bytes, *, what: str) -> MetaImageHeader:
    """The header in a .mhd file; white space and case do not matter.

    Raises
    ------
    FormatError
        If it is not a MetaImage header, or the image is not 3-D, float32, little-endian, with one channel, uncompressed
        and without a header in its data file.
    FrameError
        If the image is rotated, flipped, shifted or scaled.
    """
    fields = _fields(body, what=what)
    _expect(fields, "ndims", ("3",), what=what, required=True)
    _expect(fields, "elementtype", ("met_float",), what=what, required=True)
    _expect(fields, "objecttype", ("image",), what=what)
    _expect(fields, "binarydata", _TRUE, what=what)
    _expect(fields, "binarydatabyteordermsb", _FALSE, what=what)
    _expect(fields, "elementbyteordermsb", _FALSE, what=what)
    _expect(fields, "compresseddata", _FALSE, what=what)
    _expect(fields, "elementnumberofchannels", ("1",), what=what)
    _expect(fields, "headersize", ("0",), what=what)
    for name, neutral in _NEUTRAL.items():
        _expect_neutral(fields, name, neutral, what=what)
    ap, dv, ml = _numbers(fields, "dimsize", what=what)
    if not all(value.is_integer() and value > 0 for value in (ap, dv, ml)):
        raise FormatError(f"{what}: DimSize is {quoted(fields['dimsize'])}", hint=DAMAGED_HINT)
    return MetaImageHeader(
        shape=(int(ap), int(dv), int(ml)),
        spacing=next((_numbers(fields, name, what=what) for name in _SPACING if name in fields), None),
        data_file=_required(fields, "elementdatafile", what=what),
    )


def _fields(body: bytes, *, what: str) -> dict[str, str]:
    if len(body) > MAX_HEADER_BYTES:
        raise FormatError(f"{what} has {len(body)} bytes, too many for a MetaImage header", hint=DAMAGED_HINT)
    try:
        text = body.decode("ascii")
    except UnicodeDecodeError as error:
        raise FormatError(f"{what} is not a MetaImage header: it is not plain text", hint=DAMAGED_HINT) from error
    fields: dict[str, str] = {}
    for line in text.splitlines():
        if not line.strip():
            continue
        key, equals, value = line.partition("=")
        name = key.strip().lower()
        if not equals or not name:
            raise FormatError(f"{what} is not a MetaImage header: {quoted(line)}", hint=DAMAGED_HINT)
        if name in fields:
            raise FormatError(f"{what} has {quoted(key.strip())} twice", hint=DAMAGED_HINT)
        fields[name] = value.strip()
    return fields


def _required(fields: dict[str, str], name: str, *, what: str) -> str:
    value = fields.get(name, "")
    if not value:
        raise FormatError(f"{what} is not a valid MetaImage header: it is missing {name}", hint=DAMAGED_HINT)
    return value


def _expect(fields: dict[str, str], name: str, allowed: tuple[str, ...], *, what: str, required: bool = False) -> None:
    value = _required(fields, name, what=what) if required else fields.get(name)
    if value is not None and value.lower() not in allowed:
        raise FormatError(f"{what}: {name} is {quoted(value)}, expected {' or '.join(allowed)}", hint=DAMAGED_HINT)


def _expect_neutral(fields: dict[str, str], name: str, neutral: tuple[float, ...], *, what: str) -> None:
    if name not in fields:
        return
    try:
        # -0 equals 0.
        is_neutral = tuple(float(part) for part in fields[name].split()) == neutral
    except ValueError as error:
        raise FormatError(f"{what}: {name} must be numbers, got {quoted(fields[name])}", hint=DAMAGED_HINT) from error
    if not is_neutral:
        expected = " ".join(f"{number:g}" for number in neutral)
        raise FrameError(
            f"{what}: {name} must be {expected}, got {quoted(fields[name])}",
            hint="Rotated, shifted or scaled images are not supported. Save it on the grid of the CCFv3.",
        )


def _numbers(fields: dict[str, str], name: str, *, what: str) -> tuple[float, float, float]:
    text = _required(fields, name, what=what)
    try:
        first, second, third = (float(part) for part in text.split())
    except ValueError as error:
        raise FormatError(f"{what}: {name} is {quoted(text)}, not three numbers", hint=DAMAGED_HINT) from error
    return first, second, third
