"""The page on which a browser gets its token, and the way to forget it."""

from __future__ import annotations

import re
from html import escape
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, quote

from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from bsv_store.server.access.cookie import delete_cookie, is_secure, set_cookie
from bsv_store.server.context import context_of

if TYPE_CHECKING:
    from starlette.requests import Request

_STYLE: Final = """\
:root { color-scheme: light dark; font: 100%/1.5 system-ui, sans-serif; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; }
main { width: min(24rem, 100vw - 3rem); }
h1 { font-size: 1.4rem; margin: 0 0 .25rem; }
p { margin: .25rem 0 1rem; }
label { display: block; font-weight: 600; margin-bottom: .25rem; }
input, button { box-sizing: border-box; width: 100%; font: inherit; padding: .6rem .75rem; border-radius: .375rem; }
input { border: 1px solid #767676; background: Field; color: FieldText; }
button { margin-top: .75rem; border: 0; background: #0b5394; color: #fff; font-weight: 600; cursor: pointer; }
button:hover { background: #083e6f; }
:focus-visible { outline: 3px solid #5b9bd5; outline-offset: 2px; }
.error { border-left: .25rem solid #c62828; padding-left: .75rem; }
"""

# Within the server: no scheme, no host, no control characters.
_NEXT = re.compile(r"/(?![/\\])[^\x00-\x20\x7f\\]*")


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
    root = escape(request.scope.get("root_path", ""))
    if problem is None and request.url.scheme != "https" and is_secure(request):
        problem = "This address is not encrypted, so the browser will not keep the token. Use https."
    error = "" if problem is None else f'<p class="error" role="alert" id="problem">{escape(problem)}</p>'
    described = "" if problem is None else ' aria-describedby="problem" aria-invalid="true"'
    page = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Sign in – bsv-store</title>
<link rel="stylesheet" href="{root}/login.css">
</head>
<body>
<main>
<h1>bsv-store</h1>
<p>This store is open to holders of a token. Its administrator issues them.</p>
{error}
<form method="post" action="{root}/login">
<input type="hidden" name="next" value="{escape(then)}">
<input type="text" name="username" value="bsv-store" autocomplete="username" hidden>
<label for="token">Token</label>
<input id="token" name="token" type="password" autocomplete="current-password" required autofocus{described}>
<button type="submit">Sign in</button>
</form>
</main>
</body>
</html>
"""
    headers = {"Cache-Control": "no-store"}
    if status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="bsv-store"'
    return HTMLResponse(page, status_code=status, headers=headers)


def _valid_next(value: str) -> str:
    return value if _NEXT.fullmatch(value) else "/"


def _redirect(request: Request, then: str) -> Response:
    address = request.scope.get("root_path", "") + then
    return RedirectResponse(quote(address, safe="/?=&%:,;+@!$'()*~#[]"), status_code=303)


async def _login(request: Request) -> Response:
    context = context_of(request)
    if request.method != "POST":
        then = _valid_next(request.query_params.get("next", "/"))
        return login_page(request, then=then) if context.options.demands_token else _redirect(request, then)
    fields = parse_qs((await request.body()).decode("utf-8", "replace"))
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


async def _style(request: Request) -> Response:
    return Response(_STYLE, media_type="text/css", headers={"Cache-Control": "public, max-age=3600"})


ROUTES: list[BaseRoute] = [
    Route("/login", _login, methods=["GET", "POST"]),
    Route("/logout", _logout, methods=["POST"]),
    Route("/login.css", _style),
]
