"""A response body that may be received in several parts.

A transfer only resumes what it received itself, and only if a validator of the server (a strong ETag or Last-Modified)
says that it is still the same object of the same length (RFC 9110, sections 13.1.5 and 14.4).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import BinaryIO

_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


class PartialBody:
    """The received part of a body.

    Parameters
    ----------
    sink : BinaryIO
        Readable, writable and seekable.
    part : (int, int), optional
        First byte and end of the part of the object to request, instead of all of it.
    """

    def __init__(self, sink: BinaryIO, part: tuple[int, int] | None = None) -> None:
        self._sink = sink
        self._part = part
        self.size = 0
        self.total: int | None = None
        """Length of the whole body in bytes by the server; None if unknown or if the body is compressed."""
        self._validator: str | None = None

    def request_headers(self) -> dict[str, str]:
        """Headers that request the rest, or all if the object has changed; empty to request all."""
        if self._part is not None:
            first, end = self._part
            return {"Range": f"bytes={first + self.size}-{end - 1}"}
        if not self.size or self._validator is None or self.total is None:
            return {}
        return {"Range": f"bytes={self.size}-", "If-Range": self._validator}

    def begin(self, status: int, headers: Mapping[str, str], *, keep: bool) -> str | None:
        """Prepare for the body of a response.

        Parameters
        ----------
        status : int
            200 for all, 206 for a part.
        headers : mapping of str to str
            Of the response; case-insensitive.
        keep : bool
            Remember what is needed to resume if the body is cut off.

        Returns
        -------
        str or None
            Reason why the response cannot be used, if any. The next request is then for all.
        """
        if self._part is not None:
            return self._begin_requested(status, headers, *self._part)
        if status == 206:
            return self._begin_part(headers)
        self.restart()
        length = headers.get("Content-Length", "")
        is_plain = headers.get("Content-Encoding", "identity") == "identity"
        if is_plain and length.isascii() and length.isdigit():
            self.total = int(length)
        if keep and is_plain:
            self._validator = _validator(headers)
        return None

    def write(self, data: bytes) -> None:
        """Append received bytes."""
        self._sink.write(data)
        self.size += len(data)

    def is_short(self) -> bool:
        """Whether fewer or more bytes were received than the server announced."""
        return self.total is not None and self.size != self.total

    def restart(self) -> None:
        """Discard all received bytes."""
        self._sink.seek(0)
        self._sink.truncate()
        self.size, self.total, self._validator = 0, None, None

    def _begin_requested(self, status: int, headers: Mapping[str, str], first: int, end: int) -> str | None:
        stated = headers.get("Content-Range", "")
        match = _CONTENT_RANGE.fullmatch(stated.strip())
        if status != 206 or match is None or (int(match[1]), int(match[2])) != (first + self.size, end - 1):
            self.restart()
            return f"the server sent another part than requested ({stated or 'no Content-Range'})"
        self.total = end - first
        self._sink.seek(self.size)
        return None

    def _begin_part(self, headers: Mapping[str, str]) -> str | None:
        requested, total, validator = self.size, self.total, self._validator
        stated = headers.get("Content-Range", "")
        match = _CONTENT_RANGE.fullmatch(stated.strip())
        fits = (
            match is not None
            and bool(requested)
            and int(match[1]) == requested
            and match[3] == str(total)
            and int(match[2]) + 1 == total
            and _validator(headers) in (None, validator)
        )
        if not fits:
            self.restart()
            return f"the server sent another part than requested ({stated or 'no Content-Range'})"
        self._sink.seek(requested)
        return None


def _validator(headers: Mapping[str, str]) -> str | None:
    etag = headers.get("ETag")
    if etag is not None and not etag.startswith("W/"):
        return etag
    return headers.get("Last-Modified")
