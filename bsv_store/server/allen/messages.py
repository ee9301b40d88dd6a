"""Requests and replies as plain values."""

from __future__ import annotations

import hashlib
import html
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

JSON: Final = "application/json; charset=utf-8"
HTML: Final = "text/html; charset=utf-8"
BINARY: Final = "application/octet-stream"
ZIP: Final = "application/zip"

# To be increased when other bytes are written for the same voxels.
_FORMAT = 1


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
class FileContent:
    """The content of a file, which is computed when it is read.

    Attributes
    ----------
    identity : str
        Determines the bytes.
    pieces : callable
        Returns the bytes in pieces. May raise a `BsvStoreError`.
    is_large : bool
        Whether computing it takes hundreds of megabytes of memory and more than a few seconds.
    """

    identity: str
    pieces: Callable[[], Iterator[bytes]]
    is_large: bool = False

    @property
    def etag(self) -> str:
        """A strong validator, known before the bytes are computed."""
        # Other versions of zlib may compress to other bytes.
        text = f"{_FORMAT} {zlib.ZLIB_RUNTIME_VERSION} {self.identity}"
        return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply to a request, before its conditions and range are applied.

    Attributes
    ----------
    status : int
    body : bytes or FileContent
    content_type : str
    """

    status: int
    body: bytes | FileContent
    content_type: str


def page(status: int, text: str) -> Reply:
    """A small HTML page, like those of Allen's web server for what it does not have."""
    title = html.escape(text)
    body = f"<!DOCTYPE html>\n<html><head><title>{status}</title></head><body><h1>{title}</h1></body></html>\n"
    return Reply(status, body.encode(), HTML)
