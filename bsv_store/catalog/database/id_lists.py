"""Lists of ids in a query, passed as one parameter: SQLite takes at most 32,766 parameters, Postgres 65,535."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Connection, Integer, SQLColumnExpression, any_, func, literal, select


def id_in(connection: Connection, column: SQLColumnExpression[Any], ids: Iterable[int]) -> ColumnElement[bool]:
    """The condition that a column has one of the ids, of which there may be any number."""
    values = [int(value) for value in ids]
    if connection.dialect.name == "sqlite":
        listed = func.json_each(json.dumps(values)).table_valued("value")
        return column.in_(select(listed.c.value.cast(Integer)))
    from sqlalchemy.dialects.postgresql import ARRAY

    return column == any_(literal(values, ARRAY(BigInteger)))
