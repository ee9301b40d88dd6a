"""The history of the schema: what was applied when, by whom and with which release."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import Connection, func, insert, literal, select

from bsv_store._version import __version__
from bsv_store.catalog.database.models import SchemaHistory
from bsv_store.catalog.database.models.base import now
from bsv_store.owner import current_user

if TYPE_CHECKING:
    from bsv_store.vocabulary import SchemaAction


def record_schema_change(connection: Connection, action: SchemaAction, before: str | None, after: str | None) -> None:
    """Record a change of the schema by this user, in the transaction that carries it out."""
    is_sqlite = connection.dialect.name == "sqlite"
    connection.execute(
        insert(SchemaHistory).values(
            at=now() if is_sqlite else func.clock_timestamp(),
            action=action,
            from_revision=before,
            to_revision=after,
            user_name=current_user(),
            database_role=literal(None) if is_sqlite else func.session_user(),
            host=socket.gethostname(),
            release=__version__,
        )
    )


@dataclass(frozen=True, slots=True)
class SchemaChange:
    """One change of the schema.

    Attributes
    ----------
    at : datetime.datetime
        Aware UTC.
    action : SchemaAction
    from_revision, to_revision : str or None
        None before the creation, and after the removal.
    user_name : str
    database_role : str or None
        None on SQLite.
    host : str
    release : str
    """

    at: datetime
    action: SchemaAction
    from_revision: str | None
    to_revision: str | None
    user_name: str
    database_role: str | None
    host: str
    release: str


def recorded_changes(connection: Connection) -> list[SchemaChange]:
    """The recorded changes of the schema, oldest first."""
    query = select(
        SchemaHistory.at,
        SchemaHistory.action,
        SchemaHistory.from_revision,
        SchemaHistory.to_revision,
        SchemaHistory.user_name,
        SchemaHistory.database_role,
        SchemaHistory.host,
        SchemaHistory.release,
    ).order_by(SchemaHistory.id)
    return [SchemaChange(**row._mapping) for row in connection.execute(query)]
