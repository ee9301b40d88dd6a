"""The statements that a migration sends to the database, as text that an administrator can read and run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, event

# Statements that change something. Migrations also look up what is there.
_CHANGES = re.compile(r"\s*(ALTER|COMMENT|CREATE|DELETE|DROP|GRANT|INSERT|REVOKE|UPDATE)\b", re.IGNORECASE)
# Marks of parameters: ? of sqlite3, %(name)s and %s of psycopg, not in quotes.
_MARK = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|\?|%\((?P<name>\w+)\)s(?:::\w+)?|%s|%%")


@contextmanager
def recorded(connection: Connection, statements: list[str]) -> Iterator[None]:
    """Append the changing statements of a connection to a list, with their values."""

    def record(
        _connection: Connection, _cursor: Any, statement: str, parameters: Any, _context: Any, executemany: bool
    ) -> None:
        if _CHANGES.match(statement):
            for values in parameters if executemany else [parameters]:
                statements.append(with_values(statement, values))

    event.listen(connection, "before_cursor_execute", record)
    try:
        yield
    finally:
        event.remove(connection, "before_cursor_execute", record)


def with_values(statement: str, values: Sequence[Any] | Mapping[str, Any] | None) -> str:
    """The statement with its values in place of the marks, with a semicolon at the end."""
    found = statement.strip().rstrip(";")
    # In statements with named values, %% is an escape even if there are none; with question marks, it is text.
    if values or isinstance(values, Mapping):
        order = iter(values if not isinstance(values, Mapping) else ())

        def value(match: re.Match[str]) -> str:
            if match[0] == "%%":
                return "%"
            if match["name"] is not None:
                assert isinstance(values, Mapping)
                return literal(values[match["name"]])
            if isinstance(values, Mapping):
                return match[0].replace("%%", "%")
            return literal(next(order)) if match[0] in ("?", "%s") else match[0]

        found = _MARK.sub(value, found)
    return f"{found};"


def literal(value: object) -> str:
    """A value as a literal in SQL."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, bytes):
        return f"X'{value.hex()}'"
    return "'" + str(value).replace("'", "''") + "'"
