"""Queries of users on the server, with the same types of values as in a folder."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from bsv_store.catalog.tables.table import Table, typed_table
from bsv_store.errors import QueryError, StoreMismatchError
from bsv_store.remote.client import ServerRefusalError
from bsv_store.remote.protocol import SQL
from bsv_store.text import reason, shown

if TYPE_CHECKING:
    from bsv_store.remote.client import Client

_LEAST_BYTES: Final = 1_000_000
# How values are read that JSON does not have, by type of the column.
_READERS: Mapping[str, Callable[[Any], Any]] = {
    "integer": int,
    "number": float,
    "date": date.fromisoformat,
    "datetime": datetime.fromisoformat,
    "time": time.fromisoformat,
    "duration": lambda value: timedelta(microseconds=int(value)),
    "uuid": UUID,
    "bytes": base64.b64decode,
}


def query_server(
    client: Client,
    statement: str,
    parameters: Mapping[str, Any],
    *,
    store_id: str,
    row_limit: int | None,
    time_limit_s: float,
    max_bytes: int,
) -> Table:
    """The rows of a query that the server answers, within these limits and its own.

    Raises
    ------
    QueryError
        If the server refuses the statement or stops it, or the result has more rows than it returns.
    StoreMismatchError
        If another store answers.
    StoreUnreachableError
        If the server cannot be reached.
    """
    body: dict[str, Any] = {
        "statement": statement,
        "parameters": dict(parameters),
        "timeout_s": time_limit_s,
        "max_bytes": max_bytes,
    }
    if row_limit is not None:
        body["limit"] = row_limit
    # The server measures the rows in memory. Their JSON is at most six times as long: escapes of control characters.
    limit_bytes = _LEAST_BYTES + 6 * max_bytes
    with client.patient(time_limit_s) as patient:
        value = patient.json(SQL, "the query", body=body, limit_bytes=limit_bytes).value
    try:
        names = [column["name"] for column in value["columns"]]
        readers = [_READERS.get(column["type"]) for column in value["columns"]]
        rows = [
            [cell if cell is None or read is None else read(cell) for read, cell in zip(readers, row, strict=True)]
            for row in value["rows"]
        ]
        for place, column in enumerate(value["columns"]):
            # A column of numbers without values has NaN; a column with missing values only has no type.
            if column["type"] == "number" and all(row[place] is None for row in rows):
                for row in rows:
                    row[place] = math.nan
        is_truncated, answered_by = bool(value.get("truncated")), value["store_id"]
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ServerRefusalError(f"{client.url} did not answer the query with a table", hint=reason(error)) from error
    if answered_by != store_id:
        raise StoreMismatchError(
            f"{client.url} is now the store {shown(answered_by)}; it was the store {store_id}",
            hint="Open the store again.",
        )
    if is_truncated and (row_limit is None or len(rows) < row_limit):
        raise QueryError(
            f"the result has more rows than {client.url} returns, which are {len(rows):,}",
            hint=f"Ask for fewer: limit={len(rows)} (--limit {len(rows)}).",
        )
    return typed_table(names, rows, truncated=is_truncated)
