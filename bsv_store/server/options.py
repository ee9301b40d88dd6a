"""The settings of a server."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

from bsv_store import check
from bsv_store.errors import InputError
from bsv_store.text import shown

LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """The settings of a server. Limits on requests are those of all workers together.

    Attributes
    ----------
    host : str
        Address or name to listen on. Tokens are required unless it is a loopback address.
    port : int
        0 takes a free one.
    workers : int
        Number of processes.
    root_path : str
        Prefix of all addresses behind a proxy, such as ``/bsv``; empty for none.
    tls_certificate, tls_key : pathlib.Path or None
        PEM files; both or neither.
    allow_origin : tuple of str
        Origins whose pages may read answers (CORS), such as ``https://lab.example``.
    allow_host : tuple of str
        Names by which clients address the server. On a loopback address, names of the local host are always accepted;
        on another one, an empty tuple accepts all.
    trusted_proxy : tuple of str
        Addresses or networks of proxies whose ``X-Forwarded-For`` and ``X-Forwarded-Proto`` are believed.
    require_token : bool
        Require a token on a loopback address too.
    rate : float or None
        Requests per second of one token or client address, with bursts of five seconds; 0 for no limit. None is 100
        where tokens are required, and otherwise no limit.
    concurrency : int
        Maximum number of requests in progress.
    max_body_bytes : int
        Maximum size of a request body.
    sql_timeout_s : float
        Timeout of one SQL query in seconds.
    sql_rows : int
        Maximum number of rows of one SQL query.
    access_log : str or None
        File to which one JSON line is appended for each request; ``-`` is standard output.
    shutdown_s : float
        Seconds that requests in progress have to finish when the server stops.

    Raises
    ------
    InputError
        If a value is not valid.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    workers: int = 1
    root_path: str = ""
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    allow_origin: tuple[str, ...] = ()
    allow_host: tuple[str, ...] = ()
    trusted_proxy: tuple[str, ...] = ()
    require_token: bool = False
    rate: float | None = None
    concurrency: int = 100
    max_body_bytes: int = 1_000_000
    sql_timeout_s: float = 30.0
    sql_rows: int = 100_000
    access_log: str | None = None
    shutdown_s: float = 30.0

    def __post_init__(self) -> None:
        check.text("host", self.host, such_as="127.0.0.1")
        if check.whole_number("port", self.port, least=0) > 65_535:
            raise InputError(f"port must be at most 65535, got {self.port}")
        for name in ("workers", "concurrency", "max_body_bytes", "sql_rows"):
            check.whole_number(name, getattr(self, name), least=1)
        for name in ("sql_timeout_s", "shutdown_s"):
            if check.finite_number(name, getattr(self, name)) <= 0:
                raise InputError(f"{name} must be greater than 0, got {shown(getattr(self, name))}")
        if self.rate is not None and check.finite_number("rate", self.rate) < 0:
            raise InputError(f"rate must be at least 0, got {shown(self.rate)}")
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise InputError("tls_certificate and tls_key must be given together")
        for name in ("tls_certificate", "tls_key"):
            path = getattr(self, name)
            if path is not None and not Path(path).is_file():
                raise InputError(f"{name}: the file {path} does not exist")
        _check_root_path(self.root_path)
        for origin in self.allow_origin:
            _check_origin(origin)
        for name in self.allow_host:
            if not name or "/" in name or name != name.strip():
                raise InputError(f"allow_host must be host names, got {shown(name)}", hint="For example: lab.example.")
        for proxy in self.trusted_proxy:
            _check_network(proxy)

    @property
    def is_loopback(self) -> bool:
        """Whether only processes of this computer can connect."""
        return _is_loopback(self.host)

    @property
    def requires_token(self) -> bool:
        """Whether requests need a token: others than local users can reach the server, directly or through a proxy."""
        return (
            self.require_token
            or not self.is_loopback
            or bool(self.trusted_proxy)
            or any(name not in LOCAL_NAMES for name in self.allow_host)
        )

    @property
    def requests_per_second(self) -> float:
        """The rate in force; 0 for no limit."""
        if self.rate is None:
            return 100.0 if self.requires_token else 0.0
        return float(self.rate)

    @property
    def accepted_hosts(self) -> Collection[str] | None:
        """The names that the header ``Host`` may have, in lower case; None accepts all."""
        if self.is_loopback:
            return frozenset((*LOCAL_NAMES, self.host.lower(), *map(str.lower, self.allow_host)))
        return frozenset(map(str.lower, self.allow_host)) or None


@lru_cache(maxsize=16)
def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_root_path(value: str) -> None:
    check.text("root_path", value, such_as="/bsv")
    parts = value.split("/")[1:]
    is_plain = all(
        part and part.strip(".") and part.replace("-", "").replace("_", "").replace(".", "").isalnum() for part in parts
    )
    if value and (not value.startswith("/") or not is_plain or not value.isascii()):
        raise InputError(
            f"root_path must begin with a slash and have only letters, digits, '.', '-' and '_', got {shown(value)}",
            hint="For example: /bsv.",
        )


def _check_origin(value: str) -> None:
    parts = urlsplit(value)
    if value != f"{parts.scheme}://{parts.netloc}" or parts.scheme not in ("http", "https") or not parts.netloc:
        raise InputError(
            f"allow_origin must be a scheme and a host without a path, got {shown(value)}",
            hint="For example: https://lab.example.",
        )


def _check_network(value: str) -> None:
    try:
        ipaddress.ip_network(value)
    except ValueError as error:
        raise InputError(
            f"trusted_proxy must be an address or a network, got {shown(value)}",
            hint="For example: 127.0.0.1 or 10.0.0.0/24.",
        ) from error
