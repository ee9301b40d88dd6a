"""Lists of ids in a query, as one parameter: a database takes 32,766 (SQLite) or 65,535 (Postgres) of them, no more."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Connection, Integer, SQLColumnExpression, any_, func, literal, select
from sqlalchemy.dialects.postgresql import ARRAY


def id_in(connection: Connection, column: SQLColumnExpression[Any], ids: Iterable[int]) -> ColumnElement[bool]:
    """The condition that a column holds one of the ids, however many there are."""
    values = [int(value) for value in ids]
    if connection.dialect.name == "sqlite":
        listed = func.json_each(json.dumps(values)).table_valued("value")
        return column.in_(select(listed.c.value.cast(Integer)))
    return column == any_(literal(values, ARRAY(BigInteger)))
