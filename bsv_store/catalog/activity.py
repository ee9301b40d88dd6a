"""The record of who changed the store, when, and with which release."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import Connection, func, insert, literal, or_, select

from bsv_store._version import __version__
from bsv_store.catalog.database.models import Activity
from bsv_store.catalog.database.models.base import UtcDateTime, now
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


def activity_details(connection: Connection, action: Action, subject: str) -> Details:
    """The details of the latest action of this kind on a subject; empty if there is none."""
    same = Activity.action == action, Activity.subject == subject
    found = connection.scalar(select(Activity.details).where(*same).order_by(Activity.id.desc()).limit(1))
    details: Details = json.loads(found or "{}")
    return details


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


def recorded_activity(
    connection: Connection,
    *,
    user: str | None = None,
    action: Action | None = None,
    since: timedelta | None = None,
    limit: int | None = None,
) -> list[ActivityRecord]:
    """The recorded actions, most recent first.

    Parameters
    ----------
    user : str, optional
        User name or database role.
    action : Action, optional
    since : datetime.timedelta, optional
        Maximum age of the actions.
    limit : int, optional
        Maximum number of rows to return.
    """
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
    if user is not None:
        query = query.where(or_(Activity.user_name == user, Activity.database_role == user))
    if action is not None:
        query = query.where(Activity.action == action)
    if since is not None:
        current: datetime = connection.execute(select(now(type_=UtcDateTime()))).scalar_one()
        query = query.where(Activity.at >= current - since)
    rows = connection.execute(query.limit(limit))
    return [ActivityRecord(**{**row._mapping, "details": json.loads(row.details or "{}")}) for row in rows]
