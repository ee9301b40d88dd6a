"""Answers as they are kept: the bytes, compressed if clients accept it, and the entity tag."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from starlette.responses import Response

from bsv_store.server.data.conditions import REVALIDATED, is_current

if TYPE_CHECKING:
    from starlette.requests import Request

Encoding = Literal["gzip", "identity"]

# Smaller answers are sent in one packet anyway.
_MIN_COMPRESSED = 1_400


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """The parts of a response.

    Attributes
    ----------
    body : bytes
    media_type : str or None
    headers : tuple of (str, str)
        With the entity tag.
    etag : str
    """

    body: bytes
    media_type: str | None
    headers: tuple[tuple[str, str], ...]
    etag: str

    def response(self, request: Request) -> Response:
        """The response to a request; 304 if the client has the answer."""
        headers = dict(self.headers)
        if is_current(request.headers.get("if-none-match"), self.etag):
            headers.pop("Content-Encoding", None)
            return Response(status_code=304, headers=headers)
        return Response(self.body, media_type=self.media_type, headers=headers)


def kept_answer(reply: Response, encoding: Encoding) -> KeptAnswer:
    """The answer in a response, compressed if that pays."""
    body = bytes(reply.body)
    digest = hashlib.sha256(body).hexdigest()[:32]
    headers = {name: value for name, value in reply.headers.items() if name not in ("content-length", "content-type")}
    headers |= {"Cache-Control": REVALIDATED, "Vary": "Accept, Accept-Encoding"}
    if encoding == "gzip" and len(body) >= _MIN_COMPRESSED:
        body = gzip.compress(body, 6, mtime=0)
        digest += "-gzip"
        headers["Content-Encoding"] = "gzip"
    etag = f'"{digest}"'
    headers["ETag"] = etag
    return KeptAnswer(body, reply.media_type, tuple(headers.items()), etag)
