"""Connections to Postgres: the database URL, and the parameters and settings of a connection.

Settings (``search_path``, ``lock_timeout``, ...) are not sent at the start of a connection but set at the start of each
transaction, because a connection pooler refuses the first and gives each transaction another session of the server.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import URL, Connection, make_url
from sqlalchemy.exc import ArgumentError

from bsv_store._version import __version__
from bsv_store.catalog.database.driver_errors import BUSY_TIMEOUT_S
from bsv_store.errors import InputError
from bsv_store.program import program_name
from bsv_store.text import names_secret, shown

# libpq parameters that contain a password, or name a file that does.
_SECRETS = ("password", "passfile", "sslpassword", "oauth_client_secret")
# Parameters allowed in a URL; bsv-store itself sets `connect_timeout`.
_URL_PARAMETERS = frozenset(
    [
        "application_name",
        "channel_binding",
        "gssencmode",
        "gsslib",
        "host",
        "hostaddr",
        "keepalives",
        "keepalives_count",
        "keepalives_idle",
        "keepalives_interval",
        "krbsrvname",
        "load_balance_hosts",
        "options",
        "port",
        "require_auth",
        "service",
        "sslcert",
        "sslcrl",
        "sslcrldir",
        "sslkey",
        "sslmode",
        "sslnegotiation",
        "sslrootcert",
        "sslsni",
        "target_session_attrs",
        "tcp_user_timeout",
    ]
)
# Settings of the server allowed in the `options` of a URL.
_URL_SETTINGS = frozenset(
    ["idle_in_transaction_session_timeout", "lock_timeout", "role", "search_path", "statement_timeout", "work_mem"]
)

_URL_HINT = "Use postgresql://user@host/database, or omit it for SQLite inside the store's folder."

DEFAULT_SCHEMA = "public"
# With these methods, a server that a store.toml names learns the password of the user, or can compute it.
_WEAK_METHODS = ("password", "md5")
_REQUIRE_AUTH = ",".join(f"!{method}" for method in _WEAK_METHODS)
# The first libpq with the parameter require_auth.
_LIBPQ_16 = 160_000


def normalized_url(url: str) -> URL:
    """The database URL with the driver of bsv-store and without a password.

    Raises
    ------
    InputError
        If it is not a valid Postgres URL, contains a password, or allows to send one to any server. The message does
        not show the URL.
    """
    parsed = _parsed_url(url)
    if parsed is None:
        raise InputError("the database URL is not valid", hint=_URL_HINT)
    if parsed.get_backend_name() not in {"postgresql", "postgres"}:
        raise InputError(f"the database {shown(parsed.get_backend_name())} is not supported", hint=_URL_HINT)
    if secret := _secret(parsed):
        raise InputError(
            f"the database URL contains a {secret}, which every user of the store could read",
            hint="Leave it out and set PGPASSWORD, or use a ~/.pgpass file.",
        )
    for name in parsed.query:
        if name not in _URL_PARAMETERS:
            raise InputError(
                f"the database URL must not have the parameter {shown(name)}",
                hint=f"Valid parameters: {', '.join(sorted(_URL_PARAMETERS))}.",
            )
    if not _is_strict(_text(parsed, "require_auth")):
        raise InputError(
            "the database URL allows authentication methods that show the password to the server",
            hint="Leave out require_auth. Users who trust the server set PGREQUIREAUTH, for example to password.",
        )
    _check_options(_text(parsed, "options"))
    return parsed._replace(drivername="postgresql+psycopg", password=None)


def _secret(url: URL) -> str | None:
    """What secret a URL contains; None if it contains none."""
    if url.password or ":" in (url.username or ""):
        return "password"
    for name in url.query:
        if name.casefold() in _SECRETS:
            return name.casefold()
    # An unencoded slash in a password makes the rest of it the name of the database.
    parts = [url.host or "", url.database or "", *(value for name in url.query for value in _values(url, name))]
    if any(names_secret(part) for part in [*parts, url.username or ""]) or "@" in f"{url.host}{url.database}":
        return "password"
    return None


def _values(url: URL, name: str) -> tuple[str, ...]:
    return tuple(url.normalized_query.get(name, ()))


def _text(url: URL, name: str) -> str:
    """The last value of a parameter, as libpq uses it."""
    return _values(url, name)[-1] if name in url.query else ""


def _parsed_url(url: object) -> URL | None:
    """The parts of a URL; None if it is not valid. An error is not raised, because its text could show a password."""
    if not isinstance(url, str) or not url.isprintable():
        return None
    # Parts without a value would be dropped, and an @ is the end of a password with a question mark.
    query = url.partition("?")[2]
    if "@" in query or not all("=" in part for part in query.split("&") if query):
        return None
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        return None
    parts = [parsed.username, parsed.password, parsed.host, parsed.database]
    for name, values in parsed.normalized_query.items():
        parts += [name, *values]
    # Decoded, they may contain NUL.
    return parsed if all(part is None or str(part).isprintable() for part in parts) else None


def _is_strict(methods: str) -> bool:
    """Whether a list of authentication methods excludes those that show the password."""
    listed = [each.strip() for each in methods.split(",") if each.strip()]
    if any(each.startswith("!") for each in listed):
        return {f"!{method}" for method in _WEAK_METHODS} <= set(listed)
    return not set(_WEAK_METHODS) & set(listed)


# -- settings ---------------------------------------------------------------------------------------------------------

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


def _check_options(options: str) -> None:
    settings = settings_of(options)
    if settings is None or not settings.keys() <= _URL_SETTINGS:
        raise InputError(
            "the options in the database URL are not valid",
            hint=f"Use options=-csearch_path=SCHEMA. Valid settings: {', '.join(sorted(_URL_SETTINGS))}.",
        )
    path = settings.get("search_path")
    if path is not None and _schema_in(path) is None:
        raise InputError(
            "the search_path in the database URL must name the schema of the store and no other",
            hint="For example options=-csearch_path=atlas.",
        )


def _schema_in(path: str) -> str | None:
    """The only schema of a search path; None if it names several, a schema of the system or a variable."""
    match = _IDENTIFIER.fullmatch(path)
    if match is None:
        return None
    name = match["plain"].lower() if match["plain"] else match["quoted"].replace('""', '"')
    return None if name.startswith(("pg_", "$")) or name == "information_schema" else name


def schema_in_url(url: URL) -> str | None:
    """The schema that a database URL names, if any."""
    settings = settings_of(_text(url, "options")) or {}
    return _schema_in(settings["search_path"]) if "search_path" in settings else None


def schema_of(url: URL) -> str:
    """The schema with the tables of the store."""
    return schema_in_url(url) or DEFAULT_SCHEMA


def with_schema(url: URL, schema: str) -> URL:
    """The URL with the name of a schema."""
    # Spaces and backslashes are escaped as in PGOPTIONS.
    name = re.sub(r"([\s\\])", r"\\\1", quoted(schema))
    options = f"{_text(url, 'options')} -csearch_path={name}".strip()
    return url.update_query_dict({"options": options})


def quoted(name: str) -> str:
    """A name as an identifier in SQL, in quotes where it needs them."""
    from sqlalchemy.dialects.postgresql.base import RESERVED_WORDS

    if re.fullmatch("[a-z_][a-z0-9_]*", name) and name not in RESERVED_WORDS:
        return name
    return '"' + name.replace('"', '""') + '"'


def environment_settings() -> Mapping[str, str]:
    """The settings in ``PGOPTIONS``; none if it has anything else, which libpq then sends itself."""
    return settings_of(os.environ.get("PGOPTIONS", "")) or {}


def settings_for(url: URL) -> dict[str, str]:
    """The settings of each transaction, as values in SQL: ours, those of ``PGOPTIONS``, those of the URL.

    The schema is that of the store: neither ``PGOPTIONS`` nor the account decides where its tables are.
    """
    named = {
        "lock_timeout": str(int(BUSY_TIMEOUT_S * 1000)),
        **environment_settings(),
        **(settings_of(_text(url, "options")) or {}),
    }
    values = {name: "'" + value.replace("'", "''") + "'" for name, value in named.items()}
    return values | {"search_path": quoted(schema_of(url))}


def begin_with_settings(url: URL) -> Callable[[Connection], None]:
    """A function that starts a transaction with the settings of the URL."""
    schema = schema_of(url)

    def begin(connection: Connection) -> None:
        # For SQLAlchemy's inspection, which would use the schema of the account.
        connection.dialect.default_schema_name = schema
        settings = settings_for(url)
        # Without parameters, so that the driver sends all statements at once.
        statements = "; ".join(f"SET LOCAL {name} = {value}" for name, value in settings.items())
        connection.exec_driver_sql(statements.replace("%", "%%"))

    return begin


# -- connections ------------------------------------------------------------------------------------------------------


def connection_url(url: URL) -> URL:
    """The URL without what `connect_arguments` and `begin_with_settings` take from it."""
    return url.difference_update_query(["options", "require_auth"])


def connect_arguments(url: URL) -> dict[str, Any]:
    """Arguments of the driver for each connection."""
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
        required = os.environ.get("PGREQUIREAUTH") or _text(url, "require_auth") or _REQUIRE_AUTH
        arguments["require_auth"] = required
    return arguments


def server_of(url: URL) -> str | None:
    """The host and port in a URL; None if it names no host, so that the user's own settings decide."""
    hosts = [each for each in (url.host, *_values(url, "host"), *_values(url, "hostaddr")) if each]
    ports = [str(each) for each in (url.port, *_values(url, "port")) if each]
    return ",".join(hosts) + (f":{','.join(ports)}" if ports else "") if hosts else None
