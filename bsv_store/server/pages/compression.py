"""Compressed responses: text of more than a few kilobytes."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

from bsv_store.server.data.conditions import accepts_gzip

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

_LEAST_BYTES = 4_000


def compressed(request: Request, reply: Response) -> Response:
    """The response, compressed if the client accepts it; its entity tag becomes weak, since the bytes differ."""
    reply.headers["Vary"] = ", ".join(filter(None, [reply.headers.get("vary"), "Accept-Encoding"]))
    body = bytes(reply.body)
    if len(body) < _LEAST_BYTES or not accepts_gzip(request.headers.get("accept-encoding")):
        return reply
    reply.body = gzip.compress(body, 5, mtime=0)
    reply.headers["Content-Encoding"] = "gzip"
    reply.headers["Content-Length"] = str(len(reply.body))
    tag = reply.headers.get("etag")
    if tag is not None and not tag.startswith("W/"):
        reply.headers["ETag"] = f"W/{tag}"
    return reply
