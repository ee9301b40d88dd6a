"""The errors of bsv-store for errors of the database drivers.

Errors are told apart by their codes, because messages of Postgres are in the language of the server. There is one
function for each driver, with a table of codes.
"""

from __future__ import annotations

import re
import sqlite3
from typing import Literal, assert_never

from sqlalchemy.exc import DBAPIError

from bsv_store.catalog.database.sqlite_errors import sqlite_error
from bsv_store.errors import (
    AccessDeniedError,
    BsvStoreError,
    BusyError,
    DamagedCatalogError,
    InputError,
    NoSpaceError,
    ReadOnlyStoreError,
    StoreMismatchError,
    StoreUnreachableError,
)
from bsv_store.text import masked

BUSY_TIMEOUT_S = 30.0

# What triggers say in a database whose catalog was moved to another one.
MOVED = "the catalog was moved to another database"

READER_HINT = (
    "Ask the store's maintainer for permission to write to its folder and database. Reading works without it. To add "
    "data, create a store of your own: bsv-store init FOLDER"
)
_DENIED_HINT = (
    "Ask the store's maintainer to grant this account access: bsv-store db grant --reader ACCOUNT --apply (to read), "
    "--writer ACCOUNT (to add data), --admin ACCOUNT (to upgrade the schema)."
)
_SQLITE_HINT = "Check that the file exists and is readable."
_POSTGRES_HINT = "Check that the server is running, and the account and its password (PGPASSWORD or ~/.pgpass)."

_Cause = Literal["deadlock", "locked", "read_only", "denied", "damaged", "full", "login", "unreachable", "canceled"]

# The low byte of SQLite's error codes; the rest is detail.
_SQLITE_CAUSES: dict[int, _Cause] = {
    sqlite3.SQLITE_BUSY: "locked",
    sqlite3.SQLITE_LOCKED: "locked",
    sqlite3.SQLITE_READONLY: "read_only",
    sqlite3.SQLITE_PERM: "read_only",
    sqlite3.SQLITE_CORRUPT: "damaged",
    sqlite3.SQLITE_NOTADB: "damaged",
    sqlite3.SQLITE_FULL: "full",
    sqlite3.SQLITE_CANTOPEN: "unreachable",
    sqlite3.SQLITE_IOERR: "unreachable",
    sqlite3.SQLITE_PROTOCOL: "unreachable",
}

# SQLSTATE of Postgres: whole codes, and classes (the first two characters).
_POSTGRES_CAUSES: dict[str, _Cause] = {
    "40P01": "deadlock",
    "40001": "deadlock",
    "55P03": "locked",
    "57014": "canceled",
    "25006": "read_only",
    "42501": "denied",
    "53100": "full",
    "3D000": "unreachable",
    "08": "unreachable",
    "28": "login",
    "53": "unreachable",
    "57": "unreachable",
    "58": "unreachable",
    # Internal errors without these codes are also raised for simultaneous changes ("tuple concurrently updated").
    "XX001": "damaged",
    "XX002": "damaged",
    "XX": "unreachable",
}
_READS = re.compile(r"\s*(SELECT|WITH|TABLE|VALUES|SHOW|FETCH|COPY\s+\S+\s+TO)\b", re.IGNORECASE)
# Locks on rows need the privilege to change them.
_LOCKS = re.compile(r"\bFOR\s+(NO\s+KEY\s+UPDATE|UPDATE|KEY\s+SHARE|SHARE)\b", re.IGNORECASE)


def translated(error: Exception, where: str) -> BsvStoreError:
    """The error of bsv-store for an error of the database driver."""
    original = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    if MOVED in str(original):
        return StoreMismatchError(
            f"the catalog in the database {where} was moved to another one while this process had it open",
            hint="Open the store again. Nothing was stored in the old database.",
        )
    if isinstance(original, sqlite3.Error) and (known := sqlite_error(original, where)) is not None:
        return known
    statement = error.statement or "" if isinstance(error, DBAPIError) else ""
    cause = _sqlite_cause(original) if isinstance(original, sqlite3.Error) else _postgres_cause(original)
    text = masked(str(original)).strip()
    if cause is None:
        return InputError(f"the database refused the request: {text}")
    is_read = _READS.match(statement) is not None and _LOCKS.search(statement) is None
    return _error_for(cause, text, where, is_read=is_read, is_sqlite=isinstance(original, sqlite3.Error))


def _sqlite_cause(error: sqlite3.Error) -> _Cause | None:
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None:
        cause = _SQLITE_CAUSES.get(code & 0xFF)
        return "unreachable" if cause is None and type(error) is sqlite3.DatabaseError else cause
    # Python's own errors have no code.
    if "could not decode" in str(error).lower():
        return "damaged"
    return "unreachable" if isinstance(error, sqlite3.InterfaceError) else None


def _postgres_cause(error: BaseException) -> _Cause | None:
    state = getattr(error, "sqlstate", None)
    if state:
        return _POSTGRES_CAUSES.get(state) or _POSTGRES_CAUSES.get(state[:2])
    # The driver reports failed and lost connections without a code.
    names = {each.__name__ for each in type(error).__mro__}
    return "unreachable" if names & {"OperationalError", "InterfaceError"} else None


def _error_for(cause: _Cause, text: str, where: str, *, is_read: bool, is_sqlite: bool) -> BsvStoreError:
    if cause == "deadlock":
        return BusyError(f"deadlock with another job in the database {where}", hint="Run the command again.")
    if cause == "locked":
        return BusyError(
            f"the database {where} stayed locked",
            hint="Another job is reading or writing; try again when it has finished.",
        )
    if cause == "canceled":
        return BusyError(
            f"the database {where} canceled a statement: {text}",
            hint="The account or the server limits the time of statements (statement_timeout), or an administrator"
            " canceled it.",
        )
    if cause == "read_only":
        return ReadOnlyStoreError(f"cannot write to the database {where}: {text}", hint=READER_HINT)
    if cause == "denied":
        if is_read:
            return AccessDeniedError(f"this account may not read the database {where}: {text}", hint=_DENIED_HINT)
        return ReadOnlyStoreError(f"this account may not change the database {where}: {text}", hint=_DENIED_HINT)
    if cause == "damaged":
        return DamagedCatalogError(
            f"the database {where} is damaged: {text}", hint="Restore the database from a backup."
        )
    if cause == "full":
        return NoSpaceError(
            f"no disk space left for the database {where}", hint="Free some space and run the command again."
        )
    if cause == "login":
        return StoreUnreachableError(
            f"the server refused the login to the database {where}: {text}",
            hint="Set PGPASSWORD or add the password to ~/.pgpass; check the account in the database URL.",
        )
    if cause == "unreachable":
        hint = _SQLITE_HINT if is_sqlite else _POSTGRES_HINT
        return StoreUnreachableError(f"the database {where} cannot be used: {text}", hint=hint)
    assert_never(cause)
