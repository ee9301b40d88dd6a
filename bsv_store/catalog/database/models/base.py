"""The base class of tables, column types and constraint names."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, ClassVar

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Dialect,
    Double,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    func,
)
from sqlalchemy.types import NullType, TypeDecorator, TypeEngine

# A name for every constraint, so that migrations can name what they change on both databases.
_NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

# SQLite assigns row ids only to a column of exactly the type INTEGER.
RowId = BigInteger().with_variant(Integer, "sqlite")


class UtcDateTime(TypeDecorator[datetime]):
    """A point in time: aware UTC in Python on both databases."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse naive times. SQLite has no time zones and gets UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Aware UTC, whatever the session's time zone."""
        if not isinstance(value, datetime):
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


# The column type of each annotation, unless the column has an explicit one. The keys are names, because annotations are
# strings; evaluating hundreds of them would take a third of the time to create the tables.
_TYPES: dict[str, type[TypeEngine[Any]]] = {
    "bool": Boolean,
    "bytes": LargeBinary,
    "date": Date,
    "datetime": UtcDateTime,
    "float": Double,
    "int": Integer,
    "str": String,
}
_ANNOTATION = re.compile(r"ColumnElement\[(\w+)( \| None)?\]")


class Base:
    """Base of the classes that represent the tables of the catalog.

    A subclass names its table and annotates its columns; the attributes of the class are then the columns of
    ``__table__``, and the class itself represents the table in statements of SQLAlchemy Core::

        select(Experiment.id).join(Structure, Structure.id == Experiment.primary_structure_id)

    ``ColumnElement[str]`` is a column without nulls, ``ColumnElement[str | None]`` one that may have them.

    The classes are not mapped: importing ``sqlalchemy.orm`` and mapping all tables takes as long as everything else
    that a short command does. :mod:`bsv_store.models` has mapped classes over the same tables.
    """

    metadata: ClassVar[MetaData] = MetaData(naming_convention=_NAMING)
    __tablename__: ClassVar[str]
    __table_args__: ClassVar[tuple[Any, ...] | dict[str, Any]] = ()
    __table__: ClassVar[Table]

    def __init_subclass__(cls) -> None:
        arguments = cls.__table_args__ if isinstance(cls.__table_args__, tuple) else (cls.__table_args__,)
        options = arguments[-1] if arguments and isinstance(arguments[-1], dict) else {}
        constraints = [argument for argument in arguments if argument is not options]
        cls.__table__ = Table(cls.__tablename__, cls.metadata, *_columns(cls), *constraints, **options)
        for column in cls.__table__.columns:
            setattr(cls, column.key, column)

    @classmethod
    def __clause_element__(cls) -> Table:
        # SQLAlchemy calls this to convert an object to a table.
        return cls.__table__


def _columns(cls: type[Base]) -> list[Column[Any]]:
    columns = []
    for name, annotation in cls.__annotations__.items():
        match = _ANNOTATION.fullmatch(annotation)
        if match is None:
            raise TypeError(f"{cls.__name__}.{name} is annotated as {annotation}, not as ColumnElement[...]")
        column: Column[Any] = cls.__dict__.get(name, Column())
        column.name = column.key = name
        # The type of a foreign key is that of the column it refers to.
        if isinstance(column.type, NullType) and not column.foreign_keys:
            column.type = _TYPES[match[1]]()
        if not column.primary_key:
            column.nullable = match[2] is not None
        columns.append(column)
    return columns


# The database's clock, in UTC on both databases.
now = func.current_timestamp
