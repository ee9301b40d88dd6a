"""Convert re-saved tables to their original form: gzip, blank lines, quotes, other delimiters, decimal commas.

Spreadsheets and scripts write the same table in different ways. Unambiguous files are read, others are refused.
"""

from __future__ import annotations

import csv
import zlib
from collections.abc import Collection, Sequence

from bsv_store.errors import FormatError
from bsv_store.formats.fields import DAMAGED_HINT, quoted

_GZIP = b"\x1f\x8b"
_GZIP_WINDOW = 16 + zlib.MAX_WBITS
_LIMIT_BYTES = 1 << 30
_DELIMITERS = (",", ";", "\t")


def unzipped(body: bytes, *, what: str) -> bytes:
    """Decompress a gzip body, which may have several members; other bodies are returned unchanged.

    Raises
    ------
    FormatError
        If it is truncated or damaged, or larger than 1 GiB when decompressed.
    """
    parts: list[bytes] = []
    room = _LIMIT_BYTES
    # Zeros after the last member are padding.
    while body.startswith(_GZIP):
        member = zlib.decompressobj(_GZIP_WINDOW)
        try:
            parts.append(member.decompress(body, room))
        except zlib.error as error:
            raise FormatError(f"{what} is a damaged gzip file: {error}", hint=DAMAGED_HINT) from error
        room -= len(parts[-1])
        if not member.eof:
            if room <= 0:
                raise FormatError(f"{what} must be at most {_LIMIT_BYTES >> 20:,} MiB when decompressed")
            raise FormatError(f"{what} is a truncated gzip file", hint=DAMAGED_HINT)
        body = member.unused_data.lstrip(b"\0")
        if not body:
            return b"".join(parts)
        if not body.startswith(_GZIP):
            raise FormatError(f"{what} is a damaged gzip file: other data follow its end", hint=DAMAGED_HINT)
    return body


def plain_lines(text: str, needed: Collection[str], *, what: str) -> list[str]:
    """The lines of a CSV file, the header first, with cells separated by commas and without quotes.

    Parameters
    ----------
    text : str
        Content of the file, which must end with a newline.
    needed : collection of str
        Names of required columns, used to detect the delimiter.

    Raises
    ------
    FormatError
        If a quoted cell contains the delimiter, or decimal commas are ambiguous.
    """
    lines = text.replace("\r\n", "\n").strip("\n").split("\n")
    while lines and not lines[0].strip(" ,;\t"):
        del lines[0]
    if not lines:
        raise FormatError(f"{what} is empty", hint=DAMAGED_HINT)
    delimiter = _delimiter(lines[0], needed)
    if '"' in text:
        lines = _unquoted(lines, delimiter, what=what)
    if delimiter == ",":
        return lines
    if any("," in line for line in lines):
        if any("," in cell for cell in lines[0].split(delimiter)) or any("." in line for line in lines[1:]):
            raise FormatError(
                f"{what} has both commas and points in cells separated by {quoted(delimiter)}, so the decimal "
                "separator is ambiguous",
                hint="Save it as CSV with decimal points.",
            )
        lines = [line.replace(",", ".") for line in lines]
    return [line.replace(delimiter, ",") for line in lines]


def _delimiter(header: str, needed: Collection[str]) -> str:
    names = header.replace('"', "")
    return max(_DELIMITERS, key=lambda each: len({*names.split(each)} & set(needed)))


def _unquoted(lines: Sequence[str], delimiter: str, *, what: str) -> list[str]:
    found: list[str] = []
    try:
        for number, cells in enumerate(csv.reader(lines, delimiter=delimiter, strict=True), start=1):
            if any(delimiter in cell or "\n" in cell for cell in cells):
                raise FormatError(f"{what}, line {number}: a cell contains {quoted(delimiter)}", hint=DAMAGED_HINT)
            found.append(delimiter.join(cells))
    except csv.Error as error:
        raise FormatError(f"{what} is not a complete CSV file: {error}", hint=DAMAGED_HINT) from error
    return found
