"""The cookie with the token of a browser. Scripts cannot read it, and other sites cannot make browsers send it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from starlette.requests import cookie_parser

from bsv_store.server.options import LOCAL_NAMES

if TYPE_CHECKING:
    from starlette.datastructures import Headers
    from starlette.requests import Request
    from starlette.responses import Response

NAME: Final = "bsv_store_token"
_LONGEST_S: Final = 30 * 86_400


def cookie_token(headers: Headers) -> str | None:
    """The token in the cookie of a request, if any. That of a request which another site caused does not count."""
    if headers.get("sec-fetch-site") in ("cross-site", "same-site"):
        return None
    text = headers.get("cookie")
    return None if text is None else cookie_parser(text).get(NAME) or None


def set_cookie(request: Request, response: Response, token: str, expires_at: datetime | None) -> None:
    """Make the browser keep a token, at most 30 days."""
    left = _LONGEST_S if expires_at is None else int((expires_at - datetime.now(UTC)).total_seconds())
    response.set_cookie(
        NAME,
        token,
        max_age=max(0, min(left, _LONGEST_S)),
        path=_path(request),
        secure=is_secure(request),
        httponly=True,
        samesite="strict",
    )


def delete_cookie(request: Request, response: Response) -> None:
    """Make the browser forget its token."""
    response.delete_cookie(NAME, path=_path(request), secure=is_secure(request), httponly=True, samesite="strict")


def is_secure(request: Request) -> bool:
    """Whether the cookie must be sent over HTTPS only: everywhere but on this computer."""
    return request.url.scheme == "https" or request.url.hostname not in LOCAL_NAMES


def _path(request: Request) -> str:
    return request.scope.get("root_path") or "/"
