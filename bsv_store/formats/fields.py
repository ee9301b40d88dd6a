"""Validation of single values in files and replies: text, ids, numbers, CSV rows.

Strings from outside are shown in terminals, SQL results and file headers, so characters that are invisible or reorder
text are refused. Quotes, commas, percent signs and the like are ordinary text: "CUL4, 5" is an acronym.
"""

from __future__ import annotations

import codecs
import csv
import io
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence

from bsv_store.errors import FormatError
from bsv_store.text import MAX_ID, ascii_text

MAX_TEXT = 255
MAX_PROSE = 10_000
MAX_COLUMNS = 1_000
"""Maximum number of columns of a CSV file; a unionize table has 19."""
DAMAGED_HINT = "The file is damaged, or its name is wrong. Get it again from its source."

# Control characters, soft hyphen, zero-width and bidirectional controls, separators, surrogates, tags.
_INVISIBLE = (
    "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e0fff"
)
_BAD_IN_PROSE = re.compile(f"[{_INVISIBLE}]")
_BAD_IN_TEXT = re.compile(f"[{_INVISIBLE}\t\n\r]")
# Spreadsheets and pandas write the ids of a column as 2.0 if one of its cells is empty.
_DIGITS = re.compile(r"([0-9]{1,19})(\.0*)?")
# Larger floats are not exact.
_MAX_EXACT = 2**53
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


def quoted(value: object, *, limit: int = 120) -> str:
    """A value for an error message: escaped, and truncated to ``limit`` characters."""
    if isinstance(value, str):
        shown = repr(value[:limit])
        return shown if len(value) <= limit else f"{shown[:-1]}...{shown[-1]}"
    shown = ascii_text(value, limit=limit)
    return shown if len(shown) <= limit else f"{shown[:limit]}..."


def checked_text(value: object, *, field: str, what: str, prose: bool = False) -> str:
    """Validate a non-empty text without hidden characters.

    Parameters
    ----------
    value : object
        As in the source.
    field, what : str
        Name the field and the file or reply in errors.
    prose : bool
        Allow line breaks, tabs and up to 10,000 characters instead of 255.

    Raises
    ------
    FormatError
        If it is not text, empty, too long, or contains control or bidirectional characters.
    """
    if not isinstance(value, str):
        raise FormatError(f"{what}: {field} is {quoted(value)}, not text", hint=DAMAGED_HINT)
    if not value:
        raise FormatError(f"{what}: {field} is empty", hint=DAMAGED_HINT)
    limit = MAX_PROSE if prose else MAX_TEXT
    if len(value) > limit:
        raise FormatError(
            f"{what}: {field} has {len(value)} characters, more than {limit}: {quoted(value, limit=40)}",
            hint=DAMAGED_HINT,
        )
    if found := (_BAD_IN_PROSE if prose else _BAD_IN_TEXT).search(value):
        raise FormatError(
            f"{what}: {field} contains the hidden character U+{ord(found.group()):04X}: {quoted(value)}",
            hint="Control and text direction characters are refused, since they can disguise a name.",
        )
    return value


def optional_text(value: object, *, field: str, what: str, prose: bool = False) -> str | None:
    """Text validated by `checked_text`; None for null and for the empty string."""
    if value is None or value == "":
        return None
    return checked_text(value, field=field, what=what, prose=prose)


def whole(value: object) -> object:
    """Convert an integral float, as in JSON written by pandas, to int; other values are returned unchanged."""
    return int(value) if type(value) is float and value.is_integer() and abs(value) < _MAX_EXACT else value


def checked_id(value: object, *, field: str, what: str) -> int:
    """Validate an id: a positive whole number below 2**63.

    Raises
    ------
    FormatError
        If it is anything else: a bool, a fraction, a string of digits.
    """
    value = whole(value)
    if type(value) is not int or not 0 < value <= MAX_ID:
        raise FormatError(f"{what}: {field} is {quoted(value)}, not an id (a positive whole number)", hint=DAMAGED_HINT)
    return value


def checked_amount(value: object, *, field: str, what: str) -> float | None:
    """Validate a finite number of at least 0, as float; None for null.

    Raises
    ------
    FormatError
        If it is not a number, negative, NaN or infinite.
    """
    if value is None:
        return None
    number = math.nan
    if type(value) is float or (type(value) is int and abs(value) <= MAX_ID):
        number = float(value)
    if not math.isfinite(number) or number < 0:
        raise FormatError(f"{what}: {field} is {quoted(value)}, not a finite number of at least 0", hint=DAMAGED_HINT)
    return number


def int_from_text(text: str, *, field: str, what: str) -> int | None:
    """The whole number in a CSV cell; None for an empty cell.

    Raises
    ------
    FormatError
        If the cell contains anything but digits, except a fraction of zero.
    """
    text = text.strip()
    if text == "":
        return None
    match = _DIGITS.fullmatch(text)
    if match and not (match[2] and int(match[1]) >= _MAX_EXACT):
        return int(match[1])
    if _NUMBER.fullmatch(text) and text.strip("0123456789"):
        raise FormatError(
            f"{what}: {field} must be an integer, got {quoted(text)}",
            hint="A program that read it as a floating-point number may have rounded it. Use the original file.",
        )
    raise FormatError(f"{what}: {field} must be an integer, got {quoted(text)}", hint=DAMAGED_HINT)


def float_from_text(text: str, *, field: str, what: str) -> float | None:
    """The number in a CSV cell; None for an empty cell.

    Raises
    ------
    FormatError
        If the cell is not a decimal number; "nan" and "inf" are not accepted.
    """
    text = text.strip()
    if text == "":
        return None
    if _NUMBER.fullmatch(text.replace(",", ".")) and "," in text:
        raise FormatError(
            f"{what}: {field} must be a number, got {quoted(text)}; its comma may separate decimals or thousands",
            hint="Save the file with decimal points.",
        )
    if not _NUMBER.fullmatch(text):
        raise FormatError(f"{what}: {field} is {quoted(text)}, not a number", hint=DAMAGED_HINT)
    return float(text)


_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def decoded(body: bytes, *, what: str) -> str:
    """Decode a UTF-8 body and remove its byte order mark.

    Raises
    ------
    FormatError
        If the bytes are not UTF-8.
    """
    if body.startswith(_UTF_16):
        raise FormatError(f"{what} is UTF-16 text", hint="Save it as UTF-8.")
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FormatError(f"{what} is not UTF-8 text (byte {error.start})", hint=DAMAGED_HINT) from error


def looks_like_html(body: bytes) -> bool:
    """Whether a body starts like HTML or XML, as error pages of servers and proxies do."""
    return body[:256].lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")


DELIMITERS = (",", ";", "\t")
"""Characters between the cells of the CSV files that are read."""


def delimiter_of(header: str) -> str:
    """The delimiter of a CSV file, given its header line: the one that gives most columns, else the comma."""
    return max(DELIMITERS, key=header.count)


def csv_rows(body: bytes, *, what: str) -> tuple[list[str], list[dict[str, str]]]:
    """Header and rows of a CSV file, all rows as long as the header.

    Cells are separated by commas, semicolons or tabs, whichever gives the header most columns. Rows without any value
    are skipped.

    Raises
    ------
    FormatError
        If it is not CSV text, is truncated, has a duplicate column, or a row of another length.
    """
    if looks_like_html(body):
        raise FormatError(f"{what} is a web page, not a CSV file", hint=DAMAGED_HINT)
    text = decoded(body, what=what)
    if not text.strip():
        raise FormatError(f"{what} is empty", hint=DAMAGED_HINT)
    if not text.endswith(("\n", "\r")):
        # A file truncated inside its last number would otherwise pass with a wrong value.
        raise FormatError(f"{what} ends in the middle of a line: it is truncated", hint=DAMAGED_HINT)
    first = next(line for line in text.splitlines() if line.strip())
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter_of(first), strict=True)
    rows = list(_numbered(reader, what=what))
    if not rows:
        raise FormatError(f"{what} is empty", hint=DAMAGED_HINT)
    header = [name.strip() for name in rows[0][1]]
    check_columns(header, what=what)
    for number, row in rows:
        if len(row) != len(header):
            raise FormatError(f"{what}, row {number}: {len(row)} cells instead of {len(header)}", hint=DAMAGED_HINT)
    return header, [dict(zip(header, row, strict=True)) for _, row in rows[1:]]


def check_columns(header: Sequence[str], *, what: str) -> None:
    """Check the names of the columns of a CSV file.

    Raises
    ------
    FormatError
        If there are more than `MAX_COLUMNS`, or two with the same name.
    """
    if len(header) > MAX_COLUMNS:
        raise FormatError(f"{what} must have at most {MAX_COLUMNS:,} columns, got {len(header):,}", hint=DAMAGED_HINT)
    if twice := sorted(name for name, count in Counter(header).items() if count > 1):
        raise FormatError(f"{what} has duplicate columns: {quoted(twice)}", hint=DAMAGED_HINT)


def _numbered(reader: Iterator[list[str]], *, what: str) -> Iterator[tuple[int, list[str]]]:
    try:
        for number, row in enumerate(reader, start=1):
            if any(cell.strip() for cell in row):
                yield number, row
    except csv.Error as error:
        raise FormatError(f"{what} is not a complete CSV file: {error}", hint=DAMAGED_HINT) from error
