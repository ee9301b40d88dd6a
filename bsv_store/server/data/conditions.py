"""Conditional requests, byte ranges and content encodings (RFC 9110)."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

IMMUTABLE = "public, max-age=31536000, immutable"
REVALIDATED = "no-cache"

_RANGE = re.compile(r"\s*bytes\s*=\s*(\d*)\s*-\s*(\d*)\s*", re.IGNORECASE | re.ASCII)
_ETAG = re.compile(r'(?:W/)?"[^"]*"')
# More digits than any size of a file, which int() would accept too.
_MAX_DIGITS = 20


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Bytes of a file.

    Attributes
    ----------
    first, end : int
        The first byte, and the one after the last.
    """

    first: int
    end: int


class UnsatisfiableRangeError(Exception):
    """The range begins after the end of the file."""


def is_current(if_none_match: str | None, etag: str) -> bool:
    """Whether a client's ``If-None-Match`` has this entity tag, so that 304 is the answer."""
    if if_none_match is None:
        return False
    if if_none_match.strip() == "*":
        return True
    # Weak comparison: proxies that compress make tags weak.
    return etag in (each.removeprefix("W/") for each in _ETAG.findall(if_none_match))


def byte_range(
    text: str | None, if_range: str | None, *, validators: Collection[str], size_bytes: int
) -> ByteRange | None:
    """The range that a request asks for; None for the whole file.

    Several ranges, other units and malformed ones are ignored, as RFC 9110 allows.

    Parameters
    ----------
    text, if_range : str or None
        The headers ``Range`` and ``If-Range``.
    validators : collection of str
        Entity tag and time of the file, for ``If-Range``.
    size_bytes : int

    Raises
    ------
    UnsatisfiableRangeError
        If it begins after the end of the file.
    """
    found = None if text is None else _RANGE.fullmatch(text)
    if found is None or (if_range is not None and if_range.strip() not in validators):
        return None
    first, last = found[1], found[2]
    if (not first and not last) or max(len(first), len(last)) > _MAX_DIGITS:
        return None
    if not first:
        if int(last) == 0 or size_bytes == 0:
            raise UnsatisfiableRangeError
        return ByteRange(max(0, size_bytes - int(last)), size_bytes)
    if last and int(last) < int(first):
        return None
    if int(first) >= size_bytes:
        raise UnsatisfiableRangeError
    return ByteRange(int(first), min(int(last) + 1, size_bytes) if last else size_bytes)


def accepts_gzip(accept_encoding: str | None) -> bool:
    """Whether a client's ``Accept-Encoding`` has gzip."""
    for part in (accept_encoding or "").lower().split(","):
        name, _, options = part.partition(";")
        if name.strip() in ("gzip", "x-gzip"):
            return re.fullmatch(r"\s*q\s*=\s*0(\.0*)?\s*", options) is None
    return False
