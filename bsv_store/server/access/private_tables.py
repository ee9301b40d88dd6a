"""What queries of clients may not read: the tables about users, jobs and the machine of the server."""

from __future__ import annotations

import re
from typing import Final

from bsv_store.errors import QueryError

PRIVATE_TABLES: Final = (
    *("access_token", "activity", "claim", "schema_history"),
    *("store_link", "verification", "volume_use"),
)
"""Tables that a copy of the catalog for a mirror has empty, and queries of clients cannot name."""

# Postgres keeps common values of all columns in its own catalogs, SQLite in its statistics.
_PRIVATE = re.compile(
    rf"\b(?:{'|'.join(PRIVATE_TABLES)}|information_schema|sqlite_stat\d|pg_(?!typeof\b|catalog\b)\w+)\b",
    re.IGNORECASE | re.ASCII,
)


def refuse_private_tables(statement: str) -> None:
    """Check that the statement of a client has no name of a private table, not even as text or as a column.

    Neither database can read a table whose name is not in the statement: there are no functions that run SQL, and
    identifiers with escapes are refused on Postgres.

    Raises
    ------
    QueryError
        If it has one.
    """
    found = _PRIVATE.search(statement)
    if found is not None:
        raise QueryError(
            f"queries over the network must not contain the word {found[0]}",
            hint="It names a table about users, jobs or the server itself, which others do not see.",
        )
