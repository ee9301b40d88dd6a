"""Unionize rows of the whole store by conditions on any column, for servers of the Allen API."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, Connection, func, literal, select

from bsv_store import check
from bsv_store.catalog.coverage import covered
from bsv_store.catalog.database.id_lists import id_in
from bsv_store.catalog.database.models import Unionize
from bsv_store.catalog.records import UNIONIZE_COLUMNS
from bsv_store.catalog.seals import refuse
from bsv_store.catalog.unionize_seals import check_unionizes, damaged_tables
from bsv_store.errors import InputError
from bsv_store.text import shown
from bsv_store.vocabulary import UNIONIZE_PARTS, UnionizePartRow

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

_EXPERIMENT, _STRUCTURE = UNIONIZE_COLUMNS.index("experiment_id"), UNIONIZE_COLUMNS.index("structure_id")

COMPARISONS: Mapping[str, Callable[[Any, Any], Any]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "gt": operator.gt,
    "ge": operator.ge,
    "lt": operator.lt,
    "le": operator.le,
    "in": lambda value, values: value in values,
}
"""The operators of conditions by name: 'in' takes any number of values, the others one."""


@dataclass(frozen=True, slots=True)
class RowCondition:
    """A condition on a column.

    Attributes
    ----------
    column : str
    operator : str
        A key of ``COMPARISONS``: eq, ne, gt, ge, lt, le or in.
    values : tuple
        Of the type of the column.
    """

    column: str
    operator: str
    values: tuple[Any, ...]

    def holds(self, value: object) -> bool:
        """Whether a value of the column fulfills the condition."""
        return bool(COMPARISONS[self.operator](value, self.values if self.operator == "in" else self.values[0]))

    def sql(self, column: ColumnElement[Any]) -> ColumnElement[bool]:
        """The condition in a query."""
        # Of 64 bits: for a column of 32 bits, Postgres would refuse larger integers.
        wide = column.type.python_type is int
        values = [literal(value, BigInteger()) if wide else literal(value, column.type) for value in self.values]
        if self.operator == "in":
            return column.in_(values)
        found: ColumnElement[bool] = COMPARISONS[self.operator](column, values[0])
        return found


@dataclass(frozen=True, slots=True)
class UnionizeRows:
    """Unionize rows by column.

    Attributes
    ----------
    columns : mapping of str to tuple
        The 19 columns of table ``unionize``.
    total : int or None
        Number of rows that fulfill the conditions; None if they were not counted.
    """

    columns: Mapping[str, tuple[Any, ...]]
    total: int | None


def unionize_rows(
    connection: Connection,
    conditions: Sequence[RowCondition],
    *,
    order: Sequence[tuple[str, bool]] = (),
    start: int = 0,
    limit: int,
    count: bool = True,
) -> UnionizeRows:
    """See `Catalog.unionize_rows`."""
    conditions, order = _checked_conditions(conditions), _checked_order(order)
    table = Unionize.__table__
    where = [condition.sql(table.c[condition.column]) for condition in conditions]
    where += _complete(connection, conditions)
    columns = [table.c[name] for name in UNIONIZE_COLUMNS]
    query = select(*columns).where(*where)
    query = query.order_by(
        *(table.c[name].desc() if down else table.c[name] for name, down in order), *table.primary_key
    )
    rows = connection.execute(query.limit(limit).offset(start)).all()
    _check_seals(connection, conditions, rows)
    total = None
    if count:
        is_last = len(rows) < limit and (rows or not start)
        counted = select(func.count()).select_from(table).where(*where)
        total = start + len(rows) if is_last else connection.execute(counted).scalar_one()
    values = zip(*rows, strict=True) if rows else [()] * len(columns)
    return UnionizeRows(dict(zip(UNIONIZE_COLUMNS, values, strict=True)), total)


def _checked_conditions(conditions: Any) -> list[RowCondition]:
    such_as = "[RowCondition('structure_id', 'eq', (385,))]"
    checked = check.several("conditions", conditions, such_as=such_as)
    for each in checked:
        if not isinstance(each, RowCondition):
            raise InputError(f"conditions must be RowConditions, got {shown(each)}", hint=f"For example: {such_as}.")
        if str(each.operator) not in COMPARISONS:
            raise InputError(
                f"the operator of a condition must be one of {', '.join(COMPARISONS)}, got {shown(each.operator)}"
            )
        _check_column(each.column)
    return [replace(each, values=_checked_values(each)) for each in checked]


def _checked_values(condition: RowCondition) -> tuple[Any, ...]:
    """The values of a condition, in the type of its column."""
    name = f"a value of the condition on {condition.column}"
    values = check.several(name, condition.values, such_as="(385,)")
    if condition.operator != "in" and len(values) != 1:
        raise InputError(f"a condition with {condition.operator!r} must have one value, got {len(values)}")
    kind = Unionize.__table__.c[condition.column].type.python_type
    if kind is bool:
        return tuple(check.boolean(name, value) for value in values)
    if kind is int:
        return tuple(check.whole_number(name, value) for value in values)
    return tuple(check.finite_number(name, value) for value in values)


def _checked_order(order: Any) -> list[tuple[str, bool]]:
    such_as = "[('projection_volume', True)]"
    checked = check.several("order", order, such_as=such_as)
    for each in checked:
        if not (isinstance(each, tuple) and len(each) == 2 and isinstance(each[1], bool)):
            raise InputError(
                f"order must be pairs of a column and whether it is descending, got {shown(each)}",
                hint=f"For example: {such_as}.",
            )
        _check_column(each[0])
    return checked


def _check_column(name: object) -> None:
    if not isinstance(name, str) or name not in UNIONIZE_COLUMNS:
        raise InputError(f"unionize rows have no column {shown(name)}", hint=f"Columns: {', '.join(UNIONIZE_COLUMNS)}.")


def _check_seals(connection: Connection, conditions: Sequence[RowCondition], rows: Sequence[Any]) -> None:
    """Check the tables from which the rows come, because who copies them would seal damaged ones as right.

    Of experiments and structures that the conditions name, missing rows are noticed too.
    """
    experiments, structures = _named(conditions, "experiment_id"), _named(conditions, "structure_id")
    ids = {row[_EXPERIMENT] for row in rows} | (experiments or set())
    if not ids:
        return
    parts = [part.name for part in _possible_parts(conditions)]
    if experiments is not None and structures is None:
        damaged = damaged_tables(connection, ids)
        refuse("unionize", [str(key) for key, halves in damaged.items() if not set(halves).isdisjoint(parts)])
        return
    wanted = {row[_STRUCTURE] for row in rows} | (structures or set())
    for part in parts:
        check_unionizes(connection, wanted, part, experiment_ids=ids)


def _possible_parts(conditions: Sequence[RowCondition]) -> list[UnionizePartRow]:
    """The halves that may have rows under the conditions."""
    on_half = [each for each in conditions if each.column == "is_injection"]
    return [part for part in UNIONIZE_PARTS.values() if all(each.holds(part.is_injection) for each in on_half)]


def _named(conditions: Sequence[RowCondition], column: str) -> set[int] | None:
    """The ids in a column to which the conditions restrict the rows; None if they do not name them."""
    named = [set(each.values) for each in conditions if each.column == column and each.operator in ("eq", "in")]
    return set.intersection(*named) if named else None


def _complete(connection: Connection, conditions: Sequence[RowCondition]) -> list[ColumnElement[bool]]:
    """Conditions that the store has all halves of the experiment's table that the others may select."""
    parts = _possible_parts(conditions)
    having: list[ColumnElement[bool]] = [Unionize.experiment_id.in_(covered(part.name)) for part in parts]
    ids = _named(conditions, "experiment_id")
    if ids is None:
        return having
    # With the ids as constants, both databases search the primary key.
    for part in parts:
        query = covered(part.name)
        column = query.selected_columns[0]
        ids &= set(connection.execute(query.where(id_in(connection, column, ids))).scalars())
    return [id_in(connection, Unionize.experiment_id, sorted(ids))]
