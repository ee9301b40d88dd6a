"""Answers of operations: tables in the format that the client wants, JSON, and their entity tags."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from starlette.exceptions import HTTPException
from starlette.responses import Response

from bsv_store.errors import InputError
from bsv_store.server.data import tables
from bsv_store.server.data.conditions import REVALIDATED, is_current
from bsv_store.server.data.plain import json_bytes, plain
from bsv_store.text import shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from starlette.requests import Request

    from bsv_store.errors import BsvStoreWarning
    from bsv_store.server.data.operation import Call

JSON = "application/json"
TABLE_TYPES = (JSON, tables.CSV, tables.ARROW)
FORMATS = {"json": JSON, "csv": tables.CSV, "arrow": tables.ARROW}

WARNINGS_HEADER = "Bsv-Store-Warnings"
"""The warnings of an answer that is not JSON, as JSON."""
# Proxies limit the size of all headers to 8 kB or less.
_MAX_HEADER = 2_000


def json_reply(call: Call, values: Any) -> Response:
    """A value as JSON. An object gets the warnings of the call."""
    found = plain(values)
    if isinstance(found, dict) and "warnings" not in found:
        found["warnings"] = described(call.warnings)
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
    flat = tables.flat(frame)
    count = len(flat) if total is None else total
    chosen = media_type(call)
    if chosen == JSON:
        values = {
            **tables.table_values(flat),
            "total": count,
            **plain(more or {}),
            "warnings": described(call.warnings),
        }
        return Response(json_bytes(values), media_type=JSON)
    headers = {"Bsv-Store-Total": str(count)}
    if call.warnings:
        headers[WARNINGS_HEADER] = _header(call.warnings)
    write = tables.csv_bytes if chosen == tables.CSV else tables.arrow_bytes
    return Response(write(flat), media_type=chosen, headers=headers)


def described(warned: Sequence[BsvStoreWarning]) -> list[dict[str, Any]]:
    """Warnings as plain values."""
    return [{"code": type(each).__name__, "message": each.message, "hint": each.hint} for each in warned]


def _header(warned: Sequence[BsvStoreWarning]) -> str:
    found = described(warned)
    text = json.dumps(found)
    while len(text) > _MAX_HEADER:
        for each in found:
            each["message"], each["hint"] = each["message"][: len(each["message"]) // 2], None
        text = json.dumps(found)
    return text


def media_type(call: Call) -> str:
    """The format of a table that a request wants: by ``format``, or else by ``Accept``.

    Raises
    ------
    InputError
        If there is no such format.
    HTTPException
        406: if no format suits.
    """
    wanted = call.values.get("format")
    if wanted is not None:
        if wanted not in FORMATS:
            raise InputError(f"format must be one of {', '.join(FORMATS)}, got {shown(wanted)}")
        found = [FORMATS[wanted]]
    else:
        found = accepted(call.request.headers.get("accept"), TABLE_TYPES)
    for name in found:
        if name != tables.ARROW or tables.has_arrow():
            return name
    detail = (
        "tables cannot be sent as Arrow IPC, because pyarrow is not installed on the server"
        if tables.ARROW in found
        else f"tables are available as {', '.join(TABLE_TYPES)}"
    )
    raise HTTPException(406, detail=detail)


def accepted(header: str | None, offered: Sequence[str]) -> list[str]:
    """Those of the offered media types that an ``Accept`` header accepts, the preferred ones first."""
    if header is None or not header.strip():
        return list(offered)
    ranges: list[tuple[str, float]] = []
    for part in header.lower().split(","):
        name, *options = (each.strip() for each in part.split(";"))
        quality = next((each[2:] for each in options if each.startswith("q=")), "1")
        try:
            ranges.append((name, min(1.0, float(quality))))
        except ValueError:
            ranges.append((name, 0.0))

    def quality_of(name: str) -> float:
        for pattern in (name, f"{name.partition('/')[0]}/*", "*/*"):
            found = [quality for each, quality in ranges if each == pattern]
            if found:
                return max(found)
        return 0.0

    qualities = {name: quality_of(name) for name in offered}
    return sorted((name for name in offered if qualities[name] > 0), key=lambda name: -qualities[name])


def with_etag(request: Request, reply: Response) -> Response:
    """A response that is revalidated by the hash of its body; 304 if the client has it."""
    etag = f'"{hashlib.sha256(bytes(reply.body)).hexdigest()[:32]}"'
    headers = {"ETag": etag, "Cache-Control": REVALIDATED, "Vary": "Accept"}
    if is_current(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    reply.headers.update(headers)
    return reply
