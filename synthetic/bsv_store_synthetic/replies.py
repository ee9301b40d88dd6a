"""Requests and replies of the synthetic server as plain values, with HTTP range and conditional requests."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

LAST_MODIFIED: Final = "Sat, 01 Jan 2022 00:00:00 GMT"
JSON: Final = "application/json; charset=utf-8"
HTML: Final = "text/html; charset=utf-8"
BINARY: Final = "application/octet-stream"

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


@dataclass(frozen=True, slots=True)
class Request:
    """A request of a client.

    Attributes
    ----------
    method : str
        GET or HEAD.
    target : str
        As in the request line, percent-encoded.
    path : str
        Decoded, without the query.
    parameters : mapping of str to str
        Decoded query.
    headers : mapping of str to str
        Names in lower case.
    """

    method: str
    target: str
    path: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def line(self) -> str:
        """Method and target."""
        return f"{self.method} {self.target}"


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
    body = f"<!DOCTYPE html>\n<html><head><title>{status}</title></head><body><h1>{text}</h1></body></html>\n"
    return Reply(status, body.encode(), HTML)


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
    if request.headers.get("if-none-match") == etag:
        return replace(reply, status=304)
    match = _RANGE.fullmatch(request.headers.get("range", "").replace(" ", ""))
    unchanged = request.headers.get("if-range", etag) in (etag, LAST_MODIFIED)
    # Anything but a single byte range may be ignored (RFC 9110, 14.2).
    if match is None or match.groups() == ("", "") or not reply.honors_range or not unchanged:
        return reply
    first, last = match.groups()
    if first and last and int(last) < int(first):
        return reply
    return _part(reply, first, last)


def _part(reply: Reply, first: str, last: str) -> Reply:
    total = len(reply.body)
    start = int(first) if first else max(0, total - int(last))
    stop = min(total, int(last) + 1) if first and last else total
    if start >= total:
        unsatisfied = (("Content-Range", f"bytes */{total}"),)
        return replace(page(416, "Requested range not satisfiable"), headers=unsatisfied)
    sent = min(start + reply.range_shift, total)
    stated = sent if reply.range_honest else start
    body = reply.body[sent : max(sent, stop)] if reply.range_honest else reply.body[sent : sent + stop - start]
    span = ("Content-Range", f"bytes {stated}-{stated + len(body) - 1}/{total}")
    return replace(reply, status=206, body=body, headers=(*reply.headers, span))
