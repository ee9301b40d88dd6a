"""Rows as a plain value: dicts for commands, a DataFrame for Python."""

from __future__ import annotations

from datetime import UTC, datetime

import pandas as pd

from bsv_store.catalog.tables.table import Table

COLUMNS = ("id", "count", "name", "share", "flag", "at")
DTYPES = ("int64", "Int64", "object", "float64", "boolean", "datetime64[us, UTC]")
NOW = datetime(2026, 1, 2, 3, 4, 5, 6, UTC)


def test_rows_become_dicts() -> None:
    table = Table(("id", "name"), ("int64", "object"), [(1, "a"), (2, None)])
    assert table.to_dicts() == [{"id": 1, "name": "a"}, {"id": 2, "name": None}]
    assert len(table) == 2


def test_columns_get_their_dtypes_with_and_without_rows() -> None:
    rows = [(1, 2, "a", 0.5, True, NOW), (2, None, None, None, None, NOW)]
    frame = Table(COLUMNS, DTYPES, rows).to_frame()
    empty = Table(COLUMNS, DTYPES, []).to_frame()
    for found in (frame, empty):
        assert [str(dtype) for dtype in found.dtypes] == list(DTYPES)
        assert isinstance(found.index, pd.RangeIndex)
    assert frame["name"].tolist() == ["a", None]
    assert frame["count"].isna().tolist() == frame["share"].isna().tolist() == [False, True]
    assert frame["at"].tolist() == [NOW, NOW]
    assert len(empty) == 0
