"""A body that may arrive in several parts: what is there, and whether the rest may be appended to it.

Only what this very transfer received is continued, and only if the server vouches with a validator (a strong ETag or
Last-Modified) that it is still the same object, of the same length (RFC 9110, sections 13.1.5 and 14.4).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import BinaryIO

_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


class PartialBody:
    """What has arrived of a body.

    Parameters
    ----------
    sink : BinaryIO
        Readable, writable and seekable.
    """

    def __init__(self, sink: BinaryIO) -> None:
        self._sink = sink
        self.size = 0
        self.total: int | None = None
        """Bytes of the whole as the server states it; None where it does not, or where the body came compressed."""
        self._validator: str | None = None

    def request_headers(self) -> dict[str, str]:
        """Headers that ask for the rest only, and for the whole if the object has changed; none to ask for all."""
        if not self.size or self._validator is None or self.total is None:
            return {}
        return {"Range": f"bytes={self.size}-", "If-Range": self._validator}

    def begin(self, status: int, headers: Mapping[str, str], *, keep: bool) -> str | None:
        """Make ready for the body of a reply.

        Parameters
        ----------
        status : int
            200 for the whole, 206 for a part.
        headers : mapping of str to str
            Of the reply, names in any case.
        keep : bool
            Remember what is needed to continue, should the body be cut.

        Returns
        -------
        str or None
            Why the reply cannot be used; the next request asks for all again then.
        """
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
        """Append what has arrived."""
        self._sink.write(data)
        self.size += len(data)

    def is_short(self) -> bool:
        """Whether the server has promised more than has arrived."""
        return self.total is not None and self.size != self.total

    def restart(self) -> None:
        """Forget what has arrived."""
        self._sink.seek(0)
        self._sink.truncate()
        self.size, self.total, self._validator = 0, None, None

    def _begin_part(self, headers: Mapping[str, str]) -> str | None:
        asked_for, total, validator = self.size, self.total, self._validator
        stated = headers.get("Content-Range", "")
        match = _CONTENT_RANGE.fullmatch(stated.strip())
        fits = (
            match is not None
            and bool(asked_for)
            and int(match[1]) == asked_for
            and match[3] == str(total)
            and int(match[2]) + 1 == total
            and _validator(headers) in (None, validator)
        )
        if not fits:
            self.restart()
            return f"the server sends another part ({stated or 'without Content-Range'}) than was asked for"
        self._sink.seek(asked_for)
        return None


def _validator(headers: Mapping[str, str]) -> str | None:
    etag = headers.get("ETag")
    if etag is not None and not etag.startswith("W/"):
        return etag
    return headers.get("Last-Modified")
