"""Queries of users on the server, with the same types of values as in a folder."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from bsv_store.catalog.tables.table import Table, typed_table
from bsv_store.errors import QueryError, StoreMismatchError
from bsv_store.remote.client import ServerRefusalError
from bsv_store.remote.protocol import SQL
from bsv_store.text import reason, shown

if TYPE_CHECKING:
    from bsv_store.remote.client import Client

# How values are read that JSON does not have, by type of the column.
_READERS: Mapping[str, Callable[[Any], Any]] = {
    "integer": int,
    "number": float,
    "date": date.fromisoformat,
    "datetime": datetime.fromisoformat,
    "bytes": base64.b64decode,
}


def query_server(
    client: Client,
    statement: str,
    parameters: Mapping[str, Any],
    *,
    store_id: str,
    row_limit: int | None,
    max_bytes: int,
) -> Table:
    """The rows of a query that the server answers.

    Raises
    ------
    QueryError
        If the server refuses the statement or stops it, or the result has more rows than it returns.
    StoreMismatchError
        If another store answers.
    StoreUnreachableError
        If the server cannot be reached.
    """
    body: dict[str, Any] = {"statement": statement, "parameters": dict(parameters)}
    if row_limit is not None:
        body["limit"] = row_limit
    value = client.json(SQL, "the query", body=body, limit_bytes=max_bytes).value
    try:
        names = [column["name"] for column in value["columns"]]
        readers = [_READERS.get(column["type"]) for column in value["columns"]]
        rows = [
            [cell if cell is None or read is None else read(cell) for read, cell in zip(readers, row, strict=True)]
            for row in value["rows"]
        ]
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
