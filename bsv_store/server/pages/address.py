"""Addresses within the application, which may be mounted under a prefix."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

if TYPE_CHECKING:
    from starlette.requests import Request


def base_of(request: Request) -> str:
    """The prefix of the application, such as '/bsv'; '' at the top."""
    return str(request.scope.get("root_path", "")).rstrip("/")


def address(request: Request, path: str, **query: str | int | None) -> str:
    """The address of a path of the application, with the prefix and the given parameters; None is left out.

    Characters of the path that mean something in an address are escaped, except the slash.
    """
    given = {name: value for name, value in query.items() if value is not None}
    return f"{base_of(request)}{quote(path, safe='/@:+,')}{'?' if given else ''}{urlencode(given)}"


def public_address(request: Request) -> str:
    """The address at which the visitor sees the store, without a slash at the end, for ``open_store``."""
    return str(request.base_url).rstrip("/")
