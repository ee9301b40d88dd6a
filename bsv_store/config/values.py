"""Values of settings: what is valid, and how text becomes a value."""

from __future__ import annotations

import ipaddress
import math
import os
import re
from typing import Any, assert_never
from urllib.parse import unquote, urlsplit

from bsv_store.check import row_named
from bsv_store.errors import InputError
from bsv_store.quantities import parse_size
from bsv_store.text import shown
from bsv_store.vocabulary import LOG_FORMATS, LOG_LEVELS, PROGRESS_DISPLAYS, SETTINGS, SettingRow

Value = str | int | float

_MAX_DAYS = 36_500
# The largest timeout of Postgres, 24 days.
_MAX_SECONDS = 2_000_000.0
_MAX_BYTES = 10**15
_MAX_CONNECTIONS = 64


def checked_value(row: SettingRow, value: object, *, origin: str) -> Value:
    """The value of a setting, in the form that its readers expect.

    Parameters
    ----------
    row : SettingRow
    value : object
        A value of an argument, or of a TOML file.
    origin : str
        Where the value comes from, for the error.

    Raises
    ------
    InputError
        If it is not valid. The message does not show secrets.
    """
    named = f"{row.words} (from {origin})" if row.type == "url" else f"{row.name} (from {origin})"
    if row.type == "url":
        return base_address(named, value, such_as=str(row.default))
    if (problem := expected(row, value)) is not None:
        raise InputError(f"{named} must be {problem}, got {shown(value)}", hint=f"It sets {row.words}.")
    if row.type == "log_level":
        return _row_name(value, LOG_LEVELS)
    if row.type == "log_format":
        return _row_name(value, LOG_FORMATS)
    if row.type == "progress":
        return _row_name(value, PROGRESS_DISPLAYS)
    if row.type == "seconds":
        return float(value)  # type: ignore[arg-type]  # checked above
    if row.type == "size":
        return parse_size(named, str(value))
    return os.fspath(value) if isinstance(value, os.PathLike) else value  # type: ignore[return-value]  # checked above


def _row_name(value: Any, rows: Any) -> str:
    found = row_named(value, rows)
    assert found is not None
    return str(found.name)


def parsed(row: SettingRow, text: str) -> Value | str:
    """The value for a text, as in a variable or on the command line; text that is not a number stays text."""
    if row.type in ("days", "connections") and re.fullmatch(r"[+-]?\d{1,9}", text.strip(), re.ASCII):
        return int(text.strip())
    if row.type == "seconds":
        try:
            return float(text)
        except ValueError:
            return text
    return text


def expected(row: SettingRow, value: Any) -> str | None:
    """Description of the valid values of a setting; None if the value is valid."""
    kind = row.type
    if kind == "path":
        text = os.fspath(value) if isinstance(value, str | os.PathLike) else None
        # The path of a store is checked further where it is located.
        is_path = isinstance(text, str) and text and (row.name == "store" or "\0" not in text)
        return None if is_path else "a path in quotes"
    if kind == "url":
        return (
            None
            if isinstance(value, str) and "@" not in unquote(value) and _is_base(value)
            else "an http or https address"
        )
    if kind == "log_level":
        return None if isinstance(value, str) and row_named(value, LOG_LEVELS) else f"one of {', '.join(LOG_LEVELS)}"
    if kind == "log_format":
        return None if isinstance(value, str) and row_named(value, LOG_FORMATS) else f"one of {', '.join(LOG_FORMATS)}"
    if kind == "progress":
        known = isinstance(value, str) and row_named(value, PROGRESS_DISPLAYS)
        return None if known else f"one of {', '.join(PROGRESS_DISPLAYS)}"
    if kind == "group":
        is_group = isinstance(value, str) and re.fullmatch(r"[^\s:,/\\]{1,64}", value) and value.isprintable()
        return None if is_group else "the name of a group of the operating system, or its number in quotes"
    if kind == "file_mode":
        is_mode = isinstance(value, str) and re.fullmatch("06[046][046]", value)
        return None if is_mode else "read and write permissions in octal digits, such as '0664'"
    if kind == "directory_mode":
        is_mode = isinstance(value, str) and re.fullmatch("[0-3]7[057][057]", value)
        return None if is_mode else "permissions of folders in octal digits, such as '2775'"
    if kind == "days":
        return None if type(value) is int and 0 <= value <= _MAX_DAYS else "a whole number of days, 0 or more"
    if kind == "seconds":
        is_number = type(value) in (int, float) and math.isfinite(value) and 0 < value <= _MAX_SECONDS
        return None if is_number else f"a positive number of seconds, at most {_MAX_SECONDS:,.0f}"
    if kind == "size":
        return None if _is_size(value) else "a number of bytes, or a number with a unit such as '20GB'"
    if kind == "connections":
        is_count = type(value) is int and 1 <= value <= _MAX_CONNECTIONS
        return None if is_count else f"a whole number from 1 to {_MAX_CONNECTIONS}"
    if kind == "hosts":
        hosts = value.split(",") if isinstance(value, str) else [""]
        are_names = all(re.fullmatch(r"[A-Za-z0-9.:-]+", host.strip()) for host in hosts)
        return None if are_names else "names of hosts, separated by commas"
    assert_never(kind)


def _is_size(value: Any) -> bool:
    if type(value) is int:
        return 0 <= value <= _MAX_BYTES
    try:
        return isinstance(value, str) and parse_size("the size", value) <= _MAX_BYTES
    except InputError:
        return False


def base_address(named: str, value: object, *, such_as: str) -> str:
    """A base address without a trailing slash.

    Raises
    ------
    InputError
        If it is not a plain http or https address. The message does not show passwords.
    """
    if not isinstance(value, str):
        raise InputError(f"{named} must be a string, got {shown(value)}", hint=f"For example: {such_as}.")
    if "@" in unquote(value):
        # Not shown, and not chained: the address is recorded as the source of everything downloaded from it.
        raise InputError(
            f"{named} contains a user name or password, which every user of the store could read",
            hint="Remove them. If the server requires a password, set "
            f"{SETTINGS['netrc'].variable} to the path of a netrc file.",
        )
    if not _is_base(value):
        meant = address_meant(value)
        raise InputError(
            f"{named} must be an http or https address, got {shown(_without_query(value))}",
            hint=f"Did you mean {meant}?" if meant else f"For example: {such_as}. It must not have a query.",
        )
    return value.rstrip("/")


# Other names before a colon may be those of folders.
_WITHOUT_SCHEME = re.compile(
    r"(?:localhost|[a-z0-9-]+(?:\.[a-z0-9-]+)+|\[[0-9a-f:.]+\]):[0-9]{1,5}(?:/[^\s?#@]*)?", re.IGNORECASE
)


def address_meant(text: str) -> str | None:
    """The address of a host and port without a scheme; None for any other text."""
    address = f"https://{text}"
    if _WITHOUT_SCHEME.fullmatch(text) is None or not _is_base(address):
        return None
    return f"http://{text}" if is_loopback(address) else address


def is_loopback(url: str) -> bool:
    """Whether an address is on this computer."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_base(address: str) -> bool:
    # Only printable ASCII is valid in an address; urllib would drop some control characters silently.
    if not (address.isascii() and address.isprintable()) or set(address) & set(" \\?#"):
        return False
    try:
        parts = urlsplit(address)
        # Raises if a label of the host name is too long.
        name = (parts.hostname or "").encode("idna")
        # Accessing the port validates it.
        return parts.scheme in ("http", "https") and bool(name) and parts.port != 0
    except ValueError:
        return False


def _without_query(address: str) -> str:
    # A query may contain a key.
    start = re.split("[?#]", address, maxsplit=1)[0]
    return start if start == address else f"{address[: len(start) + 1]}..."
