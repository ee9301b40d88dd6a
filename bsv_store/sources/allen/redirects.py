"""Redirects: followed only to the same host or between Allen's hosts, and never from https to http.

Other redirects are refused, because the address is recorded as the source of the data.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import SplitResult, urljoin, urlsplit, urlunsplit

from bsv_store.sources.allen.addresses import ALLEN_HOSTS
from bsv_store.text import shown

MAX_REDIRECTS = 5
_STATUSES = frozenset((301, 302, 303, 307, 308))
_DEFAULT_PORTS = {"http": 80, "https": 443}
_MAX_LENGTH = 4096


class RedirectError(Exception):
    """A redirect that is not followed. The message states the reason."""


def redirect_target(url: str, status: int, headers: Mapping[str, str]) -> str | None:
    """The address that a response redirects to; None if it is not a redirect.

    Parameters
    ----------
    url : str
        The requested address.
    status : int
    headers : mapping of str to str
        Headers of the response; case-insensitive.

    Raises
    ------
    RedirectError
        If the target is not a valid address, or redirects to it are not followed.
    """
    location = headers.get("Location")
    if status not in _STATUSES or location is None:
        return None
    asked, target = urlsplit(url), _parsed(url, location)
    if asked.scheme == "https" and target.scheme != "https":
        raise RedirectError(f"the server redirected to {_origin(target)}, from https to {target.scheme}")
    if not (_same_host(asked, target) or _both_allen(asked, target)):
        raise RedirectError(f"the server redirected to another host, {_origin(target)}")
    return urlunsplit(target._replace(fragment=""))


def require_same_origin(url: str, target: str) -> None:
    """Check that a redirect stays at the same scheme, host and port.

    Raises
    ------
    RedirectError
    """
    asked, found = urlsplit(url), urlsplit(target)
    if (asked.scheme, asked.hostname, _port(asked)) != (found.scheme, found.hostname, _port(found)):
        raise RedirectError(f"the server redirected to another origin, {_origin(found)}")


def _parsed(url: str, location: str) -> SplitResult:
    # Only printable ASCII is valid in an address; urllib would drop some control characters silently.
    if len(location) <= _MAX_LENGTH and location.isascii() and location.isprintable() and " " not in location:
        try:
            target = urlsplit(urljoin(url, location))
            # Accessing the port validates it.
            if target.hostname and target.port != 0 and target.scheme in _DEFAULT_PORTS and "@" not in target.netloc:
                return target
        except ValueError as error:
            raise RedirectError(_invalid(location)) from error
    raise RedirectError(_invalid(location))


def _invalid(location: str) -> str:
    # An address with a user name may also have a password.
    address = "an address with a user name" if "@" in location else f"{shown(location)}, which is not a valid address"
    return f"the server redirected to {address}"


def _origin(target: SplitResult) -> str:
    return shown(f"{target.scheme}://{target.netloc}").strip("'")


def _same_host(asked: SplitResult, target: SplitResult) -> bool:
    if asked.hostname != target.hostname:
        return False
    return _port(asked) == _port(target) or (_has_default_port(asked) and _has_default_port(target))


def _both_allen(asked: SplitResult, target: SplitResult) -> bool:
    return all(each.hostname in ALLEN_HOSTS and _has_default_port(each) for each in (asked, target))


def _has_default_port(parts: SplitResult) -> bool:
    return _port(parts) == _DEFAULT_PORTS.get(parts.scheme)


def _port(parts: SplitResult) -> int | None:
    return parts.port or _DEFAULT_PORTS.get(parts.scheme)
