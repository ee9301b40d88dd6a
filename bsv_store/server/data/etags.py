"""Entity tags of answers."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from starlette.responses import Response

from bsv_store.server.data.conditions import REVALIDATED, is_current

if TYPE_CHECKING:
    from starlette.requests import Request


def with_etag(request: Request, reply: Response) -> Response:
    """A response that is revalidated by the hash of its body; 304 if the client has it."""
    etag = f'"{hashlib.sha256(bytes(reply.body)).hexdigest()[:32]}"'
    headers = {"ETag": etag, "Cache-Control": REVALIDATED, "Vary": "Accept"}
    if is_current(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    reply.headers.update(headers)
    return reply
