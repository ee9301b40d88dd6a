"""Copy a catalog from one database to another, table by table, and compare the two row by row.

Both databases have the newest schema. Not copied are the seals of the definitions of tables, which exist on SQLite
only, claims, whose processes use the source, and the link to the store's folder.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from sqlalchemy import String, func, select

from bsv_store.catalog import seals
from bsv_store.catalog.database.bulk import has_arrays, insert_arrays, insert_rows, read_arrays, table_of
from bsv_store.catalog.database.models import Base, Claim, Seal, StoreLink, Unionize
from bsv_store.errors import DamagedCatalogError
from bsv_store.progress import do_nothing

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from sqlalchemy import Connection, Dialect, Select, Table

RowEdit = Callable[[Sequence[Any]], Sequence[Any]]

_LEFT_OUT = frozenset([Claim.__tablename__, StoreLink.__tablename__])
# Rows fetched at a time, which bounds the memory.
_BATCH = 5_000


def copied_tables() -> list[Table]:
    """The tables that are copied, in the order in which they are filled.

    The large table is first, so that the front of a copied SQLite file, which is stored in parts, changes least.
    """
    unionize = table_of(Unionize)
    others = [each for each in Base.metadata.sorted_tables if each is not unionize and each.name not in _LEFT_OUT]
    return [unionize, *others]


def copy_rows(
    source: Connection,
    destination: Connection,
    *,
    tables: Sequence[Table] | None = None,
    edits: Mapping[str, RowEdit] | None = None,
    check_abort: Callable[[], None] = do_nothing,
) -> int:
    """Replace all rows of a database by those of another one; returns their number.

    Neither triggers nor sequences see the copy: no change of the catalog is recorded, and new rows get new ids
    afterwards. On SQLite, foreign keys must be off for the connection.

    Parameters
    ----------
    source, destination : Connection
        In transactions; nothing is committed.
    tables : sequence of Table, optional
        The tables that get rows, by default `copied_tables`. The others are empty afterwards.
    edits : mapping of str to callable, optional
        By table: a function that returns the row to be written for a row of the source.
    check_abort : callable
        Called between blocks of rows; may raise to stop.
    """
    count = 0
    with _without_triggers(destination):
        _empty(destination)
        for table in copied_tables() if tables is None else tables:
            count += _copy_table(source, destination, table, (edits or {}).get(table.name), check_abort)
    if destination.dialect.name == "sqlite":
        seals.seal_schema(destination)
    else:
        for table in Base.metadata.sorted_tables:
            _advance_sequence(destination, table)
    return count


def _copy_table(
    source: Connection,
    destination: Connection,
    table: Table,
    edit: RowEdit | None,
    check_abort: Callable[[], None],
) -> int:
    count = 0
    if edit is None and has_arrays(table):
        with closing(read_arrays(source, table)) as arrays:
            for block in arrays:
                check_abort()
                insert_arrays(destination, table, block)
                count += len(next(iter(block.values())))
        return count
    columns = table.columns.keys()
    convert = _converter(table, destination.dialect)
    with closing(_blocks(source, table)) as blocks:
        for rows in blocks:
            check_abort()
            insert_rows(destination, table, columns, map(convert, rows if edit is None else map(edit, rows)))
            count += len(rows)
    return count


def compare_rows(source: Connection, destination: Connection, *, check_abort: Callable[[], None] = do_nothing) -> int:
    """Compare all rows of two databases, value by value; returns their number.

    Raises
    ------
    DamagedCatalogError
        If a row differs, or exists in one of them only. The message names the table and the row.
    """
    count = 0
    for table in copied_tables():
        if has_arrays(table):
            with closing(read_arrays(source, table)) as left, closing(read_arrays(destination, table)) as right:
                count += _compare_arrays(left, right, table, check_abort)
        else:
            with closing(_blocks(source, table)) as ours, closing(_blocks(destination, table)) as theirs:
                count += _compare_blocks(ours, theirs, table, check_abort)
    return count


def _compare_arrays(
    left: Iterator[Mapping[str, NDArray[Any]]],
    right: Iterator[Mapping[str, NDArray[Any]]],
    table: Table,
    check_abort: Callable[[], None],
) -> int:
    import numpy as np

    keys = [column.name for column in table.primary_key.columns]
    count = 0
    while True:
        check_abort()
        # Blocks of both have the same number of rows, but for the last one.
        ours, theirs = next(left, None), next(right, None)
        if ours is None and theirs is None:
            return count
        if ours is None or theirs is None:
            raise _different(table, keys, [(ours or theirs or {})[key][0] for key in keys])
        length = min(len(ours[keys[0]]), len(theirs[keys[0]]))
        wrong = np.zeros(length, bool)
        for name, values in ours.items():
            wrong |= values[:length] != theirs[name][:length]
        if wrong.any():
            first = int(wrong.argmax())
            raise _different(table, keys, [ours[key][first] for key in keys])
        longer = max(ours, theirs, key=lambda block: len(block[keys[0]]))
        if len(longer[keys[0]]) > length:
            raise _different(table, keys, [longer[key][length] for key in keys])
        count += length


def _compare_blocks(
    left: Iterator[list[tuple[Any, ...]]],
    right: Iterator[list[tuple[Any, ...]]],
    table: Table,
    check_abort: Callable[[], None],
) -> int:
    keys = [column.name for column in table.primary_key.columns]
    places = [table.columns.keys().index(key) for key in keys]
    count = 0
    while True:
        check_abort()
        ours, theirs = next(left, []), next(right, [])
        if not ours and not theirs:
            return count
        for mine, other in zip_longest(ours, theirs):
            if mine != other:
                row = mine if mine is not None else other
                raise _different(table, keys, [row[place] for place in places])
        count += len(ours)


def _different(table: Table, keys: Sequence[str], values: Sequence[Any]) -> DamagedCatalogError:
    row = ", ".join(f"{key} {value}" for key, value in zip(keys, values, strict=True))
    return DamagedCatalogError(
        f"the copy of the table {table.name} differs from the original, first at {row}",
        hint="Check the original: bsv-store catalog verify. The copy is not used.",
    )


def _query(connection: Connection, table: Table) -> Select[Any]:
    order: list[Any] = []
    for column in table.primary_key.columns:
        # The order of SQLite, whatever the collation of the server.
        is_text = isinstance(column.type, String) and connection.dialect.name != "sqlite"
        order.append(column.collate("C") if is_text else column)
    query = select(table).order_by(*order)
    return query.where(Seal.scope != "schema") if table is table_of(Seal) else query


def _blocks(connection: Connection, table: Table) -> Generator[list[tuple[Any, ...]]]:
    options = {"yield_per": _BATCH}
    with connection.execute(_query(connection, table), execution_options=options) as result:
        for rows in result.partitions():
            yield [tuple(row) for row in rows]


def _converter(table: Table, dialect: Dialect) -> Callable[[Sequence[Any]], Sequence[Any]]:
    """A function that converts the values of a row to what the driver needs; damaged ones are copied as they are."""
    # Processors of the database's own types, because SQLAlchemy writes times to SQLite as text.
    processors = [(n, each.type.dialect_impl(dialect).bind_processor(dialect)) for n, each in enumerate(table.columns)]
    needed = [(number, process) for number, process in processors if process is not None]

    def convert(row: Sequence[Any]) -> Sequence[Any]:
        values = list(row)
        for number, process in needed:
            # SQLite stores text in any column. Who reads the copy finds the damage by its seal, as in the original.
            with suppress(ValueError, TypeError):
                values[number] = process(values[number])
        return values

    return convert if needed else lambda row: row


@contextmanager
def _without_triggers(connection: Connection) -> Iterator[None]:
    """Turn the triggers of the catalog off for the duration of the block."""
    if connection.dialect.name == "sqlite":
        query = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' ORDER BY rowid"
        triggers = [(str(name), str(sql)) for name, sql in connection.exec_driver_sql(query)]
        for name, _ in triggers:
            connection.exec_driver_sql(f'DROP TRIGGER "{name}"')
        yield
        for _, sql in triggers:
            connection.exec_driver_sql(sql)
        return
    for state in ("DISABLE", "ENABLE"):
        for table in Base.metadata.sorted_tables:
            connection.exec_driver_sql(f"ALTER TABLE {_quoted(connection, table)} {state} TRIGGER USER")
        if state == "DISABLE":
            yield


def _empty(connection: Connection) -> None:
    """Delete all rows: those of a new schema are seals of an empty catalog, or left by a copy that was killed."""
    tables = Base.metadata.sorted_tables
    if connection.dialect.name == "sqlite":
        for table in reversed(tables):
            connection.execute(table.delete())
    else:
        connection.exec_driver_sql(f"TRUNCATE {', '.join(_quoted(connection, each) for each in tables)}")


def _advance_sequence(connection: Connection, table: Table) -> None:
    column = table.autoincrement_column
    if column is None:
        return
    query = "SELECT pg_get_serial_sequence(%(table)s, %(column)s)"
    names = {"table": _quoted(connection, table), "column": column.name}
    sequence = connection.exec_driver_sql(query, names).scalar()
    if sequence is None:
        return
    highest = connection.scalar(select(func.max(column)))
    connection.exec_driver_sql(
        "SELECT setval(%(sequence)s, %(value)s, %(is_used)s)",
        {"sequence": sequence, "value": highest or 1, "is_used": highest is not None},
    )


def _quoted(connection: Connection, table: Table) -> str:
    return connection.dialect.identifier_preparer.format_table(table)
