"""Database URLs of Postgres, and how connections and transactions start; see `bsv_store.catalog.database.libpq` too."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from sqlalchemy import URL, Connection, make_url
from sqlalchemy.exc import ArgumentError

from bsv_store.catalog.database import libpq
from bsv_store.catalog.database.driver_errors import BUSY_TIMEOUT_S
from bsv_store.catalog.database.libpq import (
    DEFAULT_SCHEMA,
    is_strict,
    schema_in,
    settings_of,
    settings_statement,
)
from bsv_store.errors import InputError
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
    if not is_strict(_text(parsed, "require_auth")):
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


# -- settings ---------------------------------------------------------------------------------------------------------


def _check_options(options: str) -> None:
    settings = settings_of(options)
    if settings is None or not settings.keys() <= _URL_SETTINGS:
        raise InputError(
            "the options in the database URL are not valid",
            hint=f"Use options=-csearch_path=SCHEMA. Valid settings: {', '.join(sorted(_URL_SETTINGS))}.",
        )
    path = settings.get("search_path")
    if path is not None and schema_in(path) is None:
        raise InputError(
            "the search_path in the database URL must name the schema of the store and no other",
            hint="For example: options=-csearch_path=atlas.",
        )


def schema_in_url(url: URL) -> str | None:
    """The schema that a database URL names, if any."""
    settings = settings_of(_text(url, "options")) or {}
    return schema_in(settings["search_path"]) if "search_path" in settings else None


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


def begin_with_settings(url: URL) -> Callable[[Connection], None]:
    """A function that starts a transaction with the settings of the URL."""
    schema = schema_of(url)

    def begin(connection: Connection) -> None:
        if connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT":
            # The settings below are those of a transaction: outside of one, they have no effect.
            return
        # For SQLAlchemy's inspection, which would use the schema of the account.
        connection.dialect.default_schema_name = schema
        # Without parameters, so that the driver sends all statements at once.
        connection.exec_driver_sql(settings_statement(_text(url, "options"), BUSY_TIMEOUT_S).replace("%", "%%"))

    return begin


# -- connections ------------------------------------------------------------------------------------------------------


def connection_url(url: URL) -> URL:
    """The URL without what `connect_arguments` and `begin_with_settings` take from it."""
    return url.difference_update_query(["options", "require_auth"])


def connect_arguments(url: URL) -> dict[str, Any]:
    """Arguments of the driver for each connection."""
    return libpq.connect_arguments(_text(url, "require_auth"))


def server_of(url: URL) -> str | None:
    """The host and port in a URL; None if it names no host, so that the user's own settings decide."""
    hosts = [each for each in (url.host, *_values(url, "host"), *_values(url, "hostaddr")) if each]
    ports = [str(each) for each in (url.port, *_values(url, "port")) if each]
    return ",".join(hosts) + (f":{','.join(ports)}" if ports else "") if hosts else None
