"""Shared by tables that users edit: free text, and concurrent changes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import IntegrityError

from bsv_store.catalog.database.driver_errors import MOVED
from bsv_store.errors import BusyError, InputError
from bsv_store.text import shown

_MAX_TEXT = 1_000


def check_line_of_text(what: str, text: object) -> None:
    """Check one line of free text, such as a note or a reason.

    Raises
    ------
    InputError
        If it is empty, too long, or has several lines.
    """
    if not isinstance(text, str) or not text.strip() or len(text) > _MAX_TEXT or not text.isprintable():
        raise InputError(
            f"the {what} must be one line of text, got {shown(text)}", hint=f"1 to {_MAX_TEXT:,} printable characters."
        )


@contextmanager
def refusing_concurrent_change(what: str) -> Iterator[None]:
    """Raise BusyError if a unique constraint fails because another process made the same change first."""
    try:
        yield
    except IntegrityError as error:
        if MOVED in str(error.orig):
            raise
        raise BusyError(
            f"another process changed {what} at the same moment", hint="Check the result, and retry."
        ) from error
