"""Tables as JSON, CSV or Arrow IPC; the JSON form is described at `bsv_store.remote.protocol.TABLE_TYPE`."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from bsv_store.server.data.plain import MAX_EXACT_INTEGER, plain, plain_float
from bsv_store.text import spreadsheet_cell

if TYPE_CHECKING:
    import pandas as pd

ColumnType = Literal[
    "integer", "number", "boolean", "string", "date", "datetime", "time", "duration", "uuid", "bytes", "list", "any"
]


def flat(frame: pd.DataFrame) -> pd.DataFrame:
    """A frame with its named index as columns, and one string per column."""
    if any(name is not None for name in frame.index.names):
        frame = frame.reset_index()
    names = [_name(each) for each in frame.columns]
    return frame.set_axis(names, axis="columns")


def table_without_paths(frame: pd.DataFrame, clean: Callable[[Any], Any]) -> pd.DataFrame:
    """A copy of a table without paths of the machine in its texts."""
    found = frame.copy(deep=False)
    for place, kind in enumerate(frame.dtypes):
        if kind.kind == "O":
            found.isetitem(place, frame.iloc[:, place].map(clean).astype(object))
    return found


def _name(label: Any) -> str:
    if isinstance(label, tuple):
        return " ".join(str(part) for part in label if part not in (None, ""))
    return str(label)


def table_values(frame: pd.DataFrame) -> dict[str, Any]:
    """The columns and rows of a flat frame, as plain values."""
    columns = [_column(frame.iloc[:, place]) for place in range(frame.shape[1])]
    described = [{"name": name, "type": kind} for name, (kind, _) in zip(frame.columns, columns, strict=True)]
    rows = list(map(list, zip(*(values for _, values in columns), strict=True)))
    return {"columns": described, "rows": rows}


def column_values(frame: pd.DataFrame) -> dict[str, list[Any]]:
    """The columns of a flat frame, as plain values."""
    return {name: _column(frame.iloc[:, place])[1] for place, name in enumerate(frame.columns)}


def _column(series: pd.Series[Any]) -> tuple[ColumnType, list[Any]]:
    import pandas as pd

    types = pd.api.types
    dtype = series.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return _column(series.astype(dtype.categories.dtype))
    if types.is_bool_dtype(dtype):
        return "boolean", _with_none(series)
    if types.is_integer_dtype(dtype):
        values = _with_none(series)
        if any(each is not None and abs(each) > MAX_EXACT_INTEGER for each in values):
            values = [plain(each) for each in values]
        return "integer", values
    if types.is_float_dtype(dtype):
        # NA of the nullable dtype is NaN then.
        return "number", [plain_float(each) for each in series.astype("float64").tolist()]
    if types.is_datetime64_any_dtype(dtype):
        return "datetime", [None if pd.isna(each) else each.isoformat() for each in series]
    values = values_of(series)
    return type_of(values), [plain(each) for each in values]


def values_of(series: pd.Series[Any]) -> list[Any]:
    """The values of a column of objects; None for missing ones."""
    return [_without_missing(each) for each in series.tolist()]


def _with_none(series: pd.Series[Any]) -> list[Any]:
    values: list[Any] = series.tolist()
    return [None if gone else each for each, gone in zip(values, series.isna().tolist(), strict=True)]


def _without_missing(value: Any) -> Any:
    import pandas as pd

    return None if value is pd.NA or value is pd.NaT or (isinstance(value, float) and value != value) else value


def type_of(values: Sequence[Any]) -> ColumnType:
    """The type of a column of objects with these values."""
    kinds = {type(value) for value in values if value is not None}
    if not kinds or kinds == {str}:
        return "string"
    if kinds == {bool}:
        return "boolean"
    if kinds == {int}:
        return "integer"
    if kinds <= {int, float}:
        return "number"
    if all(issubclass(kind, datetime) for kind in kinds):
        return "datetime"
    if kinds == {date}:
        return "date"
    if kinds == {time}:
        return "time"
    if all(issubclass(kind, timedelta) for kind in kinds):
        return "duration"
    if kinds == {UUID}:
        return "uuid"
    if kinds <= {bytes, memoryview}:
        return "bytes"
    if kinds <= {list, tuple}:
        return "list"
    return "any"


def csv_bytes(frame: pd.DataFrame, *, for_spreadsheet: bool = False) -> bytes:
    """A flat frame as CSV with a header, UTF-8; without cells that a spreadsheet would take for formulas if asked."""
    if for_spreadsheet:
        frame = frame.set_axis([spreadsheet_cell(name) for name in frame.columns], axis="columns")
        for place, kind in enumerate(frame.dtypes):
            if kind.kind not in "iufb":
                frame.isetitem(place, frame.iloc[:, place].map(spreadsheet_cell))
    text: str = frame.to_csv(index=False, lineterminator="\r\n")
    return text.encode("utf-8", "replace")


def arrow_bytes(frame: pd.DataFrame) -> bytes:
    """A flat frame as an Arrow IPC stream; columns with values of several types become text. Needs pyarrow."""
    import pyarrow as pa

    def array(series: pd.Series[Any]) -> Any:
        try:
            return pa.array(series, from_pandas=True)
        except (pa.ArrowException, OverflowError):
            values = [plain(_without_missing(each)) for each in series.tolist()]
            return pa.array([None if each is None else str(each) for each in values], pa.string())

    arrays = [array(frame.iloc[:, place]) for place in range(frame.shape[1])]
    table = pa.Table.from_arrays(arrays, names=[str(name) for name in frame.columns])
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()
