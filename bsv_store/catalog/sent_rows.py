"""The unionize rows that a server sends with its catalog: those of the root, and of primary structures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import column, table

from bsv_store.catalog.database.bulk import table_of
from bsv_store.catalog.database.models import Unionize

if TYPE_CHECKING:
    from sqlalchemy import Connection, TableClause

SENT_ROWS: Final = "unionize_of_experiments"
"""Name of their table in a copy of a server's catalog, which has the table ``unionize`` only when it is complete."""


def sent_rows(connection: Connection) -> TableClause | None:
    """Their table; None if the catalog is not a copy, or the server has no unionize rows."""
    if connection.dialect.name != "sqlite":
        return None
    query = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
    if connection.exec_driver_sql(query, (SENT_ROWS,)).first() is None:
        return None
    return table(SENT_ROWS, *(column(each.name, each.type) for each in table_of(Unionize).columns))
