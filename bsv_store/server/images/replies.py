"""Replies of this package: bytes with their headers, cached compressed, revalidated by a strong ETag."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from starlette.responses import Response

from bsv_store.server.data import conditions
from bsv_store.server.data.conditions import IMMUTABLE, REVALIDATED

if TYPE_CHECKING:
    from starlette.requests import Request

BINARY = "application/octet-stream"
JSON = "application/json"
PNG = "image/png"

# Smaller replies do not become smaller.
_MIN_COMPRESSED = 512


@dataclass(frozen=True, slots=True)
class Body:
    """The bytes of a reply.

    Attributes
    ----------
    data : bytes
    media_type : str
    is_compressed : bool
        Whether ``data`` is compressed by gzip.
    headers : mapping of str to str
    """

    data: bytes
    media_type: str
    is_compressed: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """Size in memory, with a margin for the headers."""
        return len(self.data) + 1000


def compressed(data: bytes) -> bytes:
    """The bytes compressed by gzip, with the fastest level, without a time."""
    packer = zlib.compressobj(1, wbits=31)
    return packer.compress(data) + packer.flush()


def body_of(data: bytes, media_type: str, *, compress: bool, headers: Mapping[str, str] | None = None) -> Body:
    """The body of a reply, compressed if asked for and useful."""
    is_compressed = compress and len(data) >= _MIN_COMPRESSED and media_type != PNG
    return Body(compressed(data) if is_compressed else data, media_type, is_compressed, headers or {})


def json_body(value: Any, *, compress: bool) -> Body:
    """A JSON document as the body of a reply."""
    return body_of(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode(), JSON, compress=compress)


def accepts_gzip(request: Request) -> bool:
    """Whether the client reads gzip."""
    return conditions.accepts_gzip(request.headers.get("accept-encoding"))


def etag_of(*parts: object, compress: bool) -> str:
    """A strong ETag: the hash of what determines the bytes of a reply."""
    digest = hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:40]
    return f'"{digest}{"-gzip" if compress else ""}"'


def is_known(request: Request, etag: str) -> bool:
    """Whether the client has the reply already."""
    return conditions.is_current(request.headers.get("if-none-match"), etag)


def caching(etag: str, *, is_pinned: bool) -> dict[str, str]:
    """The headers that say how long a reply is valid."""
    return {
        "ETag": etag,
        "Cache-Control": IMMUTABLE if is_pinned else REVALIDATED,
        "Vary": "Accept-Encoding",
    }


def not_modified(etag: str, *, is_pinned: bool) -> Response:
    """The reply to a client that has it already."""
    return Response(status_code=304, headers=caching(etag, is_pinned=is_pinned))


def reply_of(body: Body, etag: str, *, is_pinned: bool) -> Response:
    """The response with a body."""
    headers = caching(etag, is_pinned=is_pinned) | dict(body.headers)
    if body.is_compressed:
        headers["Content-Encoding"] = "gzip"
    return Response(body.data, media_type=body.media_type, headers=headers)


def ascii_header(text: str) -> str:
    """A text as the value of a header, characters outside of ASCII percent-encoded."""
    return quote(text, safe=" !#$&'()*+,-./:;<=>?@[]^_`{|}~")
