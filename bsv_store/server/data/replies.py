"""Answers of operations: tables in the format that the client wants, and JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from bsv_store.advice import THIS_SERVER, for_readers_of
from bsv_store.server.context import context_of
from bsv_store.server.data import tables
from bsv_store.server.data.formats import ARROW, CSV, JSON, SPREADSHEET
from bsv_store.server.data.plain import json_bytes, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pandas as pd

    from bsv_store.errors import BsvStoreWarning
    from bsv_store.server.data.operation import Call
    from bsv_store.server.private import PrivatePaths

WARNINGS_HEADER = "Bsv-Store-Warnings"
"""The warnings of an answer that is not JSON, as JSON."""
# Proxies limit the size of all headers to 8 kB or less.
_MAX_HEADER = 2_000


def json_reply(call: Call, values: Any) -> Response:
    """A value as JSON. An object gets the warnings of the call."""
    paths = context_of(call.request).paths
    found = without_paths(plain(values), paths.in_cell)
    if isinstance(found, dict) and "warnings" not in found:
        found["warnings"] = described(call.warnings, paths)
    return Response(json_bytes(found), media_type=JSON)


def table_reply(
    call: Call, frame: pd.DataFrame, *, total: int | None = None, more: Mapping[str, Any] | None = None
) -> Response:
    """A table in the format of the call.

    Parameters
    ----------
    call : Call
    frame : pandas.DataFrame
    total : int, optional
        Number of rows of which these are a part; by default these are all.
    more : mapping, optional
        Further members of the object in JSON.
    """
    import pandas as pd

    if not isinstance(frame, pd.DataFrame):
        raise TypeError(f"not a DataFrame: {frame!r}")
    paths = context_of(call.request).paths
    flat = tables.table_without_paths(tables.flat(frame), paths.in_cell)
    count = len(flat) if total is None else total
    chosen = call.media_type
    if chosen == JSON:
        values = {
            **tables.table_values(flat),
            "total": count,
            **plain(more or {}),
            "warnings": described(call.warnings, paths),
        }
        return Response(json_bytes(values), media_type=JSON)
    headers = {"Bsv-Store-Total": str(count)}
    if call.warnings:
        headers[WARNINGS_HEADER] = _header(call.warnings, paths)
    if chosen == ARROW:
        return Response(tables.arrow_bytes(flat), media_type=ARROW, headers=headers)
    body = tables.csv_bytes(flat, for_spreadsheet=chosen == SPREADSHEET)
    return Response(body, media_type=CSV, headers=headers)


def without_paths(value: Any, clean: Callable[[Any], Any]) -> Any:
    """A plain value without paths of the machine in its texts, which users may have written."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {key: without_paths(each, clean) for key, each in value.items()}
    return [without_paths(each, clean) for each in value] if isinstance(value, list) else value


def described(warned: Sequence[BsvStoreWarning], paths: PrivatePaths) -> list[dict[str, Any]]:
    """Warnings as plain values, without paths of the machine."""
    return [
        {
            "code": type(each).__name__,
            "message": paths.removed(each.message),
            "hint": None if each.hint is None else paths.removed(for_readers_of(each.hint, [THIS_SERVER])),
        }
        for each in warned
    ]


def _header(warned: Sequence[BsvStoreWarning], paths: PrivatePaths) -> str:
    found = described(warned, paths)
    text = json.dumps(found)
    while len(text) > _MAX_HEADER:
        for each in found:
            each["message"], each["hint"] = each["message"][: len(each["message"]) // 2], None
        text = json.dumps(found)
    return text
