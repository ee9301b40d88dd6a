"""Re-saved CSV files of numbers in the form of the original: blank lines, quotes, other delimiters, decimal commas.

Spreadsheets and scripts write the same table in different ways. Unambiguous files are read, others are refused.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence

from bsv_store.errors import FormatError
from bsv_store.formats.fields import DAMAGED_HINT, DELIMITERS, delimiter_of, quoted


def plain_lines(text: str, *, what: str) -> list[str]:
    """The lines of a CSV file, the header first, with cells separated by commas and without quotes.

    Parameters
    ----------
    text : str
        Ends with a line end.

    Raises
    ------
    FormatError
        If a quoted cell contains the delimiter, or decimal commas are ambiguous.
    """
    lines = text.replace("\r\n", "\n").strip("\n").split("\n")
    while lines and not lines[0].strip("".join((" ", *DELIMITERS))):
        del lines[0]
    if not lines:
        raise FormatError(f"{what} is empty", hint=DAMAGED_HINT)
    delimiter = delimiter_of(lines[0])
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
