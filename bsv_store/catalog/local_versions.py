"""Dataset versions that were computed on this computer from a store on a server."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bsv_store.text import listed

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class LocalVersionRow:
    """The row of a version that was computed on this computer, in lists of versions.

    Attributes
    ----------
    ref : str
        Such as ``visual@local-0123456789ab``.
    name : str
    group_count, member_count : int
    spacing_um : int
    created_at : datetime.datetime
        Aware UTC.
    created_by : str
    fingerprint : str
    size_bytes : int
    """

    ref: str
    name: str
    group_count: int
    member_count: int
    spacing_um: int
    created_at: datetime
    created_by: str
    fingerprint: str
    size_bytes: int


def local_versions_hint(found: Iterable[LocalVersionRow], name: str) -> str | None:
    """A sentence that names the local versions of a dataset, the newest first; None if there are none."""
    newest = sorted((each for each in found if each.name == name), key=lambda each: each.created_at, reverse=True)
    if not newest:
        return None
    refs = listed(f"{each.ref} ({each.created_at:%Y-%m-%d %H:%M} UTC)" for each in newest)
    return f"Computed on this computer, and not on the server: {refs}."
