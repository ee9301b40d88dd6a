"""The routes of the Allen API over the open store."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from bsv_store.server.allen import messages
from bsv_store.server.allen.messages import FileContent, page
from bsv_store.server.allen.routes import PREFIXES, reply_to
from bsv_store.server.allen.spool import RETRY_AFTER_S, Spool, SpoolBusyError
from bsv_store.server.allen.store_source import StoreSource
from bsv_store.server.context import context_of, shared_by_application
from bsv_store.server.data.conditions import REVALIDATED, UnsatisfiableRangeError, byte_range, is_current

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.routing import BaseRoute

# An address names what the store has now: clients keep the bytes, and ask whether they are current.
_CACHING = {"Cache-Control": REVALIDATED}


def _allen(request: Request, *, prefix: str) -> Response:
    # The store is another one after it was opened again.
    source = StoreSource(context_of(request).store)
    headers = {name.lower(): value for name, value in request.headers.items()}
    path = prefix + request.path_params["rest"]
    target = f"{path}?{request.url.query}" if request.url.query else path
    asked = messages.Request(request.method, target, path, dict(request.query_params), headers)
    reply = reply_to(source, asked)
    if isinstance(reply.body, FileContent):
        return _file(_spool(request), asked, reply.body, reply.content_type)
    if reply.status != 200:
        return Response(reply.body, reply.status, media_type=reply.content_type)
    etag = f'"{hashlib.sha256(reply.body).hexdigest()[:32]}"'
    shared = {"ETag": etag, **_CACHING}
    if is_current(headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=shared)
    return Response(reply.body, headers=shared, media_type=reply.content_type)


def _file(spool: Spool, asked: messages.Request, content: FileContent, content_type: str) -> Response:
    etag = content.etag
    shared = {"ETag": etag, "Accept-Ranges": "bytes", **_CACHING}
    if is_current(asked.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=shared)
    try:
        file = spool.get(content)
    except SpoolBusyError:
        busy = page(503, "Other large files are being computed. Try again later.")
        return Response(busy.body, 503, {"Retry-After": str(RETRY_AFTER_S)}, busy.content_type)
    shared["Content-Type"] = content_type
    size = file.size
    if size is None:
        # The length is unknown, so a range is ignored.
        return _body(asked, 200, shared, file.read())
    try:
        span = byte_range(
            asked.headers.get("range"), asked.headers.get("if-range"), validators=(etag,), size_bytes=size
        )
    except UnsatisfiableRangeError as error:
        raise HTTPException(416, headers={"Content-Range": f"bytes */{size}"}) from error
    start, stop = (0, size) if span is None else (span.first, span.end)
    shared["Content-Length"] = str(stop - start)
    if span is None:
        return _body(asked, 200, shared, file.read())
    return _body(asked, 206, {**shared, "Content-Range": f"bytes {start}-{stop - 1}/{size}"}, file.read(start, stop))


def _body(asked: messages.Request, status: int, headers: Mapping[str, str], pieces: Iterator[bytes]) -> Response:
    return StreamingResponse(iter(()) if asked.method == "HEAD" else pieces, status, headers)


def _spool(request: Request) -> Spool:
    """The computed files that all requests to an application share."""
    return shared_by_application(request.app, "spool", Spool, Spool)


ROUTES: list[BaseRoute] = [
    Route(f"{prefix}{{rest:path}}", partial(_allen, prefix=prefix), methods=["GET"], name=f"allen{prefix}")
    for prefix in PREFIXES
]
