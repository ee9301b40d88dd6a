"""Uses of versions outside the store: exports and citations, recorded once for each version.

They are recorded in the table of activity, so that a version that may be cited in a paper is not deleted unnoticed.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Literal

from sqlalchemy import Connection, select

from bsv_store.catalog.activity import record_activity
from bsv_store.catalog.database.models import Activity
from bsv_store.errors import BsvStoreError

if TYPE_CHECKING:
    from bsv_store.catalog.database.engine import Database

SharedUse = Literal["exported", "cited"]
_USES: tuple[SharedUse, ...] = ("exported", "cited")


def record_shared_use(database: Database | None, ref: str, use: SharedUse) -> None:
    """Record that a version was exported or cited, unless that is recorded already, or the store cannot be written."""
    if database is None or database.read_only:
        return
    # Errors are ignored: accounts that can only read may export too, and the file is written by now.
    with contextlib.suppress(BsvStoreError):
        with database.reading() as connection:
            if use in shared_uses(connection, [ref]).get(ref, ()):
                return
        with database.writing(patient=False) as connection:
            record_activity(connection, use, ref)


def shared_uses(connection: Connection, refs: list[str] | None = None) -> dict[str, tuple[SharedUse, ...]]:
    """How each version was used outside the store, by its reference; by default of all versions that were."""
    query = select(Activity.subject, Activity.action).where(Activity.action.in_(_USES)).distinct()
    if refs is not None:
        query = query.where(Activity.subject.in_(refs))
    found: dict[str, set[str]] = {}
    for subject, action in connection.execute(query):
        found.setdefault(str(subject), set()).add(action)
    return {ref: tuple(use for use in _USES if use in uses) for ref, uses in found.items()}
