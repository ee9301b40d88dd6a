"""INSERT with ON CONFLICT, for which SQLAlchemy has one class per database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.dialects import postgresql, sqlite


def insert_into(connection: Connection, table: Any) -> sqlite.Insert | postgresql.Insert:
    """An INSERT into a table that supports ON CONFLICT."""
    # Imported here: importing the other dialect too would take a tenth of the time of a short command.
    if connection.dialect.name == "sqlite":
        from sqlalchemy.dialects.sqlite import insert as sqlite_insert

        return sqlite_insert(table)
    from sqlalchemy.dialects.postgresql import insert as postgresql_insert

    return postgresql_insert(table)
