"""Read experiment ids from a file: a plain list, JSON, or a table with a column of ids."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import Any

from bsv_store.documents import json_value
from bsv_store.errors import InputError
from bsv_store.formats.fields import decoded, delimiter_of, quoted
from bsv_store.text import MAX_ID

MAX_BYTES = 64_000_000
"""Maximum size of a file with ids, in bytes; a table of all experiments has 1 MB."""

ID_COLUMNS = ("experiment_id", "data_set_id", "section_data_set_id", "ExperimentID", "id")
"""Valid names of a column of experiment ids, in tables of this package, Allen and Brain Street View."""

_SEPARATORS = re.compile(r"[,;\s]+")
# Spreadsheets and pandas write ids as floats if a cell of the column is empty.
_ID = re.compile(r"([0-9]{1,19})(?:\.0+)?")
_HINT = f"It must be a list of ids, a JSON list, or a table with one of the columns {', '.join(ID_COLUMNS)}."


def read_ids(body: bytes, *, what: str) -> list[int]:
    """The experiment ids in a file, in the order of the file.

    Parameters
    ----------
    body : bytes
        Ids separated by commas, semicolons or white space; a JSON list of ids, or of objects with one; or a CSV table
        with a header, such as the output of ``bsv-store select --format csv``. UTF-8, with or without a byte order
        mark.
    what : str
        Name of the file, for errors.

    Raises
    ------
    InputError
        If it is none of these, or contains something other than ids.
    """
    text = decoded(body, what=what).strip()
    if text[:1] in ("[", "{"):
        return _from_json(text, what=what)
    first = text.partition("\n")[0]
    if re.search("[^0-9.,;\\s]", first):
        return _from_table(text, first, what=what)
    return ids_in_text(text, what=what)


def ids_in_text(text: str, *, what: str | None = None) -> list[int]:
    """The ids in a string, separated by commas, semicolons or white space.

    Raises
    ------
    InputError
        If it contains something other than ids.
    """
    return [_id(item, what=what) for item in _SEPARATORS.split(text) if item]


def _id(value: Any, *, what: str | None) -> int:
    number = 0
    if isinstance(value, str) and (match := _ID.fullmatch(value.strip())):
        number = int(match[1])
    elif isinstance(value, int) and not isinstance(value, bool):
        number = value
    elif isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        number = int(value)
    if not 0 < number <= MAX_ID:
        text = "an integer that is too large" if isinstance(value, int) and value > MAX_ID else quoted(value, limit=40)
        raise InputError(
            f"{what}: {text} is not a valid id" if what else f"{text} is not a valid id", hint=what and _HINT
        )
    return number


def _from_json(text: str, *, what: str) -> list[int]:
    try:
        value = json_value(text)
    except ValueError as error:
        raise InputError(f"{what} is not valid JSON: {error}", hint=_HINT) from error
    if isinstance(value, dict):
        if "version" in value:
            raise InputError(f"{what} is a selection, not a list of ids", hint="Use --selection @FILE instead.")
        raise InputError(f"{what} is a JSON object, not a list", hint=_HINT)
    found = []
    for item in value:
        if isinstance(item, dict):
            item = item[_column(item, what=what)]
        found.append(_id(item, what=what))
    return found


def _from_table(text: str, first: str, *, what: str) -> list[int]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter_of(first), strict=True)
    try:
        rows = [row for row in reader if any(row)]
    except csv.Error as error:
        raise InputError(f"{what} is not a complete CSV file: {error}", hint=_HINT) from error
    if not rows:
        raise InputError(f"{what} has no header and no rows", hint=_HINT)
    header = [name.strip() for name in rows[0]]
    at = header.index(_column(header, what=what))
    found = []
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(header):
            raise InputError(f"{what}, row {number}: {len(row)} cells instead of {len(header)}", hint=_HINT)
        found.append(_id(row[at], what=f"{what}, row {number}"))
    return found


def _column(names: Iterable[str], *, what: str) -> str:
    present: Sequence[str] = list(names)
    for name in ID_COLUMNS:
        if name in present:
            return name
    raise InputError(f"{what} has no column of experiment ids; it has {quoted(present, limit=200)}", hint=_HINT)
