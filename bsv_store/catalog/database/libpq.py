"""Settings and arguments of connections to Postgres. Without SQLAlchemy, which the completion of names must not import.

Settings (``search_path``, ``lock_timeout``, ...) are not sent at the start of a connection but set at the start of each
transaction, because a connection pooler refuses the first and gives each transaction another session of the server.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from bsv_store._version import __version__
from bsv_store.program import program_name

DEFAULT_SCHEMA = "public"
# With these methods, a server that a store.toml names learns the password of the user, or can compute it.
_WEAK_METHODS = ("password", "md5")
_REQUIRE_AUTH = ",".join(f"!{method}" for method in _WEAK_METHODS)
# The first libpq with the parameter require_auth.
_LIBPQ_16 = 160_000

# -c name=value, -cname=value or --name=value, separated by spaces; a backslash escapes a space.
_OPTION = re.compile(r"\s*(?:-c\s*|--)(?P<name>[A-Za-z][\w.-]*)=(?P<value>(?:\\.|[^\s\\])*)(?:\s+|$)", re.DOTALL)
_IDENTIFIER = re.compile(r'\s*(?:(?P<plain>[^\W\d][\w$]*)|"(?P<quoted>(?:[^"]|"")+)")\s*')


def settings_of(options: str) -> dict[str, str] | None:
    """The settings in a text like ``-c search_path=atlas``, as in ``PGOPTIONS``; None if it has something else."""
    settings: dict[str, str] = {}
    place = 0
    while place < len(options.rstrip()):
        match = _OPTION.match(options, place)
        if match is None:
            return None
        settings[match["name"].lower().replace("-", "_")] = re.sub(r"\\(.)", r"\1", match["value"])
        place = match.end()
    return settings


def schema_in(path: str) -> str | None:
    """The only schema of a search path; None if it names several, a schema of the system or a variable."""
    match = _IDENTIFIER.fullmatch(path)
    if match is None:
        return None
    name = match["plain"].lower() if match["plain"] else match["quoted"].replace('""', '"')
    return None if name.startswith(("pg_", "$")) or name == "information_schema" else name


def environment_settings() -> Mapping[str, str]:
    """The settings in ``PGOPTIONS``; none if it has anything else, which libpq then sends itself."""
    return settings_of(os.environ.get("PGOPTIONS", "")) or {}


def settings_statement(options: str, lock_timeout_s: float) -> str:
    """The SQL for the start of each transaction: our settings, those of ``PGOPTIONS``, and those of the URL.

    The schema is that of the store: neither ``PGOPTIONS`` nor the account decides where its tables are.

    Parameters
    ----------
    options : str
        The parameter ``options`` of the URL, which has been checked.
    lock_timeout_s : float
        Used unless ``PGOPTIONS`` or the URL says otherwise.
    """
    in_url = settings_of(options) or {}
    named = {"lock_timeout": str(int(lock_timeout_s * 1000)), **environment_settings(), **in_url}
    values = {name: "'" + value.replace("'", "''") + "'" for name, value in named.items()}
    schema = schema_in(in_url["search_path"]) if "search_path" in in_url else None
    values["search_path"] = '"' + (schema or DEFAULT_SCHEMA).replace('"', '""') + '"'
    return "; ".join(f"SET LOCAL {name} = {value}" for name, value in values.items())


def is_strict(methods: str) -> bool:
    """Whether a list of authentication methods excludes those that show the password."""
    listed = [each.strip() for each in methods.split(",") if each.strip()]
    if any(each.startswith("!") for each in listed):
        return {f"!{method}" for method in _WEAK_METHODS} <= set(listed)
    return not set(_WEAK_METHODS) & set(listed)


def connect_arguments(require_auth: str) -> dict[str, Any]:
    """Arguments of the driver for each connection.

    Parameters
    ----------
    require_auth : str
        The authentication methods that the URL allows; empty if it names none.
    """
    from psycopg import pq

    arguments: dict[str, Any] = {
        "fallback_application_name": f"bsv-store {__version__} {program_name()}",
        # A pooler gives each transaction another session, which does not have the statements prepared before.
        "prepare_threshold": None,
    }
    if not os.environ.get("PGCONNECT_TIMEOUT"):
        arguments["connect_timeout"] = 10
    if settings_of(os.environ.get("PGOPTIONS", "")) is not None:
        # Otherwise libpq would send them at the start of the connection.
        arguments["options"] = ""
    if pq.version() >= _LIBPQ_16:
        # What the user says goes before what a store.toml says, which may be a stranger's.
        required = os.environ.get("PGREQUIREAUTH") or require_auth or _REQUIRE_AUTH
        arguments["require_auth"] = required
    return arguments
