"""ProjectionStructureUnionize rows, column by column: API replies, AllenSDK's CSV, Brain Street View's summaries.

An atlas has millions of rows, so Python loops run over columns only, not over values. Measured with forty real tables:
300,000 rows/s from CSV; from JSON 165,000 rows/s for one experiment's reply, 94,000 for all forty in one 60 MB reply.
The JSON parser of the standard library alone reaches 230,000 and 180,000.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bsv_store.catalog.records import UNIONIZE_COLUMNS, UNIONIZE_FIELDS, UnionizeTable
from bsv_store.catalog.unionize_arithmetic import MOST_DIGITS, decimals_of
from bsv_store.errors import FormatError
from bsv_store.formats.delimited import plain_lines
from bsv_store.formats.envelope import read_json, rows_of
from bsv_store.formats.fields import DAMAGED_HINT, check_columns, decoded, looks_like_html, quoted
from bsv_store.formats.input_file import decompressed
from bsv_store.text import number_of
from bsv_store.vocabulary import HEMISPHERES, MEASURED_HEMISPHERES, UnionizePart
from bsv_store.volumes.grid import EXTENT_UM, MIDLINE_UM

_Columns = dict[str, NDArray[Any]]

BOTH_PARTS: frozenset[UnionizePart] = frozenset(("injection", "projection"))

_API_ID = "section_data_set_id"
_OUR_ID = "experiment_id"
BSV_ID = "experimentID"
"""Brain Street View's own copy of the id in every row of its summaries."""

_PYTHON_TYPES: dict[str, frozenset[type]] = {
    "i8": frozenset((int, float)),
    "f8": frozenset((int, float)),
    "?": frozenset((bool,)),
}
_IDS = ("experiment_id", "structure_id", "id")
_FRACTIONS = ("projection_density", "max_voxel_density")
_MAX_VOXEL = ("max_voxel_x", "max_voxel_y", "max_voxel_z")
_FLOATS = tuple(column for _, column, kind in UNIONIZE_FIELDS if kind == "f8")
_ROUNDING = 1e-6
# Forty real tables have 734 or more rows of one hemisphere with signal, 12 or more of them in the injection half.
_MANY_ROWS = 20
# Spreadsheets write numbers with six significant digits.
_ENOUGH_DIGITS = 6
# Up to here a float is an exact integer.
_EXACT = 2.0**53
# Left, right, both.
_ABSOLUTE = sorted((row.unionize_id or 0, row.name) for row in MEASURED_HEMISPHERES.values() if not row.is_relative)
_BOTH = MEASURED_HEMISPHERES["both"].unionize_id
# Number of rows whose dicts fit into the processor's cache while the 19 columns are collected.
_BLOCK = 1024
# One character more than "False", so that a longer word is not truncated to it.
_BOOL_TEXT = "U6"
_TRUE, _FALSE = ("True", "true", "TRUE", "t", "1", "1.0"), ("False", "false", "FALSE", "f", "0", "0.0")


def read_unionizes(body: bytes, *, what: str, parts: frozenset[UnionizePart] | None = None) -> UnionizeTable:
    """The unionize rows in a file or reply.

    Parameters
    ----------
    body : bytes
        An RMA reply, a bare list of its rows, AllenSDK's structure_unionizes.csv, Brain Street View's
        injectionSummary_all.json, or such a table as pandas saves it (``to_csv``, ``to_json``). Optionally
        compressed with gzip. In CSV, cells may be quoted, separated by semicolons or tabs, and have decimal commas.
    what : str
        Name of the file or reply, for errors.
    parts : frozenset of UnionizePart, optional
        Halves of each experiment's table that the source is known to contain completely, for example because only
        injection rows were requested. By default they are determined from the rows, see `unionize_table_from_rows`.

    Returns
    -------
    UnionizeTable
        Sorted by key, keys unique, every number finite. Without any row it is empty, and ``parts`` is what was given.

    Raises
    ------
    EnvelopeError
        If the reply reports failure or is one page of several.
    FormatError
        If it is not a unionize table, is truncated, is missing fields, has values of a wrong type or out of range, or
        duplicate keys.
    """
    body = decompressed(body, what=what)
    if body.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"[", b"{"):
        return unionize_table_from_rows(_rows_from_json(body, what=what), parts=parts, what=what)
    columns = _checked_columns(_columns_from_csv(body, what=what), what=what)
    _check_sides(columns, what=what)
    return _table(columns, parts, what=what)


def unionize_table_from_rows(
    rows: Sequence[Mapping[str, Any]], parts: frozenset[UnionizePart] | None = None, *, what: str
) -> UnionizeTable:
    """The unionize table of rows of the API, from one reply or several pages.

    Parameters
    ----------
    rows : sequence of mapping
        With the 19 fields of ProjectionStructureUnionize; ``experiment_id`` may stand for ``section_data_set_id``, and
        further keys are ignored.
    parts : frozenset of UnionizePart, optional
        Halves known to be complete. By default the halves of which every experiment has rows, for a complete table
        always has rows in both.
    what : str
        Name of the source, for errors.

    Raises
    ------
    FormatError
        As `read_unionizes` does.
    """
    columns = _checked_columns(_columns_from_rows(rows, what=what), what=what)
    if parts is None and rows and BSV_ID in rows[0] and bool(columns["is_injection"].all()):
        parts = frozenset(("injection",))
    _check_sides(columns, what=what)
    return _table(columns, parts, what=what)


def _rows_from_json(body: bytes, *, what: str) -> list[dict[str, Any]]:
    """The rows of a reply, or of a table that pandas or an older AllenSDK saved by column or by row id."""
    value = read_json(body, what=what)
    if not isinstance(value, dict) or "msg" in value or not value:
        return rows_of(value, what=what)
    if value.keys() >= {"columns", "data"} and isinstance(value["columns"], list) and isinstance(value["data"], list):
        names, lists = value["columns"], value["data"]
        are_names = all(isinstance(name, str) for name in names)
        if are_names and all(isinstance(cells, list) and len(cells) == len(names) for cells in lists):
            return [dict(zip(names, cells, strict=True)) for cells in lists]
    entries = list(value.values())
    if not all(isinstance(entry, dict) for entry in entries):
        return rows_of(value, what=what)
    if "structure_id" not in value:
        return entries
    keys = list(entries[0])
    if any(list(entry) != keys for entry in entries):
        raise FormatError(f"{what}: all columns must have the same rows", hint=DAMAGED_HINT)
    return [dict(zip(value, cells, strict=True)) for cells in zip(*(entry.values() for entry in entries), strict=True)]


def _columns_from_rows(rows: Sequence[Mapping[str, Any]], *, what: str) -> _Columns:
    if not rows:
        return {column: np.empty(0, kind) for _, column, kind in UNIONIZE_FIELDS}
    id_field = _API_ID if _API_ID in rows[0] else _OUR_ID
    # Use the key objects of the parser: a lookup by an equal string would compare characters, two million times.
    own_keys = {key: key for key in rows[0]}
    fields = [id_field if field == _API_ID else field for field, _, _ in UNIONIZE_FIELDS]
    getters = [itemgetter(own_keys.get(field, field)) for field in fields]
    cells: list[list[Any]] = [[] for _ in fields]
    try:
        for start in range(0, len(rows), _BLOCK):
            block = rows[start : start + _BLOCK]
            for column_cells, get in zip(cells, getters, strict=True):
                column_cells.extend(map(get, block))
    except KeyError as error:
        raise FormatError(f"{what}: a unionize row is missing {quoted(error.args[0])}", hint=_HINT_ROWS) from error
    columns: _Columns = {}
    for field, (_, column, kind), column_cells in zip(fields, UNIONIZE_FIELDS, cells, strict=True):
        columns[column] = _array(column_cells, kind, field=field, what=what)
    if BSV_ID in rows[0] and any(str(row.get(BSV_ID)) != str(row[id_field]) for row in rows):
        raise FormatError(f"{what}: {BSV_ID} and {id_field} name different experiments", hint=DAMAGED_HINT)
    return columns


def _array(cells: Sequence[Any], kind: str, *, field: str, what: str) -> NDArray[Any]:
    if not _PYTHON_TYPES[kind].issuperset(map(type, cells)):
        wrong = next(cell for cell in cells if type(cell) not in _PYTHON_TYPES[kind])
        wanted = {"i8": "a whole number", "f8": "a number", "?": "true or false"}[kind]
        raise FormatError(f"{what}: {field} is {quoted(wrong)}, not {wanted}", hint=DAMAGED_HINT)
    try:
        if kind == "i8" and float in set(map(type, cells)):
            return _whole_numbers(np.array(cells, dtype="f8"), field=field, what=what)
        return np.array(cells, dtype=kind)
    except OverflowError as error:
        raise FormatError(f"{what}: a value of {field} is out of range", hint=DAMAGED_HINT) from error


def _whole_numbers(values: NDArray[np.float64], *, field: str, what: str) -> NDArray[np.int64]:
    """Convert integral floats, such as 2.0, to integers."""
    with np.errstate(invalid="ignore"):
        wrong = ~((np.floor(values) == values) & (np.abs(values) <= _EXACT))
    if wrong.any():
        example = float(values[np.argmax(wrong)])
        raise FormatError(f"{what}: {field} must be an integer, got {example!r}", hint=DAMAGED_HINT)
    return values.astype(np.int64)


def _columns_from_csv(body: bytes, *, what: str) -> _Columns:
    if looks_like_html(body):
        raise FormatError(f"{what} is a web page, not a CSV file", hint=DAMAGED_HINT)
    text = decoded(body, what=what)
    if not text.endswith("\n"):
        # A file truncated inside its last number would otherwise pass with a wrong value.
        raise FormatError(f"{what} is empty or ends in the middle of a line: it is truncated", hint=DAMAGED_HINT)
    lines = plain_lines(text, what=what)
    header = _csv_header(lines[0], what=what)
    commas = lines[0].count(",")
    for number, line in enumerate(lines[1:], start=2):
        if line.count(",") != commas:
            raise FormatError(
                f"{what}, line {number}: {line.count(',') + 1} cells instead of {commas + 1}", hint=DAMAGED_HINT
            )
    columns = _parsed_columns(lines[1:], header, what=what)
    columns["is_injection"] = _booleans(columns["is_injection"], what=what)
    return {column: np.ascontiguousarray(columns[column]) for column in UNIONIZE_COLUMNS}


def _csv_header(line: str, *, what: str) -> list[str]:
    try:
        cells = next(csv.reader([line], strict=True), [])
    except csv.Error as error:
        raise FormatError(f"{what} is not a CSV file: {error}", hint=DAMAGED_HINT) from error
    header = [_OUR_ID if name == _API_ID else name for name in cells]
    if missing := [name for name in UNIONIZE_COLUMNS if name not in header]:
        raise FormatError(
            f"{what} is not a unionize table: it is missing the columns {', '.join(missing)}", hint=_HINT_ROWS
        )
    check_columns(header, what=what)
    return header


def _parsed_columns(lines: Sequence[str], header: Sequence[str], *, what: str) -> _Columns:
    kinds = {column: _BOOL_TEXT if kind == "?" else kind for _, column, kind in UNIONIZE_FIELDS}
    try:
        return _parsed_cells(lines, header, kinds)
    except (ValueError, IndexError, OverflowError) as error:
        integers = [name for name, kind in kinds.items() if kind == "i8"]
        try:
            # Integers may be written as floats, such as 2.0.
            columns = _parsed_cells(lines, header, {**kinds, **dict.fromkeys(integers, "f8")})
        except (ValueError, IndexError, OverflowError):
            message = f"{what} is not a unionize table: {quoted(str(error))}"
            raise FormatError(message, hint=DAMAGED_HINT) from error
        for name in integers:
            columns[name] = _whole_numbers(columns[name], field=name, what=what)
        return columns


def _parsed_cells(lines: Sequence[str], header: Sequence[str], kinds: Mapping[str, str]) -> _Columns:
    # Other columns are read as one character of text, since NumPy cannot skip a field of a structure.
    layout = np.dtype([(f"{name}|{place}", kinds.get(name, "U1")) for place, name in enumerate(header)])
    # np.loadtxt converts digits exactly, as float() does, and refuses everything that is not a number.
    cells = np.loadtxt(lines, delimiter=",", dtype=layout, comments=None, ndmin=1) if lines else np.empty(0, layout)
    return {name: cells[f"{name}|{place}"] for place, name in enumerate(header) if name in kinds}


def _booleans(words: NDArray[Any], *, what: str) -> NDArray[np.bool_]:
    true = np.isin(words, _TRUE)
    if not (true | np.isin(words, _FALSE)).all():
        wrong = words[~(true | np.isin(words, _FALSE))][0]
        raise FormatError(f"{what}: is_injection is {quoted(str(wrong))}, neither True nor False", hint=DAMAGED_HINT)
    return true


def _checked_columns(columns: _Columns, *, what: str) -> _Columns:
    """Validate all values and sort the columns by key."""
    for name in _IDS:
        _refuse(columns, name, columns[name] <= 0, "is not an id", what=what)
    hemisphere = columns["hemisphere_id"]
    _refuse(columns, "hemisphere_id", (hemisphere < 1) | (hemisphere > 3), "is not 1, 2 or 3", what=what)
    for name in _FLOATS:
        _refuse(columns, name, ~np.isfinite(columns[name]), "is not finite", what=what)
        _refuse(columns, name, columns[name] < 0, "is negative", what=what)
    for name in _FRACTIONS:
        _refuse(columns, name, columns[name] > 1 + _ROUNDING, "is above 1", what=what)
    for name, extent in zip(_MAX_VOXEL, EXTENT_UM, strict=True):
        outside = (columns[name] < 0) | (columns[name] >= extent)
        _refuse(columns, name, outside, f"is outside the CCFv3 box (0 to {extent} um)", what=what)
    _check_densest_voxels(columns, what=what)
    return _sorted_by_key(columns, what=what)


def _check_densest_voxels(columns: _Columns, *, what: str) -> None:
    """Refuse the table of an experiment with exchanged hemispheres.

    In 40 real tables, all 50,110 densest voxels of a hemisphere lie in it. As tables are also made by hand, with
    made-up positions, a table is refused only if no row agrees, and if there are many rows with several positions.
    """
    ml = columns["max_voxel_z"]
    compared, is_right = np.zeros(ml.size, bool), ml >= MIDLINE_UM
    agrees = np.zeros(ml.size, bool)
    for name, row in HEMISPHERES.items():
        of_side = (columns["hemisphere_id"] == row.unionize_id) & (ml != 0)
        compared |= of_side
        agrees |= of_side & (is_right == (name == "right"))
    experiment = columns["experiment_id"]
    disagreeing, counts = np.unique(experiment[compared & ~agrees], return_counts=True)
    for i in disagreeing[counts >= _MANY_ROWS].tolist():
        own = compared & (experiment == i)
        if not agrees[own].any() and np.unique(ml[own]).size > 1:
            raise FormatError(
                f"{what}: left and right are exchanged in the table of experiment {i}: in all {own.sum()} rows of one "
                "hemisphere with signal, the densest voxel (max_voxel_z) is in the other hemisphere",
                hint=DAMAGED_HINT,
            )


def _refuse(columns: _Columns, name: str, wrong: NDArray[np.bool_], why: str, *, what: str) -> None:
    if wrong.any():
        at = int(np.flatnonzero(wrong)[0])
        raise FormatError(f"{what}, {_key(columns, at)}: {name} {columns[name][at]} {why}", hint=DAMAGED_HINT)


def _key(columns: _Columns, at: int) -> str:
    part = "injection" if columns["is_injection"][at] else "projection"
    return (
        f"experiment {columns['experiment_id'][at]}, structure {columns['structure_id'][at]}, "
        f"hemisphere {columns['hemisphere_id'][at]}, {part}"
    )


def _sorted_by_key(columns: _Columns, *, what: str) -> _Columns:
    keys = [columns[name] for name in ("is_injection", "hemisphere_id", "structure_id", "experiment_id")]
    order = np.lexsort(keys)
    ordered = {name: values[order] for name, values in columns.items()}
    if len(order) > 1:
        same = np.logical_and.reduce([key[order][1:] == key[order][:-1] for key in keys])
        if same.any():
            at = int(np.flatnonzero(same)[0])
            raise FormatError(f"{what} has a unionize row twice: {_key(ordered, at)}", hint=DAMAGED_HINT)
    return ordered


def _check_sides(columns: _Columns, *, what: str) -> None:
    """Check that left plus right equals both for every structure; columns are sorted, and a missing row counts as 0.

    They are equal within 1e-14 in all real tables, so a difference means that rows are missing or were changed. Values
    rounded to six or more significant digits are accepted.

    Raises
    ------
    FormatError
        If they differ; the message has the values of the first such structure.
    """
    experiment, structure = columns["experiment_id"], columns["structure_id"]
    if not len(experiment):
        return
    starts = np.concatenate(([True], (experiment[1:] != experiment[:-1]) | (structure[1:] != structure[:-1])))
    group = np.cumsum(starts) * 2 + columns["is_injection"]
    both = columns["hemisphere_id"] == _BOTH
    for name in ("sum_pixels", "projection_volume"):
        total = np.bincount(group, np.where(both, columns[name], 0.0))
        sides = np.bincount(group, np.where(both, 0.0, columns[name]))
        difference = np.abs(total - sides)
        wrong = np.flatnonzero(difference > _ROUNDING * total)
        if not wrong.size:
            continue
        digits = _significant_digits(columns[name])
        if digits is not None and digits >= _ENOUGH_DIGITS and (difference <= 10.0 ** (1 - digits) * total).all():
            continue
        decimals = decimals_of(columns[name])
        if decimals is not None and (difference <= 1.5 * 10.0**-decimals).all():
            raise FormatError(
                f"{what}: {name} was rounded to {decimals} decimals, which is not enough: left and right do not add up "
                f"to both hemispheres for {number_of(wrong.size, 'structure')}",
                hint="Use the original table, or save it again with all digits.",
            )
        raise FormatError(
            f"{what}: left and right do not add up to both hemispheres for {number_of(wrong.size, 'structure')}, so "
            f"rows are missing or were changed: {_figures(columns, group == wrong[0], name)}",
            hint="The table may be truncated between two rows, or saved for one hemisphere. Get it again from its "
            "source.",
        )


def _figures(columns: _Columns, rows: NDArray[np.bool_], name: str) -> str:
    """The values of one structure and part in each hemisphere."""
    at = np.flatnonzero(rows)
    found = dict(zip(columns["hemisphere_id"][at].tolist(), columns[name][at].tolist(), strict=True))
    values = [f"{word} {found[side]:.8g}" if side in found else f"{word} no row" for side, word in _ABSOLUTE]
    part = "injection" if columns["is_injection"][at[0]] else "projection"
    return (
        f"experiment {columns['experiment_id'][at[0]]}, structure {columns['structure_id'][at[0]]}, {part}: {name} "
        f"{', '.join(values)}"
    )


# Numbers that are too large or too small to be scaled are not rounded ones; NumPy need not warn about them.
_unscalable_ignored = np.errstate(over="ignore", under="ignore", invalid="ignore", divide="ignore")


@_unscalable_ignored
def _significant_digits(values: NDArray[np.float64]) -> int | None:
    """The number of significant digits to which values were rounded; None if there are more than nine."""
    numbers = values[values > 0]
    exponents = np.floor(np.log10(numbers))
    for digits in range(1, MOST_DIGITS + 1):
        unit = 10.0 ** (exponents + 1 - digits)
        if (np.abs(np.round(numbers / unit) * unit - numbers) <= 1e-12 * numbers).all():
            return digits
    return None


def _table(columns: _Columns, parts: frozenset[UnionizePart] | None, *, what: str) -> UnionizeTable:
    if parts is None:
        return UnionizeTable(columns, _parts_present(columns))
    injection = columns["is_injection"]
    for part, rows in (("injection", injection), ("projection", ~injection)):
        if part not in parts and parts and rows.any():
            example = _key(columns, int(np.argmax(rows)))
            raise FormatError(
                f"{what} contains {part} rows, but only {_and(parts)} rows were expected: {example}", hint=DAMAGED_HINT
            )
    return UnionizeTable(columns, parts)


def _parts_present(columns: _Columns) -> frozenset[UnionizePart]:
    if not len(columns["experiment_id"]):
        return frozenset()
    _, which = np.unique(columns["experiment_id"], return_inverse=True)
    injection = np.bincount(which, columns["is_injection"])
    rows = np.bincount(which)
    certain: set[UnionizePart] = set()
    if (injection > 0).all():
        certain.add("injection")
    if (injection < rows).all():
        certain.add("projection")
    return frozenset(certain)


def _and(parts: Iterable[str]) -> str:
    return " and ".join(sorted(parts))


_HINT_ROWS = "Expected are the 19 fields of ProjectionStructureUnionize."
