"""Experiment lists in their four shapes: ApiConnectivity, the source search, the web site's CSV and its 2016 form.

All are turned into rows of one of two JSON shapes first (a CSV row becomes what the source search would have sent), so
that one function checks every value.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from bsv_store.catalog.records import LISTED_TEXTS, ExperimentList, ExperimentRecord, LineRecord
from bsv_store.errors import FormatError
from bsv_store.formats.envelope import read_json, rows_of
from bsv_store.formats.fields import (
    DAMAGED_HINT,
    checked_amount,
    checked_id,
    checked_text,
    csv_rows,
    decoded,
    delimiter_of,
    float_from_text,
    int_from_text,
    optional_text,
    quoted,
    whole,
)
from bsv_store.formats.input_file import decompressed
from bsv_store.vocabulary import ExperimentSourceKind
from bsv_store.volumes.grid import ARRAY_AXES, EXTENT_UM


@dataclass(frozen=True, slots=True)
class _Shape:
    """Field names of one JSON shape."""

    id: str
    structure_id: str
    acronym: str
    specimen: str
    product: str
    volume: str
    structures: str
    line: str
    coordinates: tuple[str, ...]

    @property
    def required(self) -> frozenset[str]:
        # Missing fields must be an error, because an experiment without a line is wild type.
        return frozenset((self.id, self.structure_id, self.acronym, self.volume, self.structures, self.line))


_API = _Shape(
    id="data_set_id",
    structure_id="structure_id",
    acronym="structure_abbrev",
    specimen="specimen_name",
    product="product_id",
    volume="injection_volume",
    structures="injection_structures",
    line="transgenic_line",
    coordinates=("injection_x", "injection_y", "injection_z"),
)
_SEARCH = _Shape(
    id="id",
    structure_id="structure-id",
    acronym="structure-abbrev",
    specimen="name",
    product="product-id",
    volume="injection-volume",
    structures="injection-structures",
    line="transgenic-line",
    coordinates=("injection-coordinates",),
)

_CSV_COLUMNS = (
    "id",
    "transgenic-line",
    "product-id",
    "structure-id",
    "structure-abbrev",
    "name",
    "injection-volume",
    "injection-structures",
    "gender",
    "strain",
    "sum",
    "injection-coordinates",
)
_CSV_INTS = ("id", "product-id", "structure-id")
_CSV_FLOATS = ("injection-volume", "sum")
_HINT_SHAPES = "Expected are an ApiConnectivity list, a reply of the source search, or the web site's CSV export."
_SLASHED_IDS = re.compile(r"[0-9]{1,19}(?:/[0-9]{1,19})*")
# A string without an end is one token too, so that its rest is not searched again from each quotation mark.
_RUBY_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\Z)|=>|\bnil\b')
_RUBY_TO_JSON = {"=>": ":", "nil": "null"}


def read_experiments(body: bytes, *, what: str, upstream_date: date | None = None) -> ExperimentList:
    """The experiments in a file or reply of any of the four shapes.

    Parameters
    ----------
    body : bytes
        ApiConnectivity (a bare list or the RMA envelope), a source search reply, or one of the web site's CSV exports;
        optionally compressed with gzip.
    what : str
        Name of the file or reply, for errors.
    upstream_date : datetime.date, optional
        Day of the list at its source, if known.

    Returns
    -------
    ExperimentList
        Sorted by id, rows of one id merged. Its kind is ``csv_2016`` for an export in the older registration, which is
        recognized by its filled num-voxels column and http page addresses.

    Raises
    ------
    EnvelopeError
        If the reply reports failure or is one page of several.
    FormatError
        If it is not such a list, is empty or truncated, is missing columns, mixes two registrations, has a value of a
        wrong type or out of range, or an id occurs twice with differences other than the line. Also if it contains rows
        of AllenSDK's ``get_experiments``, or is from a cache of AllenSDK 0.13 or older.
    """
    body = decompressed(body, what=what)
    if body.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"[", b"{"):
        value = read_json(body, what=what)
        _refuse_simplified(_names(value), what=what)
        if isinstance(value, dict) and value and all(key.isdecimal() for key in value):
            raise FormatError(
                f"{what} has rows by experiment id, as written by old versions of AllenSDK; it must be an "
                "experiment list",
                hint=_SDK_HINT,
            )
        return experiments_from_rows(rows_of(value, what=what), what=what, upstream_date=upstream_date)
    kind, rows = _rows_from_csv(body, what=what)
    return _listed(rows, _SEARCH, kind, what=what, upstream_date=upstream_date)


def experiments_from_rows(
    rows: Sequence[Mapping[str, Any]], *, what: str, upstream_date: date | None = None
) -> ExperimentList:
    """The experiments in rows of the API, from one reply or several pages.

    Parameters
    ----------
    rows : sequence of mapping
        ApiConnectivity rows or source search rows (hyphenated keys), all of one shape.
    what : str
        Name of the source, for errors.
    upstream_date : datetime.date, optional
        Day of the list at its source, if known.

    Raises
    ------
    FormatError
        As `read_experiments` does.
    """
    if not rows:
        raise FormatError(f"{what} contains no experiment", hint=_HINT_SHAPES)
    shape = _API if _API.id in rows[0] else _SEARCH
    if shape is _SEARCH and {shape.id, shape.structure_id} <= rows[0].keys() and shape.volume not in rows[0]:
        raise FormatError(f"{what} has no {shape.volume}: {_OLD_CACHE}", hint=_OLD_HINT)
    if shape.id not in rows[0] or shape.structure_id not in rows[0]:
        raise FormatError(
            f"{what} is not an experiment list: its first row is missing {shape.structure_id}; "
            f"it has {quoted(sorted(rows[0]))}",
            hint=_HINT_SHAPES,
        )
    return _listed(rows, shape, "api", what=what, upstream_date=upstream_date)


# A field that AllenSDK adds to the rows it returns; Allen's lists do not have it.
_SDK_FIELD = "primary_injection_structure"
_SDK_HINT = (
    "Adopt the cache folder of AllenSDK, ingest its experiments.json, or download the list: "
    "`bsv-store sync experiments`."
)


def _names(value: Any) -> set[str]:
    """The field names of rows in any orientation: a list of rows, rows by id, or columns."""
    if isinstance(value, list):
        return set(value[0]) if value and isinstance(value[0], dict) else set()
    if isinstance(value, dict) and "msg" not in value:
        first = next(iter(value.values()), None)
        return {*value, *(first if isinstance(first, dict) else ())}
    return set()


def _refuse_simplified(names: Collection[str], *, what: str) -> None:
    if _SDK_FIELD in names:
        raise FormatError(
            f"{what} has rows of AllenSDK's get_experiments(), which do not have the types of the transgenic lines "
            "and may be incomplete",
            hint=_SDK_HINT,
        )


def refuse_old_cache(manifest: bytes, *, what: str) -> None:
    """Refuse the experiment list of a cache of AllenSDK 0.13 or older, whose manifest has version 1.2 or less.

    Raises
    ------
    FormatError
        If the manifest has such a version. Other bodies are not checked.
    """
    try:
        entries = read_json(manifest, what=what)["manifest"]
        versions = [entry["value"] for entry in entries if entry.get("type") == "manifest_version"]
        version = float(versions[0]) if versions else None
    except (FormatError, TypeError, KeyError, ValueError, AttributeError):
        return
    if version is not None and version <= _OLD_MANIFEST:
        raise FormatError(f"{what} is of version {version:g}: {_OLD_CACHE}", hint=_OLD_HINT)


_OLD_MANIFEST = 1.2
_OLD_CACHE = "the cache was written by AllenSDK 0.13 or older, whose experiment list uses an older registration"
_OLD_HINT = "Download the current list: `bsv-store sync experiments`."


def _listed(
    rows: Sequence[Mapping[str, Any]],
    shape: _Shape,
    kind: ExperimentSourceKind,
    *,
    what: str,
    upstream_date: date | None,
) -> ExperimentList:
    if not rows:
        raise FormatError(f"{what} contains no experiment", hint=_HINT_SHAPES)
    merged: dict[int, ExperimentRecord] = {}
    for row in rows:
        record = _record(row, shape, what=what)
        earlier = merged.get(record.id)
        merged[record.id] = record if earlier is None else _merged(earlier, record, what=what)
    experiments = tuple(merged[experiment_id] for experiment_id in sorted(merged))
    return ExperimentList(kind=kind, experiments=experiments, rows=len(rows), upstream_date=upstream_date)


def _record(row: Mapping[str, Any], shape: _Shape, *, what: str) -> ExperimentRecord:
    experiment_id = checked_id(row.get(shape.id), field="an experiment's id", what=what)
    here = f"{what}, experiment {experiment_id}"
    if missing := sorted(shape.required - row.keys()):
        raise FormatError(f"{here} is missing {', '.join(missing)}", hint=_HINT_SHAPES)
    product = row.get(shape.product)
    ap, dv, ml = _coordinates(row, shape, what=here)
    return ExperimentRecord(
        id=experiment_id,
        primary_structure_id=checked_id(row[shape.structure_id], field=shape.structure_id, what=here),
        primary_structure_acronym=checked_text(_stripped(row[shape.acronym]), field=shape.acronym, what=here),
        specimen_name=_text(row.get(shape.specimen), field=shape.specimen, what=here),
        product_id=None if product is None else checked_id(product, field=shape.product, what=here),
        injection_volume=checked_amount(row[shape.volume], field=shape.volume, what=here),
        injection_ap=ap,
        injection_dv=dv,
        injection_ml=ml,
        projection_volume=checked_amount(row.get("sum"), field="sum", what=here),
        injection_structure_ids=_structure_ids(row[shape.structures], field=shape.structures, what=here),
        lines=_lines(row, shape, what=here),
        **{name: _text(row.get(key), field=key, what=here) for name, key in LISTED_TEXTS.items()},
    )


def _text(value: object, *, field: str, what: str) -> str | None:
    """A string stripped of blanks; None if it is empty."""
    return optional_text(_stripped(value), field=field, what=what)


def _stripped(value: object) -> object:
    return value.strip(" ") if isinstance(value, str) else value


def _coordinates(row: Mapping[str, Any], shape: _Shape, *, what: str) -> tuple[int, int, int] | tuple[None, None, None]:
    """The injection point in um; unknown only if all three coordinates are absent or 0."""
    if len(shape.coordinates) == 1:
        values = row.get(shape.coordinates[0])
        if values is None or values == []:
            return None, None, None
        if not isinstance(values, list) or len(values) != len(ARRAY_AXES):
            raise FormatError(
                f"{what}: {shape.coordinates[0]} is {quoted(values)}, not three numbers", hint=DAMAGED_HINT
            )
    else:
        values = [row.get(name) for name in shape.coordinates]
    values = [whole(value) for value in values]
    if all(value is None or (type(value) is int and value == 0) for value in values):
        return None, None, None
    for axis, value, extent in zip(ARRAY_AXES, values, EXTENT_UM, strict=True):
        if type(value) is not int:
            raise FormatError(
                f"{what}: the {axis} injection coordinate is {quoted(value)}, not a whole number of um",
                hint=DAMAGED_HINT,
            )
        if not 0 <= value < extent:
            raise FormatError(
                f"{what}: the {axis} injection coordinate {value} um is outside the CCFv3 box (0 to {extent})",
                hint="Coordinates are um from the anterior-superior-left corner, not voxel indices.",
            )
    ap, dv, ml = values
    return ap, dv, ml


def _structure_ids(value: object, *, field: str, what: str) -> tuple[int, ...]:
    """From "502/926", or from a list of ids or of objects with an id."""
    ids: list[object]
    if value is None or value == "":
        ids = []
    elif isinstance(value, str) and _SLASHED_IDS.fullmatch(value):
        ids = [int(part) for part in value.split("/")]
    elif isinstance(value, list):
        ids = [entry.get("id") if isinstance(entry, dict) else entry for entry in value]
    else:
        raise FormatError(f"{what}: {field} is {quoted(value)}, not a list of structures", hint=DAMAGED_HINT)
    return tuple(sorted({checked_id(entry, field=f"an id in {field}", what=what) for entry in ids}))


def _lines(row: Mapping[str, Any], shape: _Shape, *, what: str) -> tuple[LineRecord, ...]:
    line = _stripped(row[shape.line])
    if line is None or line == "":
        if row.get("transgenic_line_id") is not None:
            raise FormatError(
                f"{what} has a transgenic_line_id, but no transgenic_line",
                hint="Request complete ApiConnectivity rows from the API.",
            )
        return ()
    if isinstance(line, str):
        return (LineRecord(checked_text(line, field=shape.line, what=what)),)
    if not isinstance(line, dict):
        raise FormatError(f"{what}: {shape.line} is {quoted(line)}, neither a name nor an object", hint=DAMAGED_HINT)
    line_id = line.get("id")
    name = checked_text(_stripped(line.get("name")), field="name of the transgenic line", what=what)
    here = f"{what}, line {quoted(name)}"
    return (
        LineRecord(
            name=name,
            allen_id=None if line_id is None else checked_id(line_id, field="id of the line", what=here),
            type_name=_text(line.get("transgenic_line_type_name"), field="transgenic_line_type_name", what=here),
            description=optional_text(line.get("description"), field="description", what=here, prose=True),
            stock_number=_text(line.get("stock_number"), field="stock_number", what=here),
        ),
    )


def _merged(earlier: ExperimentRecord, later: ExperimentRecord, *, what: str) -> ExperimentRecord:
    if replace(earlier, lines=()) != replace(later, lines=()):
        differing = [
            name
            for name in ExperimentRecord.__dataclass_fields__
            if name != "lines" and getattr(earlier, name) != getattr(later, name)
        ]
        raise FormatError(
            f"{what} has the experiment {earlier.id} twice, with different {', '.join(differing)}", hint=DAMAGED_HINT
        )
    lines = {line.name: line for line in earlier.lines}
    for line in later.lines:
        if lines.setdefault(line.name, line) != line:
            raise FormatError(
                f"{what}: experiment {earlier.id} has two different lines with the name {quoted(line.name)}",
                hint=DAMAGED_HINT,
            )
    return replace(earlier, lines=tuple(lines[name] for name in sorted(lines)))


def _rows_from_csv(body: bytes, *, what: str) -> tuple[ExperimentSourceKind, list[dict[str, Any]]]:
    _refuse_simplified(_csv_names(body, what=what), what=what)
    header, rows = csv_rows(body, what=what)
    if missing := [name for name in _CSV_COLUMNS if name not in header]:
        raise FormatError(
            f"{what} is not an experiment list: it is missing the columns {', '.join(missing)}", hint=_HINT_SHAPES
        )
    kind = _registration(header, rows, what=what)
    return kind, [_typed(row, what=what) for row in rows]


def _csv_names(body: bytes, *, what: str) -> list[str]:
    """The names in the first line, possibly with duplicates: AllenSDK's frames have the id as index and as column."""
    first = next((line for line in decoded(body, what=what).splitlines() if line.strip()), "")
    return [name.strip('" ') for name in first.split(delimiter_of(first))]


def _registration(header: Sequence[str], rows: Sequence[Mapping[str, str]], *, what: str) -> ExperimentSourceKind:
    """The current export has empty num-voxels, https links and lower-case colors; that of 2016 does not."""
    if not {"num-voxels", "experiment_page_url"} & set(header):
        raise FormatError(
            f"{what} is missing the columns num-voxels and experiment_page_url, which identify its registration",
            hint="Use the unmodified export of the web site, with all columns.",
        )
    old = sum(
        row.get("num-voxels", "").strip() != "" or row.get("experiment_page_url", "").startswith("http://")
        for row in rows
    )
    if 0 < old < len(rows):
        raise FormatError(
            f"{what} mixes two registrations: {old} of {len(rows)} rows are from the older one",
            hint="Their coordinates must not be mixed: load the two exports separately.",
        )
    return "csv_2016" if old else "csv"


def _typed(row: Mapping[str, str], *, what: str) -> dict[str, Any]:
    """The CSV row in the form of the source search."""
    here = f"{what}, experiment {quoted(row['id'], limit=20)}"
    page = row.get("experiment_page_url", "")
    if page and page.rpartition("/")[2] != str(int_from_text(row["id"], field="id", what=here)):
        raise FormatError(f"{here}: its page is that of another experiment: {quoted(page)}", hint=DAMAGED_HINT)
    typed: dict[str, Any] = dict(row)
    for name in _CSV_INTS:
        typed[name] = int_from_text(row[name], field=name, what=here)
    for name in _CSV_FLOATS:
        typed[name] = float_from_text(row[name], field=name, what=here)
    for name in ("injection-coordinates", "injection-structures"):
        typed[name] = _ruby(row[name], what=f"{here}: {name}")
    return typed


def _ruby(text: str, *, what: str) -> Any:
    """The value of a Ruby literal of lists, hashes with string keys, strings and numbers."""
    if not text.strip():
        return None
    # Strings are tokens too, so that arrows inside them are not changed.
    as_json = _RUBY_TOKEN.sub(lambda token: _RUBY_TO_JSON.get(token[0], token[0]), text)
    return read_json(as_json.encode(), what=what)
