"""The page on which a browser gets its token, and the way to forget it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, quote

from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from bsv_store.reports.html_page.markup import element
from bsv_store.server.access.cookie import delete_cookie, is_secure, set_cookie
from bsv_store.server.context import context_of
from bsv_store.server.pages.address import address
from bsv_store.server.pages.shell import page

if TYPE_CHECKING:
    from starlette.requests import Request

# The form has three; parsing very many would delay other requests.
_MAX_FIELDS = 10
# Within the server: no scheme, no host, no control characters.
_NEXT = re.compile(r"/(?![/\\])[^\x00-\x20\x7f\\]*")


# Characters that are not encoded, or not again.
_IN_PATH: Final = "/=&:,;+@!$'()*~"
_IN_QUERY: Final = f"{_IN_PATH}?%[]"
_IN_ADDRESS: Final = f"{_IN_QUERY}#"


def login_page(request: Request, *, then: str, problem: str | None = None, status: int = 200) -> Response:
    """The form for the token.

    Parameters
    ----------
    request : Request
    then : str
        Address below the root path that is shown afterwards, with its query.
    problem : str, optional
        What was wrong with the last attempt.
    status : int
    """
    if problem is None and request.url.scheme != "https" and is_secure(request):
        problem = "This address is not encrypted, so the browser will not keep the token. Use https."
    is_refused = problem is not None
    token = element(
        "input",
        id="token",
        name="token",
        type="password",
        autocomplete="current-password",
        required=True,
        autofocus=True,
        aria_describedby="problem" if is_refused else None,
        aria_invalid="true" if is_refused else None,
    )
    shown = page(
        request,
        "Sign in",
        element("h1", "Sign in"),
        element("p", "You need a token to read this store. Ask its administrator for one."),
        element("p", problem, id="problem", class_="problem", role="alert") if is_refused else None,
        element(
            "form",
            element("input", type="hidden", name="next", value=then),
            # For password managers, which store names with passwords.
            element("input", type="text", name="username", value="bsv-store", autocomplete="username", hidden=True),
            element("label", "Token", for_="token"),
            token,
            element("button", "Sign in", type="submit", class_="primary"),
            method="post",
            action=address(request, "/login"),
            class_="login",
        ),
        bare=True,
        status=status,
    )
    shown.headers["Cache-Control"] = "no-store"
    if status == 401:
        shown.headers["WWW-Authenticate"] = 'Bearer realm="bsv-store"'
    return shown


def own_address(path: str, query: bytes) -> str:
    """An address of the server as it stands in a link, of its decoded path and of the query as it was sent.

    Browsers do not encode all characters of a query. One of these is the backslash, which means a slash in a path.
    """
    return f"{quote(path, safe=_IN_PATH)}{'?' if query else ''}{quote(query, safe=_IN_QUERY)}"


def _valid_next(value: str) -> str:
    return value if _NEXT.fullmatch(value) else "/"


def _redirect(request: Request, then: str) -> Response:
    address = request.scope.get("root_path", "") + then
    return RedirectResponse(quote(address, safe=_IN_ADDRESS), status_code=303)


async def _login(request: Request) -> Response:
    context = context_of(request)
    if request.method != "POST":
        then = _valid_next(request.query_params.get("next", "/"))
        return login_page(request, then=then) if context.options.requires_token else _redirect(request, then)
    try:
        fields = parse_qs((await request.body()).decode("utf-8", "replace"), max_num_fields=_MAX_FIELDS)
    except ValueError as error:
        raise HTTPException(400) from error
    secret, then = fields.get("token", [""])[0].strip(), _valid_next(fields.get("next", ["/"])[0])
    token = await context.tokens.find(secret)
    if token is None:
        problem = "This token is not valid. It may be misspelled, expired or revoked."
        return login_page(request, then=then, problem=problem, status=401)
    response = _redirect(request, then)
    response.headers["Cache-Control"] = "no-store"
    set_cookie(request, response, secret, token.expires_at)
    return response


async def _logout(request: Request) -> Response:
    response = _redirect(request, "/login")
    response.headers["Cache-Control"] = "no-store"
    delete_cookie(request, response)
    return response


ROUTES: list[BaseRoute] = [
    Route("/login", _login, methods=["GET", "POST"]),
    Route("/logout", _logout, methods=["POST"]),
]
