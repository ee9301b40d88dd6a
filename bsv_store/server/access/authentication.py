"""Who sends a request: a token in the header ``Authorization`` or in a cookie. Tokens in addresses do not count."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Final

from starlette.requests import Request

from bsv_store.errors import BsvStoreError, TokenError
from bsv_store.server.access.cookie import cookie_token
from bsv_store.server.access.login import login_page, own_address
from bsv_store.server.access.scopes import LOCAL_USER, Access
from bsv_store.server.problems import problem_response

if TYPE_CHECKING:
    from starlette.datastructures import Headers
    from starlette.responses import Response
    from starlette.types import Scope

    from bsv_store.server.context import Context

# The page for the token and what it looks like; assets have no data of the store.
_OPEN: Final = frozenset({"/favicon.ico", "/login", "/logout"})
_OPEN_FOLDER: Final = "/assets/"
_HINT: Final = (
    "Send it in the header `Authorization: Bearer TOKEN`. The administrator of the server issues tokens: "
    "bsv-store serve token add NAME"
)


async def authenticate(context: Context, headers: Headers, path: str) -> Access | None:
    """What a request may do; None for addresses that are answered without a token.

    Raises
    ------
    TokenError
        If a token is required and missing, or not valid.
    BsvStoreError
        If the tokens cannot be read.
    """
    if path in _OPEN or path.startswith(_OPEN_FOLDER):
        return None
    given = _given_token(headers.get("authorization", ""))
    if given is not None:
        return await _access(context, given)
    if not context.options.requires_token:
        # Browsers send the cookie of one local server to all others.
        return LOCAL_USER
    kept = cookie_token(headers)
    if kept is None:
        raise TokenError("the server requires a token", hint=_HINT)
    return await _access(context, kept)


def _given_token(authorization: str) -> str | None:
    """The token in the header, as Bearer; or as the password of any user, which programs read from a netrc file."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[2]
        except ValueError:
            return ""
    return None


async def _access(context: Context, secret: str) -> Access:
    token = await context.tokens.find(secret)
    if token is None:
        raise TokenError("the token is not valid: it is unknown, expired or revoked", hint=_HINT)
    return Access(token.name, token.scopes)


def refusal(context: Context, scope: Scope, headers: Headers, path: str, error: BsvStoreError) -> Response:
    """The answer to a request without a valid token: for a browser the page where it is entered."""
    if isinstance(error, TokenError) and scope["method"] == "GET" and "text/html" in headers.get("accept", ""):
        return login_page(Request(scope), then=own_address(path, scope["query_string"]), status=401)
    return problem_response(context, error)
