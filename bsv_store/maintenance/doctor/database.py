"""Checks of the database of a store: connection, latency, version, settings, clock, privileges."""

from __future__ import annotations

import re
import sqlite3
import statistics
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bsv_store.errors import BsvStoreError
from bsv_store.file_systems import file_system_of
from bsv_store.maintenance.doctor.environment import SAFE_WAL
from bsv_store.maintenance.doctor.finding import Finding
from bsv_store.text import duration_text
from bsv_store.vocabulary import DoctorCheck

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from bsv_store.catalog.database.engine import Database

_QUERIES = 9
_SLOW_S = 0.05
_CLOCK_S = 5.0
# Postgres versions before this one get no fixes.
_LEAST_POSTGRES = 14
_FEW_CONNECTIONS = 10
_SETTINGS = (
    *("fsync", "full_page_writes", "synchronous_commit", "server_encoding", "max_connections"),
    *("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "default_transaction_read_only"),
)
_INSTALL = 'pip install "bsv-store[postgres]"'


def database_findings(database: Database) -> Iterator[Finding]:
    """Check a database. Nothing is written."""
    connection_check = _attempt("connection", database, _connection)
    yield connection_check
    if connection_check.outcome == "fault":
        return
    yield _attempt("latency", database, _latency)
    yield _attempt("server_version", database, _version)
    yield _attempt("server_settings", database, _sqlite_settings if database.is_sqlite else _postgres_settings)
    if isinstance(database.target, Path):
        yield _attempt("journal", database, _journal(database.target))
    else:
        yield _attempt("database_clock", database, _clock)
        yield _attempt("privileges", database, _privileges)


def _attempt(check: DoctorCheck, database: Database, function: Callable[[Connection], Finding]) -> Finding:
    try:
        with database.reading() as connection:
            return function(connection)
    except BsvStoreError as error:
        return Finding(check, "fault", error.message, error.hint)
    except ModuleNotFoundError as error:
        return Finding(check, "fault", f"the package {error.name} is not installed", _INSTALL)


def _connection(connection: Connection) -> Finding:
    started = time.perf_counter()
    connection.exec_driver_sql("SELECT 1").scalar()
    seconds = time.perf_counter() - started
    return Finding("connection", "ok", f"connected to {connection.dialect.name}", None, {"seconds": round(seconds, 5)})


def _latency(connection: Connection) -> Finding:
    times = []
    for _ in range(_QUERIES):
        started = time.perf_counter()
        connection.exec_driver_sql("SELECT 1").scalar()
        times.append(time.perf_counter() - started)
    median = statistics.median(times)
    details = {"seconds": round(median, 6)}
    found = f"{1000 * median:.2f} ms for a query"
    if median > _SLOW_S:
        return Finding("latency", "warning", f"slow: {found}", "Use a database server that is near.", details)
    return Finding("latency", "ok", found, None, details)


def _version(connection: Connection) -> Finding:
    if connection.dialect.name == "sqlite":
        return Finding("server_version", "ok", f"SQLite {sqlite3.sqlite_version}")
    text = str(connection.exec_driver_sql("SELECT current_setting('server_version')").scalar_one())
    major = int((re.match(r"\d+", text) or ["0"])[0])
    details = {"version": text}
    if major < _LEAST_POSTGRES:
        return Finding(
            "server_version", "warning", f"Postgres {text} gets no more fixes", "Upgrade the server.", details
        )
    return Finding("server_version", "ok", f"Postgres {text}", None, details)


def _sqlite_settings(connection: Connection) -> Finding:
    values = {
        name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
        for name in ("encoding", "foreign_keys", "synchronous", "journal_mode", "page_size", "freelist_count")
    }
    found = f"encoding {values['encoding']}, journal mode {values['journal_mode']}"
    if values["encoding"] != "UTF-8":
        return Finding("server_settings", "fault", found, "Restore the database from a backup.", values)
    return Finding("server_settings", "ok", found, None, values)


def _postgres_settings(connection: Connection) -> Finding:
    rows = connection.exec_driver_sql(
        "SELECT name, setting FROM pg_settings WHERE name = ANY(%(n)s)", {"n": [*_SETTINGS]}
    )
    values: dict[str, Any] = {name: value for name, value in rows}
    used = int(connection.exec_driver_sql("SELECT count(*) FROM pg_stat_activity").scalar_one())
    values["connections_in_use"] = used
    faults, warnings = [], []
    faults += [
        f"{name} is off: a power failure can damage the database"
        for name in ("fsync", "full_page_writes")
        if values.get(name) == "off"
    ]
    if values.get("server_encoding") != "UTF8":
        faults.append(f"the encoding is {values.get('server_encoding')}, not UTF8: some names cannot be stored")
    if values.get("synchronous_commit") == "off":
        warnings.append("synchronous_commit is off: the last transactions can be lost in a power failure")
    if values.get("default_transaction_read_only") == "on":
        warnings.append("transactions are read-only by default")
    if (free := int(values["max_connections"]) - used) < _FEW_CONNECTIONS:
        warnings.append(f"only {free} of {values['max_connections']} connections are free")
    if faults or warnings:
        remedy = (
            "Set it in postgresql.conf or with ALTER SYSTEM. A database with another encoding must be created again."
        )
        return Finding(
            "server_settings", "fault" if faults else "warning", "; ".join(faults + warnings), remedy, values
        )
    found = f"fsync on, encoding UTF8, {used} of {values['max_connections']} connections in use"
    return Finding("server_settings", "ok", found, None, values)


def _clock(connection: Connection) -> Finding:
    before = datetime.now(UTC)
    theirs = connection.exec_driver_sql("SELECT clock_timestamp()").scalar_one()
    after = datetime.now(UTC)
    difference = (theirs - (before + (after - before) / 2)).total_seconds()
    details = {"seconds": round(difference, 4)}
    if abs(difference) > _CLOCK_S:
        side = "ahead of" if difference > 0 else "behind"
        return Finding(
            "database_clock",
            "warning",
            f"the clock of the database server is {duration_text(abs(difference))} {side} this host's",
            "Claims use the server's clock and are not affected, but recorded times are. "
            "Synchronize the clocks with NTP.",
            details,
        )
    return Finding("database_clock", "ok", f"differs by {1000 * difference:+.0f} ms", None, details)


def _privileges(connection: Connection) -> Finding:
    role, is_superuser, is_standby = connection.exec_driver_sql(
        "SELECT session_user, (SELECT rolsuper FROM pg_roles WHERE rolname = session_user), pg_is_in_recovery()"
    ).one()
    may = {
        name.lower(): connection.exec_driver_sql(
            f"SELECT CASE WHEN to_regclass('experiment') IS NULL THEN NULL "
            f"ELSE has_table_privilege('experiment', '{name}') END"
        ).scalar()
        for name in ("SELECT", "INSERT", "UPDATE", "DELETE")
    }
    details = {"role": role, "superuser": bool(is_superuser), "standby": bool(is_standby), **may}
    if may["select"] is None:
        return Finding(
            "privileges", "note", f"{role}: the database has no catalog, or it is not visible", None, details
        )
    if not may["select"]:
        return Finding(
            "privileges",
            "fault",
            f"{role} may not read the catalog",
            f"Ask the owner of the database: bsv-store db grant --reader {role} --apply",
            details,
        )
    if is_standby or not may["insert"]:
        why = "the server is a read-only standby" if is_standby else f"{role} may read, but not write"
        return Finding("privileges", "note", why, "To add data, ask the owner of the database.", details)
    if is_superuser:
        return Finding(
            "privileges",
            "warning",
            f"{role} is a superuser: every program of the lab could change everything on the server",
            "Use an account without SUPERUSER for the store.",
            details,
        )
    return Finding("privileges", "ok", f"{role} may read and write", None, details)


def _journal(catalog: Path) -> Callable[[Connection], Finding]:
    def check(connection: Connection) -> Finding:
        mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar()
        journal = catalog.with_name(f"{catalog.name}-journal")
        size = journal.stat().st_size if journal.exists() else 0
        details = {"mode": mode, "journal_bytes": size}
        if mode == "wal":
            place = file_system_of(catalog.parent)
            if place is not None and place.is_shared:
                problem = f"WAL mode does not work on {place.words}"
            elif sqlite3.sqlite_version_info < SAFE_WAL:
                problem = f"WAL mode can damage the database with SQLite {sqlite3.sqlite_version}"
            else:
                return Finding("journal", "ok", "WAL mode", None, details)
            remedy = f"With no job running: sqlite3 {catalog} 'PRAGMA journal_mode = DELETE'"
            return Finding("journal", "fault", problem, remedy, details)
        if size:
            return Finding(
                "journal",
                "note",
                f"{journal.name} exists: a job is writing, or was killed while it wrote",
                "The next command that writes completes or undoes it.",
                details,
            )
        return Finding("journal", "ok", f"journal mode {mode}, no journal left", None, details)

    return check
