"""JSON bodies of the Allen API and of files made from them: the RMA envelope, or a list of rows.

RMA (RESTful Model Access) answers ``{"success": bool, "id": 0, "start_row": int, "num_rows": int, "total_rows": int,
"msg": [...]}``. On failure ``success`` is false and ``msg`` is a string, although the HTTP status is 200.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, NoReturn

from bsv_store.errors import EnvelopeError, FormatError
from bsv_store.formats.fields import DAMAGED_HINT, decoded, looks_like_html, quoted

_AGAIN_HINT = "The service may be temporarily unavailable. Try again later."


@dataclass(frozen=True, slots=True)
class Envelope:
    """A successful RMA reply.

    Attributes
    ----------
    messages : list of dict
        The rows.
    start_row : int
        Offset of the first row in the complete result.
    num_rows : int
        As stated in the reply: services state the requested number, models the number sent.
    total_rows : int
        Rows of the complete result; meaningless if the query said ``count=false``.
    """

    messages: list[dict[str, Any]]
    start_row: int
    num_rows: int
    total_rows: int

    @property
    def is_whole(self) -> bool:
        """Whether the reply has all rows; False if it is one page of several."""
        return self.start_row == 0 and self.total_rows <= len(self.messages)


def read_envelope(body: bytes, *, what: str) -> Envelope:
    """The rows and counts of an RMA reply; unknown keys are ignored.

    Parameters
    ----------
    body : bytes
        The body of the reply.
    what : str
        Name of the reply, for errors.

    Raises
    ------
    EnvelopeError
        If the reply reports failure (its message is quoted), or is not an RMA reply: a web page, invalid JSON, NaN
        or Infinity, wrong types.
    """
    return _envelope(_parsed(body, what=what, error=EnvelopeError), what=what)


def read_json(body: bytes, *, what: str) -> Any:
    """The value of a JSON body.

    Raises
    ------
    FormatError
        If it is a web page, empty, not UTF-8, truncated, nested too deeply, or contains NaN or Infinity.
    """
    return _parsed(body, what=what, error=FormatError)


def read_rows(body: bytes, *, what: str) -> list[dict[str, Any]]:
    """The rows of a complete reply, in an RMA envelope or as a list, the form in caches.

    Raises
    ------
    EnvelopeError
        If an envelope reports failure, or is one page of several.
    FormatError
        If the body is not JSON of this form.
    """
    return rows_of(read_json(body, what=what), what=what)


def rows_of(value: Any, *, what: str) -> list[dict[str, Any]]:
    """The rows in the value of a JSON body; see `read_rows`."""
    if isinstance(value, list):
        if any(not isinstance(row, dict) for row in value):
            raise FormatError(f"{what} is a JSON list, but not a list of objects", hint=DAMAGED_HINT)
        return value
    envelope = _envelope(value, what=what)
    if not envelope.is_whole:
        first, count = envelope.start_row, len(envelope.messages)
        raise EnvelopeError(
            f"{what} is one page of several: rows {first} to {first + count - 1} of {envelope.total_rows}",
            hint="Ask for all rows at once: num_rows=all, or for a service a num_rows above the total.",
        )
    return envelope.messages


def _parsed(body: bytes, *, what: str, error: type[FormatError]) -> Any:
    if looks_like_html(body):
        raise error(f"{what} is a web page, not JSON: {quoted(body[:80].decode('utf-8', 'replace'))}", hint=_AGAIN_HINT)
    if not body.strip():
        raise error(f"{what} is empty", hint=_AGAIN_HINT)
    try:
        return json.loads(decoded(body, what=what), parse_constant=_refused_constant)
    except FormatError as cause:
        raise error(cause.message, hint=cause.hint) from cause
    except json.JSONDecodeError as cause:
        raise error(f"{what} is not valid JSON, or truncated: {cause}", hint=DAMAGED_HINT) from cause
    except (ValueError, RecursionError) as cause:
        # ValueError: from _refused_constant, and from Python for numbers with thousands of digits.
        raise error(f"{what} is not usable JSON: {cause}", hint=DAMAGED_HINT) from cause


def _refused_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _envelope(value: Any, *, what: str) -> Envelope:
    if not isinstance(value, dict) or "success" not in value or "msg" not in value:
        raise EnvelopeError(
            f"{what} is JSON, but not a reply of the Allen API: {quoted(value, limit=80)}", hint=DAMAGED_HINT
        )
    success, messages = value["success"], value["msg"]
    if success is False:
        raise EnvelopeError(f"{what}: the Allen API reports failure: {quoted(messages, limit=300)}", hint=_AGAIN_HINT)
    if success is not True:
        raise EnvelopeError(f"{what}: success is {quoted(success)}, neither true nor false", hint=DAMAGED_HINT)
    if not isinstance(messages, list) or any(not isinstance(row, dict) for row in messages):
        raise EnvelopeError(f"{what}: msg is not a list of objects: {quoted(messages, limit=300)}", hint=DAMAGED_HINT)
    return Envelope(
        messages,
        _count(value, "start_row", 0, what=what),
        _count(value, "num_rows", len(messages), what=what),
        _count(value, "total_rows", len(messages), what=what),
    )


def _count(value: dict[str, Any], key: str, default: int, *, what: str) -> int:
    count = value.get(key)
    if count is None:
        return default
    if type(count) is not int:
        raise EnvelopeError(f"{what}: {key} is {quoted(count)}, not a whole number", hint=DAMAGED_HINT)
    return count
