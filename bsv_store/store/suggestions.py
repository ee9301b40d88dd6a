"""Names in a store for the completion of command lines: read in milliseconds, and empty if anything is in the way.

Only the drivers of the databases are imported, because importing SQLAlchemy takes longer than the query. Nothing is
written, not even a journal, and no lock is waited for.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from bsv_store.config import CATALOG_FILE, SQLITE, locate_store, read_located_config

NameKind = Literal["structures", "datasets", "versions", "tags", "selections", "lines", "experiments"]
"""What can be suggested. Versions are named NAME@NUMBER and NAME@TAG, selections NAME."""

# Each query has a column of names, and one of descriptions.
_QUERIES: Mapping[NameKind, str] = {
    "structures": "SELECT acronym, name FROM structure WHERE NOT withdrawn ORDER BY graph_order, id",
    "datasets": "SELECT name, NULL FROM dataset ORDER BY name",
    "versions": (
        "SELECT d.name || '@' || t.tag, 'version ' || v.number FROM dataset_tag t"
        " JOIN dataset_version v ON v.id = t.version_id JOIN dataset d ON d.id = v.dataset_id"
        " UNION ALL SELECT d.name || '@' || v.number, NULL FROM dataset_version v JOIN dataset d ON d.id = v.dataset_id"
        " UNION ALL SELECT name || '@latest', NULL FROM dataset ORDER BY 1"
    ),
    "tags": "SELECT DISTINCT tag, NULL FROM dataset_tag ORDER BY tag",
    "selections": "SELECT DISTINCT name, NULL FROM named_selection ORDER BY name",
    "lines": "SELECT name, NULL FROM transgenic_line ORDER BY name",
    "experiments": "SELECT id, NULL FROM experiment ORDER BY id",
}

_BUSY_S = 0.1
_STATEMENT_MS = 500
# Seconds; libpq rounds 1 up to 2.
_CONNECT_S = 2
# The version numbers at this place of a SQLite file are 2 for write-ahead logging.
_WAL_OFFSET = 18


def stored_names(path: Path | str | None, kind: NameKind) -> list[tuple[str, str | None]]:
    """The names of one kind in a store, each with a description or None; empty after any error.

    Parameters
    ----------
    path : path, optional
        See `bsv_store.store.opening.open_store`.
    kind : str
    """
    try:
        location = locate_store(path)
        if location.url is not None:
            return [(str(name), description) for name, description in _from_mirror(location.url, kind)]
        config = read_located_config(location)
        if config.database == SQLITE:
            rows = _from_sqlite(location.path / CATALOG_FILE, _QUERIES[kind])
        else:
            rows = _from_postgres(config.database, _QUERIES[kind])
        return [(str(name), description) for name, description in rows]
    except Exception:  # noqa: BLE001 (a shell that completes a word has no place for a message)
        return []


def _from_mirror(url: str, kind: NameKind) -> list[tuple[Any, Any]]:
    """From the copy of a server's catalog, without asking the server. Versions include those computed here."""
    from bsv_store.remote.folder import cache_folder, server_folder
    from bsv_store.remote.local_records import listed_results
    from bsv_store.remote.state import read_state

    folder = server_folder(cache_folder(), url)
    state = read_state(folder)
    names = [] if state is None else _from_sqlite(folder / state.core, _QUERIES[kind])
    if kind == "versions":
        names += [(each.ref, "computed on this computer") for each in listed_results(folder)]
    return names


def _from_sqlite(catalog: Path, query: str) -> list[tuple[Any, Any]]:
    uri = f"file:{quote(os.fsencode(catalog))}?mode=ro"
    if _is_unused_wal(catalog):
        # Opened in the ordinary way, SQLite would create the files of the log.
        uri += "&immutable=1"
    with closing(sqlite3.connect(uri, uri=True, timeout=_BUSY_S, isolation_level=None)) as connection:
        return connection.execute(query).fetchall()


def _is_unused_wal(catalog: Path) -> bool:
    with catalog.open("rb") as file:
        file.seek(_WAL_OFFSET)
        is_wal = file.read(1) == b"\x02"
    return is_wal and not catalog.with_name(f"{catalog.name}-wal").exists()


def _from_postgres(url: str, query: str) -> list[tuple[Any, Any]]:
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    from bsv_store.catalog.database import libpq

    parameters = conninfo_to_dict(url.replace("postgresql+psycopg://", "postgresql://", 1))
    options, methods = str(parameters.pop("options", "")), str(parameters.pop("require_auth", ""))
    arguments = {**parameters, **libpq.connect_arguments(methods), "connect_timeout": _CONNECT_S}
    # A key press must not send a password in the clear or as MD5, whatever server the folder names.
    if not libpq.is_strict(methods) or "require_auth" not in arguments:
        return []
    with closing(psycopg.connect("", **arguments)) as connection:
        connection.read_only = True
        connection.execute(libpq.settings_statement(options, _STATEMENT_MS / 1000).encode())
        connection.execute(f"SET LOCAL statement_timeout = {_STATEMENT_MS}; SET LOCAL lock_timeout = {_STATEMENT_MS}")
        return connection.execute(query.encode()).fetchall()
