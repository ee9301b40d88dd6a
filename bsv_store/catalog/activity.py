"""The record of who changed the store, when, and with which release."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import Connection, func, insert, literal, select

from bsv_store._version import __version__
from bsv_store.catalog.database.models import Activity
from bsv_store.catalog.database.models.base import now
from bsv_store.owner import current_user

if TYPE_CHECKING:
    from bsv_store.vocabulary import Action

Details = Mapping[str, str | int | float | bool | None]


def record_activity(
    connection: Connection, action: Action, subject: str | None = None, details: Details | None = None
) -> None:
    """Record an action of this user, in the transaction that carries it out.

    Parameters
    ----------
    connection : Connection
    action : Action
    subject : str, optional
        What was changed, such as ``visual@3`` or a file name.
    details : mapping, optional
        Numbers and options.
    """
    is_sqlite = connection.dialect.name == "sqlite"
    connection.execute(
        insert(Activity).values(
            at=now() if is_sqlite else func.clock_timestamp(),
            action=action,
            subject=subject,
            details=json.dumps(dict(details), sort_keys=True) if details else None,
            user_name=current_user(),
            database_role=literal(None) if is_sqlite else func.session_user(),
            host=socket.gethostname(),
            release=__version__,
        )
    )


@dataclass(frozen=True, slots=True)
class ActivityRecord:
    """One recorded action.

    Attributes
    ----------
    at : datetime.datetime
        Aware UTC.
    action : Action
    subject : str or None
    details : dict
    user_name : str
    database_role : str or None
    host : str
    release : str
    """

    at: datetime
    action: Action
    subject: str | None
    details: dict[str, str | int | float | bool | None]
    user_name: str
    database_role: str | None
    host: str
    release: str


def recorded_activity(connection: Connection, *, limit: int | None = None) -> list[ActivityRecord]:
    """The recorded actions, most recent first."""
    query = select(
        Activity.at,
        Activity.action,
        Activity.subject,
        Activity.details,
        Activity.user_name,
        Activity.database_role,
        Activity.host,
        Activity.release,
    ).order_by(Activity.id.desc())
    rows = connection.execute(query.limit(limit))
    return [ActivityRecord(**{**row._mapping, "details": json.loads(row.details or "{}")}) for row in rows]
