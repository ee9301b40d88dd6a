"""User SQL: one read-only statement, with bound parameters and limits on rows, bytes and time.

The database refuses statements that would write. SQLite: a separate connection to the file opened read-only, with
``query_only`` on and an authorizer that allows reading only; a query that would block writers for longer than they wait
starts again on a private copy. Postgres: a separate connection with a read-only transaction that has its snapshot
already (no statement can make it writable after that) and is always rolled back. The extended protocol accepts a single
statement, and statements that return no rows are not executed, because COPY could write files. On both, only known
functions can be called. On Postgres, the statement also runs as the reader role if there is one, and by default never
as a superuser.
"""

from __future__ import annotations

import math
import os
import re
import sqlite3
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from bsv_store.catalog.database.driver_errors import BUSY_TIMEOUT_S, translated
from bsv_store.catalog.database.engine import Database, ReadableFile
from bsv_store.catalog.database.private_copy import CopyTooSlowError, snapshot_copy
from bsv_store.catalog.database.reader import is_superuser, usable_reader_role
from bsv_store.catalog.database.running import RunningQuery
from bsv_store.catalog.database.sqlite import READ_LIMIT_S
from bsv_store.catalog.tables.functions import ALLOWED, FUNCTIONS_HINT, check_functions
from bsv_store.catalog.tables.table import Table, typed_table
from bsv_store.catalog.tables.views import unknown_name_hint
from bsv_store.check import as_float
from bsv_store.errors import BsvStoreError, BusyError, NoSpaceError, QueryError
from bsv_store.text import MAX_ID, shown, size_text

if TYPE_CHECKING:
    import pandas as pd
    from sqlalchemy import Connection

_READ_ONLY_HINT = "Queries are read-only: use one statement that returns rows, such as SELECT."

MAX_BYTES = 1_000_000_000
"""Default limit on the size of a result in memory, in bytes."""

# The largest timeout of Postgres, 24 days.
_MAX_TIME_S = 2_000_000.0


@dataclass(frozen=True, slots=True)
class _Query:
    statement: str
    parameters: Mapping[str, Any]
    row_limit: int | None
    time_limit_s: float
    max_bytes: int
    allow_superuser: bool


@dataclass(frozen=True, slots=True)
class _Result:
    names: Sequence[str]
    rows: Sequence[Sequence[Any]]


def run_sql(
    database: Database,
    statement: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    row_limit: int | None,
    time_limit_s: float,
    max_bytes: int = MAX_BYTES,
    allow_superuser: bool = False,
) -> pd.DataFrame:
    """The rows of a read-only statement; ``frame.attrs["truncated"]`` tells whether the row limit left rows out.

    Integer columns are int64, or Int64 with missing values; floats are float64; booleans are bool or boolean; all other
    columns are object, with None for missing values. SQLite has no booleans and returns 0 and 1, and times as text in
    UTC. The second column of a name gets "_2" appended.

    Parameters
    ----------
    database : Database
    statement : str
        One statement; ``:name`` marks a parameter on both databases.
    parameters : mapping of str to str, int, float, bool or None, optional
    row_limit : int or None
        Maximum number of rows to return; None returns all.
    time_limit_s : float
        Timeout in seconds.
    max_bytes : int
        Maximum size of the result in memory, in bytes.
    allow_superuser : bool
        On Postgres, run the statement even if the account is a superuser and the store has no reader role.

    Raises
    ------
    QueryError
        If the statement is invalid, would write, calls a function that is not allowed, takes too long, returns too
        much, or has a parameter without a value; or if it would run as a superuser.
    StoreUnreachableError, BusyError
        If the database cannot be reached, or stays locked.
    """
    table = sql_table(
        database,
        statement,
        parameters,
        row_limit=row_limit,
        time_limit_s=time_limit_s,
        max_bytes=max_bytes,
        allow_superuser=allow_superuser,
    )
    frame = table.to_frame()
    frame.attrs["truncated"] = table.truncated
    return frame


def sql_table(
    database: Database,
    statement: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    row_limit: int | None,
    time_limit_s: float,
    max_bytes: int = MAX_BYTES,
    allow_superuser: bool = False,
) -> Table:
    """The rows of a read-only statement, see `run_sql`."""
    query = _checked(statement, parameters, row_limit, time_limit_s, max_bytes, allow_superuser)
    answer = database.answer_elsewhere(
        statement, query.parameters, row_limit=query.row_limit, time_limit_s=query.time_limit_s, max_bytes=max_bytes
    )
    if answer is not None:
        # The server may have another limit; its rows have the same size here as those of a folder.
        _collected(answer.rows, query)
        return answer
    run = _run_sqlite if database.is_sqlite else _run_postgres
    try:
        with database.queries.running() as running:
            return _table(run(database, query, running), query.row_limit)
    except MemoryError as error:
        raise QueryError("the result does not fit into memory", hint=_TOO_LARGE_HINT) from error


def _checked(
    statement: Any, parameters: Any, row_limit: Any, time_limit_s: Any, max_bytes: Any, allow_superuser: bool
) -> _Query:
    if not isinstance(statement, str) or not statement.strip():
        raise QueryError("the statement is empty", hint=_READ_ONLY_HINT)
    if "\0" in statement or not _is_unicode(statement):
        raise QueryError(f"the statement {shown(statement)} contains characters that are not valid in SQL")
    if row_limit is not None and not _is_count(row_limit):
        raise QueryError(f"limit must be a positive integer below 2**63 or None, got {shown(row_limit)}")
    if not _is_count(max_bytes):
        raise QueryError(f"max_bytes must be a positive integer below 2**63, got {shown(max_bytes)}")
    if (seconds := as_float(time_limit_s)) is None or not 0 < seconds < math.inf:
        raise QueryError(f"timeout_s must be a positive number of seconds, got {shown(time_limit_s)}")
    if not (parameters is None or isinstance(parameters, Mapping)):
        raise QueryError(f"parameters must be a dict, got {shown(parameters)}", hint="For example: {'id': 158314987}.")
    values = {str(name): _parameter(str(name), value) for name, value in (parameters or {}).items()}
    limit = None if row_limit is None else int(row_limit)
    return _Query(statement, values, limit, min(seconds, _MAX_TIME_S), int(max_bytes), allow_superuser=allow_superuser)


def _is_count(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, Integral) and 1 <= int(value) <= MAX_ID


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _parameter(name: str, value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str) and "\0" not in value and _is_unicode(value):
        return value
    if isinstance(value, Integral) and -MAX_ID - 1 <= int(value) <= MAX_ID:
        return int(value)
    if isinstance(value, Real) and not isinstance(value, Integral):
        return float(value)
    raise QueryError(
        f"the parameter {name!r} cannot be {shown(value)}", hint="Parameters are strings, numbers, True, False or None."
    )


# -- SQLite -----------------------------------------------------------------------------------------------------------

_HARMLESS_PRAGMAS = {"table_info", "table_xinfo", "index_list", "index_info", "foreign_key_list"}
_READING = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE}
# Bytes of one value. SQLite's own limit, 1 GB, can exhaust the memory of a small machine.
_LONGEST_VALUE = 32_000_000
# Steps of SQLite's virtual machine between two checks of the time limit.
_STEPS = 10_000


def _authorize(action: int, first: str | None, second: str | None, _database: str | None, _trigger: str | None) -> int:
    if action in _READING:
        return sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_FUNCTION and second is not None and second.lower() in ALLOWED:
        return sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_PRAGMA and first in _HARMLESS_PRAGMAS:
        return sqlite3.SQLITE_OK
    return sqlite3.SQLITE_DENY


class _TooLongError(QueryError):
    """The query was stopped at its time limit."""


def _run_sqlite(database: Database, query: _Query, running: RunningQuery) -> _Result:
    file = database.readable_file(wait_s=min(query.time_limit_s, BUSY_TIMEOUT_S))
    if not file.blocks_writers or query.time_limit_s <= READ_LIMIT_S:
        return _run_on_file(file, query, query.time_limit_s, running)
    start = time.monotonic()
    try:
        return _run_on_file(file, query, READ_LIMIT_S, running)
    except _TooLongError:
        # Other jobs cannot write while it runs on the catalog itself.
        return _run_on_copy(file.path, query, query.time_limit_s - (time.monotonic() - start), running)


def _run_on_copy(path: Path, query: _Query, time_limit_s: float, running: RunningQuery) -> _Result:
    try:
        with snapshot_copy(path, time_limit_s=READ_LIMIT_S, wait_s=BUSY_TIMEOUT_S) as copy:
            return _run_on_file(ReadableFile(copy, blocks_writers=False), query, time_limit_s, running)
    except (BusyError, CopyTooSlowError, NoSpaceError, OSError, sqlite3.Error) as error:
        if running.is_stopped:
            raise _stopped() from error
        reason = f"copying it takes longer than {READ_LIMIT_S:g} s" if isinstance(error, CopyTooSlowError) else error
        raise QueryError(
            f"the query took longer than {READ_LIMIT_S:g} s and was stopped, because other jobs cannot write while it "
            f"reads the catalog, and it cannot read a private copy of the catalog: {reason}",
            hint="Narrow the query; or use Postgres or SQLite's write-ahead log, where readers do not block writers.",
        ) from error


def _run_on_file(file: ReadableFile, query: _Query, time_limit_s: float, running: RunningQuery) -> _Result:
    wait = min(time_limit_s, BUSY_TIMEOUT_S)
    uri = f"file:{quote(os.fsencode(file.path))}?mode=ro{'&immutable=1' * file.is_immutable}"
    try:
        with closing(sqlite3.connect(uri, uri=True, timeout=wait, isolation_level=None)) as driver:
            file.prepare(driver)
            _guard(driver, time_limit_s, running)
            cursor = driver.execute(query.statement, dict(query.parameters))
            if cursor.description is None:
                raise QueryError("the statement returns no rows", hint=_READ_ONLY_HINT)
            rows = _collected(cursor, query)
            return _Result([column[0] for column in cursor.description], rows)
    except (sqlite3.Error, sqlite3.Warning, OverflowError) as error:
        if running.is_stopped:
            raise _stopped() from error
        raise _sqlite_error(error, query, file.path) from error


def _guard(driver: sqlite3.Connection, time_limit_s: float, running: RunningQuery) -> None:
    deadline = time.monotonic() + time_limit_s
    driver.execute("PRAGMA query_only = ON")
    # SQLite creates these on first use, which an authorizer sees as a change of the schema.
    for name in ("json_each", "json_tree", *(f"pragma_{pragma}" for pragma in sorted(_HARMLESS_PRAGMAS))):
        driver.execute(f"SELECT 1 FROM {name} LIMIT 0")
    driver.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST_VALUE)
    driver.set_progress_handler(lambda: running.is_stopped or time.monotonic() > deadline, _STEPS)
    driver.set_authorizer(_authorize)


def _sqlite_error(error: Exception, query: _Query, path: Path) -> BsvStoreError:
    code = getattr(error, "sqlite_errorcode", None)
    if code == sqlite3.SQLITE_INTERRUPT:
        return _too_long(query)
    if "to use function" in str(error):
        return QueryError(f"the database refused the statement: {error}", hint=FUNCTIONS_HINT)
    if code in (sqlite3.SQLITE_AUTH, sqlite3.SQLITE_READONLY) or "not authorized" in str(error):
        return QueryError(f"the database refused the statement: {error}", hint=_READ_ONLY_HINT)
    # Not caused by the statement: locked, unreadable, damaged. The low byte is the error without its details.
    if code is not None and code & 0xFF not in (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH):
        return translated(error, str(path))
    return QueryError(f"the query failed: {error}", hint=_hint(str(error)))


# -- Postgres ---------------------------------------------------------------------------------------------------------

# Tokens that contain a colon with another meaning come first and are not changed.
_TOKEN = re.compile(
    r"""
    (?<!\w)[eE]'(?:[^'\\]|''|\\.)*'
    | '(?:[^']|'')*'
    | "(?:[^"]|"")*"
    | (?<!\w)\$(?P<tag>[^\W\d]\w*|)\$.*?\$(?P=tag)\$
    | --[^\n]*
    | /\*.*?\*/
    | ::
    | :(?P<name>[^\W\d]\w*)
    """,
    re.VERBOSE | re.DOTALL,
)


def _numbered(query: _Query) -> tuple[str, list[Any]]:
    """The statement with $1, $2 ... in place of :name, and the values in that order."""
    order: list[str] = []

    def number(match: re.Match[str]) -> str:
        name = match["name"]
        if name is None:
            return match[0]
        if name not in query.parameters:
            raise QueryError(f"the query failed: no value for the parameter :{name}", hint=_PARAMETER_HINT)
        if name not in order:
            order.append(name)
        return f"${order.index(name) + 1}"

    return _TOKEN.sub(number, query.statement), [query.parameters[name] for name in order]


def _run_postgres(database: Database, query: _Query, running: RunningQuery) -> _Result:
    import psycopg
    from psycopg.types.string import TextLoader

    statement, values = _numbered(query)
    check_functions(statement)
    # A separate connection, which discards all changes that the statement makes to its session.
    private = Database(database.target, read_only=True, pooled=False)
    with private.reading() as connection:
        driver: Any = connection.connection.driver_connection
        # The first query takes the snapshot. After that, no statement can make the transaction writable.
        limit = str(math.ceil(1000 * query.time_limit_s))
        connection.exec_driver_sql(
            "SELECT set_config('statement_timeout', %(limit)s, true),"
            # Required by `check_functions`, which must agree with the server on where strings end.
            " set_config('standard_conforming_strings', 'on', true)",
            {"limit": limit},
        )
        _become_reader(connection, query)
        # As text, as on SQLite, because their size as Python objects is unknown.
        for name in ("json", "jsonb"):
            driver.adapters.register_loader(name, TextLoader)
        running.cancel = driver.cancel_safe
        if running.is_stopped:
            raise _stopped()
        try:
            names = _column_names(driver, statement, values)
            if running.is_stopped:
                raise _stopped()
            # Close it first: using the connection while it is open would block forever.
            stream: Any = psycopg.RawCursor(driver).stream(statement, values)
            with closing(stream):
                rows = _collected(stream, query)
            _refuse_traces(driver)
        except psycopg.Error as error:
            if running.is_stopped:
                raise _stopped() from error
            refusal = _postgres_refusal(error, query)
            if refusal is None:
                raise
            raise refusal from error
        connection.rollback()
    return _Result(names, rows)


def _become_reader(connection: Connection, query: _Query) -> None:
    """Switch to the reader role of the store, if this account is a member.

    Raises
    ------
    QueryError
        If the account cannot use the role and is a superuser.
    """
    role = usable_reader_role(connection)
    if role is not None:
        connection.exec_driver_sql(f"SET LOCAL ROLE {connection.dialect.identifier_preparer.quote(role)}")
    elif is_superuser(connection) and not query.allow_superuser:
        raise QueryError(
            "the account of this store is a superuser of the database server; queries must not run as a superuser",
            hint="Create a role that can only read: bsv-store db grant\n"
            "Or allow it for one query: allow_superuser=True.",
        )


def _refuse_traces(driver: Any) -> None:
    """Raise if the statement has written to the database, so that it is rolled back.

    Postgres (18) accepts EXPLAIN ANALYZE CREATE TABLE AS in a read-only transaction.
    """
    from psycopg import pq

    # If the row limit ended the statement early, its transaction has failed and leaves nothing behind.
    if driver.info.transaction_status == pq.TransactionStatus.INTRANS:
        written = driver.execute("SELECT txid_current_if_assigned()").fetchone()
        if written != (None,):
            raise QueryError("the statement has written to the database, and was rolled back", hint=_READ_ONLY_HINT)


def _column_names(driver: Any, statement: str, values: Sequence[Any]) -> list[str]:
    """The columns of the result, as Postgres describes them without executing the statement."""
    from psycopg import pq
    from psycopg.adapt import PyFormat, Transformer
    from psycopg.errors import error_from_result

    transformer = Transformer(driver)
    transformer.dump_sequence(values, [PyFormat.AUTO] * len(values))
    prepared = driver.pgconn.prepare(b"", statement.encode(), transformer.types)
    described = driver.pgconn.describe_prepared(b"") if prepared.status == pq.ExecStatus.COMMAND_OK else prepared
    if described.status != pq.ExecStatus.COMMAND_OK:
        raise error_from_result(described)
    if described.nfields == 0:
        raise QueryError("the statement returns no rows, so it was not executed", hint=_READ_ONLY_HINT)
    return [described.fname(number).decode() for number in range(described.nfields)]


def _postgres_refusal(error: Any, query: _Query) -> QueryError | None:
    """The error for the user; None if the statement did not cause it."""
    import psycopg

    state = error.sqlstate or ""
    if isinstance(error, psycopg.errors.QueryCanceled):
        return _too_long(query)
    # Class 25: the state of the transaction, which is read-only and stays so.
    if state.startswith("25"):
        return QueryError(f"the database refused the statement: {error}", hint=_READ_ONLY_HINT)
    is_limit = state.startswith("54")
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError | psycopg.InternalError) and not is_limit:
        return None
    text = str(error).strip()
    return QueryError(f"the query failed: {text}", hint=_hint(text))


# -- results ----------------------------------------------------------------------------------------------------------

_PARAMETER_HINT = "Every :name in the statement needs a value."


def _hint(text: str) -> str | None:
    lowered = text.lower()
    if "one statement" in lowered or "multiple commands" in lowered:
        return _READ_ONLY_HINT
    if "binding" in lowered:
        return _PARAMETER_HINT
    return unknown_name_hint(text)


def _stopped() -> BusyError:
    return BusyError("the query was stopped, because the server is shutting down", hint="Try again later.")


def _too_long(query: _Query) -> _TooLongError:
    return _TooLongError(
        f"the query took longer than {query.time_limit_s:g} s and was stopped",
        hint="Narrow the query, or allow more time.",
    )


_TOO_LARGE_HINT = "Select fewer columns or rows, or compute the result in SQL."


def _collected(rows: Iterable[Sequence[Any]], query: _Query) -> list[Sequence[Any]]:
    """The rows up to the row limit.

    Raises
    ------
    QueryError
        If they take more memory than is allowed.
    """
    found: list[Sequence[Any]] = []
    size = 0
    for row in islice(rows, _fetched(query)):
        size += sys.getsizeof(row) + sum(map(_size, row))
        if size > query.max_bytes:
            raise QueryError(
                f"the result is larger than {size_text(query.max_bytes)}",
                hint=f"{_TOO_LARGE_HINT} Or increase --max-bytes (max_bytes=...).",
            )
        found.append(row)
    return found


def _size(value: Any) -> int:
    # Arrays of Postgres are lists, possibly nested.
    return sys.getsizeof(value) + (sum(map(_size, value)) if isinstance(value, list) else 0)


def _fetched(query: _Query) -> int | None:
    # One more than the limit, to see whether there are more.
    return None if query.row_limit is None else min(query.row_limit + 1, sys.maxsize)


def _table(result: _Result, row_limit: int | None) -> Table:
    found = result.rows[:row_limit]
    return typed_table(result.names, found, truncated=len(found) < len(result.rows))
