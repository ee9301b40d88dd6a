"""Label tables, which name and color the numbers of a label image: written for ITK-SNAP and 3D Slicer, and read.

ITK-SNAP's label description is text with a comment block at the top and one line for each label: number, red, green,
blue (0 to 255), opacity (0 to 1), visibility and mesh visibility (0 or 1), and the name in quotation marks. Its labels
are 16-bit numbers. 3D Slicer's color table (https://slicer.readthedocs.io/en/5.6/developer_guide/modules/colors.html)
has number, name with underscores instead of spaces, red, green, blue and opacity (0 to 255).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bsv_store.errors import FormatError
from bsv_store.formats.fields import checked_text, decoded, quoted
from bsv_store.formats.input_file import decompressed, read_input_file, shown_path
from bsv_store.formats.table import FileFormat, format_of
from bsv_store.text import shown

if TYPE_CHECKING:
    from pathlib import Path

MAX_LABEL = 2**16 - 1
"""The largest label of ITK-SNAP."""

_MAX_BYTES = 1 << 24

_ITKSNAP_HEADER = """\
################################################
# ITK-SnAP Label Description File
# File format:
# IDX   -R-  -G-  -B-  -A--  VIS MSH  LABEL
# Fields:
#    IDX:   Zero-based index
#    -R-:   Red color component (0..255)
#    -G-:   Green color component (0..255)
#    -B-:   Blue color component (0..255)
#    -A-:   Label transparency (0.00 .. 1.00)
#    VIS:   Label visibility (0 or 1)
#    MSH:   Label mesh visibility (0 or 1)
#  LABEL:   Label description
################################################
"""
_NUMBER, _COLOR = "([0-9]{1,10})", r"([0-9]{1,3})\s+([0-9]{1,3})\s+([0-9]{1,3})"
_ITKSNAP_LINE = re.compile(rf'{_NUMBER}\s+{_COLOR}\s+([0-9.]+)\s+([01])\s+([01])\s+"([^"]*)"')
_SLICER_LINE = re.compile(rf"{_NUMBER}\s+(\S+)\s+{_COLOR}\s+([0-9]{{1,3}})")


@dataclass(frozen=True, slots=True)
class Label:
    """A number of a label image.

    Attributes
    ----------
    number : int
        From 1; 0 is the background.
    name : str
    color : (int, int, int)
        Red, green and blue, 0 to 255.
    """

    number: int
    name: str
    color: tuple[int, int, int]


def write_label_description(labels: Sequence[Label], path: Path) -> None:
    """Write ITK-SNAP's label description."""
    lines = [_itksnap_line(0, (0, 0, 0), is_visible=False, name="Clear Label")]
    # Names in this format cannot contain quotation marks.
    lines += [
        _itksnap_line(label.number, label.color, is_visible=True, name=label.name.replace('"', "'")) for label in labels
    ]
    path.write_text(_ITKSNAP_HEADER + "".join(lines), encoding="utf-8")


def _itksnap_line(number: int, color: tuple[int, int, int], *, is_visible: bool, name: str) -> str:
    red, green, blue = color
    flag = int(is_visible)
    return f'{number:5}  {red:4} {green:4} {blue:4}  {flag:7}  {flag}  {flag}    "{name}"\n'


def write_color_table(labels: Sequence[Label], path: Path) -> None:
    """Write 3D Slicer's color table."""
    lines = ["# Color table file\n", f"# {len(labels) + 1} values\n", "0 Background 0 0 0 0\n"]
    lines += [
        f"{label.number} {'_'.join(label.name.split())} {' '.join(map(str, label.color))} 255\n" for label in labels
    ]
    path.write_text("".join(lines), encoding="utf-8")


LABEL_FORMATS: tuple[FileFormat[Sequence[Label]], ...] = (
    FileFormat(".label.txt", "ITK-SNAP label description", write_label_description),
    FileFormat(".ctbl", "3D Slicer color table", write_color_table),
)


def read_labels(path: Path) -> tuple[Label, ...]:
    """The labels of a file in one of `LABEL_FORMATS`, without the background, in the order of the file.

    Underscores in the names of a color table stand for spaces.

    Raises
    ------
    InputError
        If the ending is not that of a label file, or the file cannot be read.
    FormatError
        If a line is not valid, or a number occurs twice.
    """
    is_slicer = format_of(path, LABEL_FORMATS) is LABEL_FORMATS[1]
    what = shown_path(path)
    text = decoded(decompressed(read_input_file(path, max_bytes=_MAX_BYTES), what=what), what=what)
    labels: dict[int, Label] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        content = line.strip()
        if not content or content.startswith("#"):
            continue
        label = _slicer_label(content) if is_slicer else _itksnap_label(content)
        if label is None or max(label.color) > 255:
            raise FormatError(f"{what}, line {number} is not a label: {quoted(content)}")
        if label.name:
            checked_text(label.name, field="the name", what=f"{what}, line {number}")
        if label.number in labels:
            raise FormatError(f"{what}, line {number}: the label {shown(label.number)} occurs twice")
        labels[label.number] = label
    return tuple(label for label in labels.values() if label.number > 0)


def _itksnap_label(line: str) -> Label | None:
    found = _ITKSNAP_LINE.fullmatch(line)
    if found is None:
        return None
    number, red, green, blue = (int(each) for each in found.groups()[:4])
    return Label(number, found[8], (red, green, blue))


def _slicer_label(line: str) -> Label | None:
    found = _SLICER_LINE.fullmatch(line)
    if found is None:
        return None
    red, green, blue = (int(each) for each in found.groups()[2:5])
    return Label(int(found[1]), found[2].replace("_", " "), (red, green, blue))
