"""Connections to Postgres: the database URL, and the parameters of a connection."""

from __future__ import annotations

from typing import Any

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from bsv_store.catalog.database.driver_errors import BUSY_TIMEOUT_S
from bsv_store.errors import InputError
from bsv_store.text import shown

# libpq parameters that contain a password, or name a file that does.
_SECRETS = ("password", "passfile", "sslpassword", "oauth_client_secret")
# Parameters allowed in a URL; bsv-store itself sets `options` and `connect_timeout`.
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

_URL_HINT = "Use postgresql://user@host/database, or omit it for SQLite inside the store's folder."


def normalized_url(url: str) -> URL:
    """The database URL with the driver of bsv-store and without a password.

    Raises
    ------
    InputError
        If it is not a valid Postgres URL, or contains a password. The message does not show the URL.
    """
    parsed = _parsed_url(url)
    if parsed is None:
        raise InputError("the database URL is not valid", hint=_URL_HINT)
    if parsed.get_backend_name() not in {"postgresql", "postgres"}:
        raise InputError(f"the database {shown(parsed.get_backend_name())} is not supported", hint=_URL_HINT)
    secret = "password" if parsed.password else next((name for name in _SECRETS if name in parsed.query), None)
    if secret is not None:
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
    return parsed._replace(drivername="postgresql+psycopg", password=None)


def _parsed_url(url: object) -> URL | None:
    """The parts of a URL; None if it is not valid. An error is not raised, because its text could show a password."""
    if not isinstance(url, str) or not url.isprintable():
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


def connect_arguments() -> dict[str, Any]:
    """Arguments of the driver for each connection."""
    return {"connect_timeout": 10, "options": f"-c lock_timeout={int(BUSY_TIMEOUT_S * 1000)}"}
