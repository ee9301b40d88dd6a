"""Bulk writes, the fastest way for each database: executemany of tuples in SQLite, binary COPY in Postgres.

Values reach the driver unchanged, so they must have the type of their column: int, float, bool, str or None. Sort rows
by primary key, because tables without row ids are clustered by it.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping, Sequence
from itertools import islice, starmap
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Connection,
    Date,
    Float,
    Integer,
    LargeBinary,
    String,
    Table,
    bindparam,
    delete,
    quoted_name,
)
from sqlalchemy.exc import DBAPIError

from bsv_store.catalog.database.engine import Database
from bsv_store.catalog.database.models import Unionize
from bsv_store.catalog.database.models.base import Base, UtcDateTime
from bsv_store.errors import BusyError, DamagedCatalogError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_COPY_TYPES = {
    BigInteger: "int8",
    Integer: "int4",
    Float: "float8",
    Boolean: "bool",
    LargeBinary: "bytea",
    String: "text",
    Date: "date",
    UtcDateTime: "timestamptz",
}
# How COPY BINARY writes a value of these types: big-endian, no padding.
_BINARY_TYPES = {"int8": ">i8", "int4": ">i4", "float8": ">f8", "bool": "?"}
# The formats of `struct` that pack a value from SQLite, whose columns can have values of other types than their own.
# Unlike "?", "b" refuses everything that is not a number.
_PACKED_TYPES = {"int8": "q", "int4": "i", "float8": "d", "bool": "b"}
_COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_COPY_TRAILER = b"\xff\xff"
# Rows converted at a time, which bounds the memory.
_BATCH = 50_000
# Number of written rows after which the statistics of the query planner may be out of date.
_MANY_ROWS = 1_000


def table_of(model: type[Base]) -> Table:
    """The table of a model class."""
    return model.__table__


def insert_rows(connection: Connection, table: Table, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Insert rows given as tuples in the order of ``columns``. An existing key is an error."""
    if connection.dialect.name == "sqlite":
        _executemany(connection, _insert(connection, table, columns), rows)
    else:
        _copy(connection, _quoted(connection, table.name), table, columns, rows)


def insert_arrays(connection: Connection, table: Table, columns: Mapping[str, NDArray[Any]]) -> None:
    """Insert rows given column by column: numbers and booleans, without nulls. An existing key is an error.

    Parameters
    ----------
    columns : mapping of str to ndarray, shape (n_rows,)
        By column name. A value that does not fit a 32-bit column raises ``OverflowError``.
    """
    count = len(next(iter(columns.values())))
    if connection.dialect.name == "sqlite":
        statement = _insert(connection, table, tuple(columns))
        for start in range(0, count, _BATCH):
            lists = [array[start : start + _BATCH].tolist() for array in columns.values()]
            _executemany(connection, statement, zip(*lists, strict=True))
        return
    names = ", ".join(_quoted(connection, name) for name in columns)
    packed_type = _row_type(table, columns)
    driver = connection.connection.driver_connection
    assert driver is not None
    statement = f"COPY {_quoted(connection, table.name)} ({names}) FROM STDIN (FORMAT BINARY)"
    with driver.cursor() as cursor, cursor.copy(statement) as copy:
        copy.write(_COPY_HEADER)
        for start in range(0, count, _BATCH):
            copy.write(_packed({name: array[start : start + _BATCH] for name, array in columns.items()}, packed_type))
        copy.write(_COPY_TRAILER)


def has_arrays(table: Table) -> bool:
    """Whether all columns of a table are numbers or booleans without nulls, as `read_arrays` needs."""
    return all(not column.nullable and _copy_type(table, column.name) in _BINARY_TYPES for column in table.columns)


def read_arrays(
    connection: Connection, table: Table, *, keys: Collection[int] | None = None
) -> Generator[dict[str, NDArray[Any]]]:
    """Rows of a table, sorted by primary key, column by column in blocks of rows.

    Memory: one block. See `has_arrays`.

    Parameters
    ----------
    keys : collection of int, optional
        Only rows with one of these values in the first column of the primary key.

    Raises
    ------
    DBAPIError
        If the database fails.
    DamagedCatalogError
        If a column has a value that is not of its type, which is possible on SQLite.
    """
    order = [_quoted(connection, column.name) for column in table.primary_key.columns]
    # Literals, because COPY accepts no parameters.
    where = "" if keys is None else f" WHERE {order[0]} IN ({', '.join(str(int(key)) for key in keys)})"
    names = ", ".join(_quoted(connection, name) for name in table.columns.keys())  # noqa: SIM118 (columns, not names)
    statement = f"SELECT {names} FROM {_quoted(connection, table.name)}{where} ORDER BY {', '.join(order)}"
    driver = connection.connection.driver_connection
    assert driver is not None
    try:
        if connection.dialect.name == "sqlite":
            yield from _fetched_blocks(driver, statement, table)
        else:
            yield from _copied_blocks(driver, statement, table)
    except connection.dialect.loaded_dbapi.Error as error:
        raise DBAPIError(statement, None, error) from error


def _copied_blocks(driver: Any, statement: str, table: Table) -> Iterator[dict[str, NDArray[Any]]]:
    names = table.columns.keys()
    row_type = _row_type(table, names)
    types = {name: row_type[name].newbyteorder("=") for name in names}
    with driver.cursor() as cursor, cursor.copy(f"COPY ({statement}) TO STDOUT (FORMAT BINARY)") as copy:
        for block in _whole_rows(copy, row_type.itemsize):
            rows = block.view(row_type)
            yield {name: rows[name].astype(kind) for name, kind in types.items()}


def _fetched_blocks(driver: Any, statement: str, table: Table) -> Iterator[dict[str, NDArray[Any]]]:
    import numpy as np

    types = {column.name: _copy_type(table, column.name) for column in table.columns}
    # Packing a row refuses values of other types, and takes a tenth of the time of fetching it.
    pack = struct.Struct("<" + "".join(_PACKED_TYPES[each] for each in types.values())).pack
    packed = {name: np.int8 if each == "bool" else np.dtype(_BINARY_TYPES[each][1:]) for name, each in types.items()}
    row_type = np.dtype([(name, np.dtype(each).newbyteorder("<")) for name, each in packed.items()])
    with contextlib.closing(driver.cursor()) as cursor:
        cursor.execute(statement)
        while content := _joined(starmap(pack, islice(cursor, _BATCH)), table):
            rows = np.frombuffer(content, row_type)
            columns = {}
            for name, kind in types.items():
                values = rows[name].astype(packed[name])
                if kind == "bool":
                    if ((values != 0) & (values != 1)).any():
                        raise _not_valid(f"a value of {table.name}.{name} is neither 0 nor 1")
                    values = values.view(np.bool_)
                columns[name] = values
            yield columns


def _joined(rows: Iterable[bytes], table: Table) -> bytes:
    try:
        return b"".join(rows)
    except struct.error as error:
        raise _not_valid(f"a value in the table {table.name} does not have the type of its column: {error}") from error


def _not_valid(problem: str) -> DamagedCatalogError:
    return DamagedCatalogError(f"the catalog is damaged: {problem}", hint="List all damage: bsv-store catalog verify")


def _whole_rows(messages: Iterable[Any], row_bytes: int) -> Iterator[NDArray[Any]]:
    """Blocks of whole rows of a binary COPY, without its header and trailer."""
    import numpy as np

    pending = bytearray()
    to_skip = len(_COPY_HEADER)
    for message in messages:
        pending += message
        if to_skip and len(pending) >= to_skip:
            del pending[:to_skip]
            to_skip = 0
        # The trailer is shorter than a row.
        if not to_skip and len(pending) >= _BATCH * row_bytes:
            yield np.frombuffer(bytes(pending[: _BATCH * row_bytes]), np.uint8)
            del pending[: _BATCH * row_bytes]
    if rest := len(pending) // row_bytes * row_bytes:
        yield np.frombuffer(bytes(pending[:rest]), np.uint8)


def upsert_rows(connection: Connection, table: Table, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Insert rows given as tuples in the order of ``columns``; update those whose primary key exists.

    Keys must be unique among ``rows``; only Postgres notices if they are not.
    """
    keys = [column.name for column in table.primary_key.columns]
    others = [name for name in columns if name not in keys]
    target = ", ".join(_quoted(connection, key) for key in keys)
    action = "DO NOTHING"
    if others:
        assignments = ", ".join(f"{_quoted(connection, n)} = excluded.{_quoted(connection, n)}" for n in others)
        action = f"DO UPDATE SET {assignments}"
    conflict = f"ON CONFLICT ({target}) {action}"
    if connection.dialect.name == "sqlite":
        _executemany(connection, f"{_insert(connection, table, columns)} {conflict}", rows)
        return
    names = ", ".join(_quoted(connection, name) for name in columns)
    stage = f"stage_{table.name}"
    connection.exec_driver_sql(
        f"CREATE TEMP TABLE {stage} ON COMMIT DROP AS SELECT {names} FROM {_quoted(connection, table.name)} LIMIT 0"
    )
    _copy(connection, stage, table, columns, rows)
    connection.exec_driver_sql(
        f"INSERT INTO {_quoted(connection, table.name)} ({names}) SELECT {names} FROM {stage} {conflict}"
    )
    connection.exec_driver_sql(f"DROP TABLE {stage}")


def replace_rows(
    connection: Connection,
    table: Table,
    columns: Sequence[str],
    before: Collection[tuple[int, ...]],
    after: Collection[tuple[int, ...]],
) -> None:
    """Delete the rows that are only in ``before``, insert those only in ``after``, and leave the others untouched."""
    old, new = set(before), set(after)
    if gone := sorted(old - new):
        delete_rows(connection, table, columns, gone)
    if come := sorted(new - old):
        insert_rows(connection, table, columns, come)


def delete_rows(connection: Connection, table: Table, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Delete the rows whose ``columns`` have one of these combinations of values."""
    statement = delete(table).where(*(table.columns[name] == bindparam(f"key_{name}") for name in columns))
    keys = [f"key_{name}" for name in columns]
    if values := [dict(zip(keys, row, strict=True)) for row in rows]:
        connection.execute(statement, values)


def refresh_statistics(connection: Connection) -> None:
    """Update the statistics of the query planner for the tables of the store, and no others.

    This pays after many rows were written.
    """
    tables = [_quoted(connection, name) for name in sorted(Base.metadata.tables)]
    if connection.dialect.name == "sqlite":
        # Enough to tell selective indexes from others. Reading all rows of a full catalog would take seconds.
        connection.exec_driver_sql("PRAGMA analysis_limit = 1000")
        for table in tables:
            connection.exec_driver_sql(f"ANALYZE {table}")
    else:
        connection.exec_driver_sql(f"ANALYZE {', '.join(tables)}")


def refresh_statistics_after(database: Database, rows: int) -> None:
    """Refresh the statistics if enough rows were written that they may be out of date.

    On Postgres the unionize table is vacuumed too. The server would do so only some minutes later; until then, target
    searches and the matrix visit the table for every row that they find in the index.

    Raises
    ------
    StoreUnreachableError, NoSpaceError
        If the database fails.
    """
    if rows < _MANY_ROWS:
        return
    # Statistics only save time, and the rows are committed: no error if another process is writing.
    with contextlib.suppress(BusyError):
        with database.writing() as connection:
            refresh_statistics(connection)
        if not database.is_sqlite:
            database.vacuum(Unionize.__tablename__)


def _executemany(connection: Connection, statement: str, rows: Iterable[Sequence[object]]) -> None:
    # The driver's own executemany iterates over the rows; SQLAlchemy's would collect them in lists first.
    driver = connection.connection.driver_connection
    assert driver is not None
    with contextlib.closing(driver.cursor()) as cursor:
        cursor.executemany(statement, rows)


def _quoted(connection: Connection, name: str) -> str:
    return str(connection.dialect.identifier_preparer.quote(quoted_name(name, None)))


def _insert(connection: Connection, table: Table, columns: Sequence[str]) -> str:
    names = ", ".join(_quoted(connection, name) for name in columns)
    marks = ", ".join("?" * len(columns))
    return f"INSERT INTO {_quoted(connection, table.name)} ({names}) VALUES ({marks})"


def _copy(
    connection: Connection, target: str, table: Table, columns: Sequence[str], rows: Iterable[Sequence[object]]
) -> None:
    types = [_copy_type(table, name) for name in columns]
    names = ", ".join(_quoted(connection, name) for name in columns)
    driver = connection.connection.driver_connection
    assert driver is not None
    with driver.cursor() as cursor, cursor.copy(f"COPY {target} ({names}) FROM STDIN (FORMAT BINARY)") as copy:
        copy.set_types(types)
        for row in rows:
            copy.write_row(row)


def _copy_type(table: Table, name: str) -> str:
    kind = table.columns[name].type
    for base, copy_type in _COPY_TYPES.items():
        if isinstance(kind, base):
            return copy_type
    raise TypeError(f"no COPY type for {table.name}.{name}: {kind!r}")


def _row_type(table: Table, columns: Iterable[str]) -> np.dtype[Any]:
    import numpy as np

    # Without nulls and text all rows have the same length, so NumPy can lay them out at once.
    fields = [("count", ">i2")]
    for name in columns:
        fields += [(f"length of {name}", ">i4"), (name, _BINARY_TYPES[_copy_type(table, name)])]
    return np.dtype(fields)


def _packed(columns: Mapping[str, NDArray[Any]], row_type: np.dtype[Any]) -> bytes:
    import numpy as np

    rows = np.empty(len(next(iter(columns.values()))), row_type)
    rows["count"] = len(columns)
    for name, values in columns.items():
        target = row_type[name]
        if target.kind == "i" and values.size:
            limits = np.iinfo(target)
            if values.min() < limits.min or values.max() > limits.max:
                raise OverflowError(f"a value of {name} does not fit into {8 * target.itemsize} bits")
        rows[f"length of {name}"] = target.itemsize
        rows[name] = values
    return rows.tobytes()
