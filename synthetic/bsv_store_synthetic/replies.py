"""Replies of the synthetic server as plain values, with the faults of their transmission."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final

from bsv_store.server.allen import messages
from bsv_store.server.allen.messages import Request
from bsv_store.server.data.conditions import UnsatisfiableRangeError, byte_range, is_current

LAST_MODIFIED: Final = "Sat, 01 Jan 2022 00:00:00 GMT"


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply, with the faults of its transmission.

    Attributes
    ----------
    status : int
    body : bytes
        The whole body, before faults are applied.
    content_type : str
    headers : tuple of (str, str)
        Further headers.
    declared_length : int or None
        Content-Length to send instead of the correct one; the connection is closed after the body.
    cut_after : int or None
        Number of bytes of the body after which the connection is closed.
    chunked : bool
        Send it in chunks, without Content-Length.
    bytes_per_second : float or None
        Send it at this rate.
    gate : threading.Event or None
        Nothing is sent until this is set, or the server is closed.
    honors_range : bool
        Whether Range headers are honored.
    range_shift : int
        Bytes by which a part starts too late.
    range_honest : bool
        Whether Content-Range states the shift.
    stream : callable or None
        Returns the pieces of a complete response, including status line and headers, to send instead. The connection is
        closed after the last piece.
    pause_s : float
        Time between two of these pieces.
    """

    status: int
    body: bytes
    content_type: str
    headers: tuple[tuple[str, str], ...] = ()
    declared_length: int | None = None
    cut_after: int | None = None
    chunked: bool = False
    bytes_per_second: float | None = None
    gate: threading.Event | None = None
    honors_range: bool = True
    range_shift: int = 0
    range_honest: bool = True
    stream: Callable[[], Iterable[bytes]] | None = None
    pause_s: float = 0.0


def page(status: int, text: str) -> Reply:
    """A small HTML page, like those of a proxy or a failing web server."""
    found = messages.page(status, text)
    assert isinstance(found.body, bytes)
    return Reply(found.status, found.body, found.content_type)


def file_reply(body: bytes, content_type: str) -> Reply:
    """Reply 200 with the validators and Accept-Ranges of a file server."""
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    return Reply(
        200, body, content_type, (("ETag", etag), ("Last-Modified", LAST_MODIFIED), ("Accept-Ranges", "bytes"))
    )


def conditional(request: Request, reply: Reply) -> Reply:
    """Apply the conditions and the range of a request to a reply: 304, 206 or 416, else the reply unchanged."""
    if reply.status != 200 or not (etag := dict(reply.headers).get("ETag")):
        return reply
    if is_current(request.headers.get("if-none-match"), etag):
        return replace(reply, status=304)
    if not reply.honors_range:
        return reply
    total = len(reply.body)
    try:
        span = byte_range(
            request.headers.get("range"),
            request.headers.get("if-range"),
            validators=(etag, LAST_MODIFIED),
            size_bytes=total,
        )
    except UnsatisfiableRangeError:
        unsatisfied = (("Content-Range", f"bytes */{total}"),)
        return replace(page(416, "Requested range not satisfiable"), headers=unsatisfied)
    return reply if span is None else _part(reply, span.first, span.end)


def _part(reply: Reply, start: int, stop: int) -> Reply:
    total = len(reply.body)
    sent = min(start + reply.range_shift, total)
    stated = sent if reply.range_honest else start
    body = reply.body[sent : max(sent, stop)] if reply.range_honest else reply.body[sent : sent + stop - start]
    span = ("Content-Range", f"bytes {stated}-{stated + len(body) - 1}/{total}")
    return replace(reply, status=206, body=body, headers=(*reply.headers, span))
