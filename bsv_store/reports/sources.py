"""From what users name (versions, experiments, selections) to what figures draw."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bsv_store.check import scalar, without
from bsv_store.datasets.version import DatasetVersion
from bsv_store.errors import InputError
from bsv_store.figures.overlay import OverlaidSource
from bsv_store.figures.region_map import RegionRow, RegionValues, checked_values
from bsv_store.figures.sources import Source, mean_of_volumes, source_of_version, source_of_volumes
from bsv_store.formats.input_file import decompressed, read_input_file, shown_path
from bsv_store.reports.anatomy import brain_of
from bsv_store.text import shown

if TYPE_CHECKING:
    import pandas as pd

    from bsv_store.catalog.selection.selection import Selection
    from bsv_store.figures.brain import Brain
    from bsv_store.store.store import Store
    from bsv_store.vocabulary import ComparisonMap, MeasuredHemisphere, Statistic, VolumeKind

SourceRef = str | int | DatasetVersion | Sequence[int]
"""A dataset version or its reference such as 'visual@1', an experiment id, or several."""

DEFAULT_KIND: VolumeKind = "projection_density"
DEFAULT_SPACING_UM = 100

# Of a table of values by structure, before and after decompression.
_MAX_BYTES = 64_000_000


def source_of(
    store: Store,
    source: SourceRef,
    *,
    groups: int | Sequence[int] | None,
    minus: int | None,
    statistic: Statistic | ComparisonMap,
    kind: VolumeKind | None,
    spacing_um: int | None,
) -> Source:
    """What a figure draws.

    Raises
    ------
    InputError
        If an argument does not apply to this kind of source.
    """
    brain_of(store)
    if isinstance(source, str | DatasetVersion):
        without("kind", "a dataset version", kind is not None)
        without("spacing_um", "a dataset version", spacing_um is not None)
        return source_of_version(store.dataset(source), groups=groups, minus=minus, statistic=statistic)
    without("groups", "experiments", groups is not None)
    without("minus", "experiments", minus is not None)
    without("statistic", "experiments", statistic != "mean")
    return source_of_volumes(
        store.database,
        store.files,
        _ids(source),
        kind=kind or DEFAULT_KIND,
        spacing_um=spacing_um or DEFAULT_SPACING_UM,
    )


def _ids(source: Any) -> int | Sequence[int]:
    source = scalar(source)
    if isinstance(source, Integral) or (
        isinstance(source, Sequence | np.ndarray) and all(isinstance(each, Integral) for each in source)
    ):
        return source  # type: ignore[return-value]
    raise InputError(
        f"source must be a dataset version, an experiment id or several ids, got {shown(source)}",
        hint="For example: 'visual@1', 158375425 or [158375425, 100141219].",
    )


def overlaid_sources(
    store: Store,
    sources: Mapping[str, SourceRef | Selection] | Sequence[SourceRef | Selection] | SourceRef,
    *,
    kind: VolumeKind | None,
    spacing_um: int | None,
) -> tuple[list[OverlaidSource], Source]:
    """The sources of an overlay, each group of a version one of its own, and all of them as one source.

    Raises
    ------
    InputError
        If there are none, or they are not on the same grid or do not have the same hemispheres.
    """
    brain_of(store)
    if isinstance(sources, str | DatasetVersion | Integral) or _is_selection(sources):
        named: list[tuple[str | None, Any]] = [(None, sources)]
    elif isinstance(sources, Mapping):
        named = [(str(label), source) for label, source in sources.items()]
    elif isinstance(sources, Sequence):
        named = [(None, source) for source in sources]
    else:
        raise InputError(
            f"sources must be a mapping of labels to sources, got {shown(sources)}",
            hint="For example: {'VISp': 'visual@1', 'VPM': 158375425}.",
        )
    overlaid: list[OverlaidSource] = []
    found: list[Source] = []
    for label, each in named:
        if isinstance(each, str | DatasetVersion):
            version = store.dataset(each)
            source = source_of_version(version)
            several = len(source.rows) > 1
            for row in source.rows:
                text = row.label if label is None else f"{label}, {row.label}" if several else label
                overlaid.append(OverlaidSource(row, text, source.quantity))
        else:
            ids = _selected(store, each)
            source = source_of_volumes(
                store.database, store.files, ids, kind=kind or DEFAULT_KIND, spacing_um=spacing_um or DEFAULT_SPACING_UM
            )
            row = source.rows[0] if len(ids) == 1 else mean_of_volumes(source)
            text = label or (source.title if len(ids) == 1 else f"{len(ids)} experiments")
            overlaid.append(OverlaidSource(row, text, source.quantity))
        found.append(source)
    if not found:
        raise InputError("sources must not be empty", hint="For example: {'VISp': 'visual@1', 'VPM': 158375425}.")
    first = found[0]
    for source in found[1:]:
        if source.grid != first.grid or source.halves != first.halves:
            raise InputError(
                "sources must have the same spacing and hemispheres, got "
                f"{first.grid.spacing_um} um ({'/'.join(first.halves)}) and "
                f"{source.grid.spacing_um} um ({'/'.join(source.halves)})",
                hint="Use versions with the same hemisphere rule, or draw each in a figure of its own.",
            )
    rows = tuple(each.row for each in overlaid)
    fingerprint = first.fingerprint if len(found) == 1 else None
    title = first.title if len(found) == 1 else ", ".join(each.label for each in overlaid)
    facts = tuple(fact for source in found for fact in source.facts)
    return overlaid, Source(title, first.quantity, rows, first.grid, first.halves, facts, fingerprint)


def _is_selection(source: object) -> bool:
    from bsv_store.catalog.selection.selection import Selection

    return isinstance(source, Selection)


def _selected(store: Store, source: Any) -> list[int]:
    if _is_selection(source):
        return list(store.select(source))
    return [int(each) for each in np.atleast_1d(np.asarray(_ids(source)))]


def row_of(label: str, values: Mapping[int, float]) -> RegionRow:
    """A row with the same values in both halves."""
    return RegionRow(label, values, values)


_SIDES: tuple[MeasuredHemisphere, MeasuredHemisphere] = ("left", "right")
_FOLDED: tuple[MeasuredHemisphere, MeasuredHemisphere] = ("contralateral", "ipsilateral")
_COUNTS = {"n": "number of experiments", "voxels": "number of voxels"}


def region_values(store: Store, values: Any, *, column: str | None, groups: int | Sequence[int] | None) -> RegionValues:
    """What a region map shows, from a mapping, a table by structure, or a dataset version.

    Raises
    ------
    InputError
        If the value is none of these, or the table does not have the columns.
    """
    brain = brain_of(store)
    if isinstance(values, str | DatasetVersion):
        without("column", "a dataset version", column is not None)
        version = store.dataset(values)
        table = store.datasets.regions(version, groups=groups)
        found = _of_table(table, brain, "mean")
        labels = {group.label: f"{group.label}  (n = {group.n})" for group in version.groups}
        rows = tuple(RegionRow(labels.get(row.label, row.label), row.left, row.right) for row in found.rows)
        count = sum(group.n for group in version.groups)
        return RegionValues(
            f"{version.ref}: mean by structure (n = {count})",
            version.quantity,
            rows,
            found.halves,
            (f"{version.ref}: {', '.join(version.rules)}, {version.grid.spacing_um} µm",),
            version.fingerprint,
        )
    import pandas as pd

    without("groups", "a table or a mapping", groups is not None)
    if isinstance(values, Path):
        values = _read_table(values)
    if isinstance(values, pd.DataFrame):
        return _of_table(values, brain, column)
    if isinstance(values, pd.Series):
        values = values.to_dict()
    if isinstance(values, Mapping):
        without("column", "a mapping", column is not None)
        return RegionValues("Values by structure", "", (row_of("", checked_values(values, brain)),), _SIDES)
    raise InputError(
        f"values must be a dataset version, a table or a mapping of structures to numbers, got {shown(values)}",
        hint="For example: 'visual@1', store.search.targets_of('visual'), or {'VISp': 0.8, 'LGd': 0.3}.",
    )


def _read_table(path: Path) -> pd.DataFrame:
    """The table in a CSV file.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    import pandas as pd

    what = shown_path(path)
    # Decompressed here, since pandas would decompress an archive of any size.
    body = decompressed(read_input_file(path, what=what, max_bytes=_MAX_BYTES), what=what, max_bytes=_MAX_BYTES)
    try:
        return pd.read_csv(io.BytesIO(body))
    except (ValueError, OverflowError, LookupError) as error:
        raise InputError(f"{what} cannot be read as a CSV file: {error}") from error


def _of_table(table: pd.DataFrame, brain: Brain, column: str | None) -> RegionValues:
    import pandas as pd

    key = next((name for name in ("structure_id", "structure") if name in table.columns), None)
    if key is None:
        raise InputError("the table must have a column structure_id or structure", hint="See store.search.targets_of.")
    measure = table.attrs.get("measure")
    quantity = _quantity(table, column)
    title = f"{quantity[:1].upper()}{quantity[1:]} by structure" if measure and quantity else "Values by structure"
    if column is None and {"ipsilateral_mean", "contralateral_mean"} <= set(table.columns):
        left, right = (_by_structure(table, key, name, brain) for name in ("contralateral_mean", "ipsilateral_mean"))
        return RegionValues(title, quantity or "mean", (RegionRow("", left, right),), _FOLDED)
    name = _column(table, column, key)
    rows = []
    halves = _SIDES
    parts = [("", table)]
    if "group_label" in table.columns:
        parts = [(str(label), part) for label, part in table.groupby("group_label", sort=False, dropna=False)]
    for label, part in parts:
        if "hemisphere" not in part.columns:
            rows.append(row_of(label, _by_structure(part, key, name, brain)))
            continue
        by_side = {
            str(side): _by_structure(of_side, key, name, brain)
            for side, of_side in part.groupby("hemisphere", dropna=False)
        }
        sides = next((pair for pair in (_SIDES, _FOLDED) if set(pair) & set(by_side)), None)
        if sides is not None:
            halves = sides
            # A half that the table does not have is not filled.
            rows.append(RegionRow(label, by_side.get(sides[0], {}), by_side.get(sides[1], {})))
        elif "both" in by_side:
            rows.append(row_of(label, by_side["both"]))
        else:
            raise InputError(
                f"the column hemisphere must be one of {', '.join((*_SIDES, *_FOLDED, 'both'))}, "
                f"got {shown(next(iter(by_side), None))}"
            )
    is_count = bool(pd.api.types.is_integer_dtype(table[name]))
    return RegionValues(title, quantity or name.replace("_", " "), tuple(rows), halves, is_count=is_count)


def _by_structure(table: pd.DataFrame, key: str, name: str, brain: Brain) -> dict[int, float]:
    """A column by structure id.

    Raises
    ------
    InputError
        If a structure has several rows, of which none is the one to draw.
    """
    repeated = table.loc[table[key].duplicated(), key]
    if len(repeated):
        raise InputError(
            f"the table has several rows for the structure {repeated.iloc[0]}",
            hint="Choose one experiment, group or hemisphere, or average them first.",
        )
    return checked_values(dict(zip(table[key], table[name], strict=True)), brain)


def _column(table: pd.DataFrame, column: str | None, key: str) -> str:
    """The column with the values."""
    import pandas as pd

    numeric = [str(name) for name in table.columns if pd.api.types.is_numeric_dtype(table[name])]
    usable = [name for name in numeric if name not in (key, "structure_id", "graph_order", "group", "voxels", "n")]
    if column is None:
        if not usable:
            raise InputError("the table has no column of numbers")
        return "mean" if "mean" in usable else usable[0]
    if column not in numeric:
        raise InputError(f"the table has no column of numbers {column!r}", hint=f"It has {', '.join(usable)}.")
    return column


def _quantity(table: pd.DataFrame, column: str | None) -> str:
    """The quantity in a column, with the unit of the table unless it is a count."""
    if column in _COUNTS:
        return _COUNTS[column]
    measure = table.attrs.get("measure")
    own = None if column is None or (measure and column.endswith("mean")) else column
    words = ", ".join(str(each).replace("_", " ") for each in (measure, own) if each)
    unit = table.attrs.get("unit")
    return f"{words} ({unit})" if unit and words else words
