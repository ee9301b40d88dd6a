"""The middleware around all routes and the form for the token, called without a server."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from bsv_store.errors import DamagedCatalogError
from bsv_store.server.access import login as login_module
from bsv_store.server.access import middleware as middleware_module
from bsv_store.server.access.headers import DEFAULT_POLICY, SECURITY_HEADERS
from bsv_store.server.access.in_progress import LocalCount, SharedCount, forget_in_progress, in_progress_in
from bsv_store.server.access.log import AccessLog
from bsv_store.server.access.login import ROUTES, login_page
from bsv_store.server.access.middleware import AccessMiddleware
from bsv_store.server.access.scopes import access_of
from bsv_store.server.access.tokens import KnownTokens
from bsv_store.server.metrics import ServerMetrics
from bsv_store.server.options import ServerOptions
from tests.server.test_access_rules import TOKENS, request


@dataclass
class Reply:
    """An answer of an application."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


class Counters(ServerMetrics):
    """Counters that keep what they are told."""

    def __init__(self) -> None:
        super().__init__(None)
        self.requests: list[tuple[Any, ...]] = []
        self.errors = 0

    def count_request(self, method: str, route: str, status: int, seconds: float, size_bytes: int) -> None:
        assert 0 <= seconds < 100
        self.requests.append((method, route, status, size_bytes))

    def count_error(self) -> None:
        self.errors += 1


def context(**options: Any) -> Any:
    return SimpleNamespace(
        options=ServerOptions(**{"rate": 0, **options}),
        metrics=Counters(),
        tokens=KnownTokens(lambda: TOKENS),
        paths=SimpleNamespace(removed=lambda text: text),
        check_store=lambda: None,
        folder=None,
        in_progress=LocalCount(),
    )


async def _echo(scope: Any, receive: Any, send: Any) -> None:
    """An application that says what it got."""
    asked = Request(scope, receive)
    access = access_of(asked)
    found = {
        "path": scope["path"],
        "root_path": scope.get("root_path", ""),
        "token": None if access is None else access.token_name,
        "size": len(await asked.body()),
    }
    scope["route"] = SimpleNamespace(path="/echo/{x}")
    await Response(json.dumps(found))(scope, receive, send)


def call(
    around: Any,
    path: str = "/echo",
    *,
    application: Any = _echo,
    log: AccessLog | None = None,
    method: str = "GET",
    query: bytes = b"",
    body: tuple[bytes, ...] = (b"",),
    client: tuple[str, int] | None = ("10.0.0.1", 1),
    middleware: AccessMiddleware | None = None,
    **headers: str,
) -> Reply:
    """The answer to one request through the middleware."""
    given = {"host": "localhost", **{name.replace("_", "-"): value for name, value in headers.items()}}
    if given["host"] == "-":
        del given["host"]
    scope: dict[str, Any] = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query,
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
        "client": client,
        "scheme": "http",
    }
    parts = [{"type": "http.request", "body": part, "more_body": True} for part in body]
    parts[-1]["more_body"] = False
    sent: list[Any] = []

    async def receive() -> Any:
        return parts.pop(0) if parts else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    wrapped = middleware or AccessMiddleware(application, context=around, log=log)
    asyncio.run(wrapped(scope, receive, send))
    assert around.metrics.in_flight == 0
    start, *rest = sent
    text = b"".join(each.get("body", b"") for each in rest).decode()
    return Reply(start["status"], {name.decode(): value.decode() for name, value in start["headers"]}, text)


def test_every_answer_has_the_headers_of_security_and_a_number() -> None:
    found = call(context())
    assert found.status == 200
    for name, value in SECURITY_HEADERS:
        assert found.headers[name.decode()] == value.decode()
    assert found.headers["content-security-policy"] == DEFAULT_POLICY.decode()
    assert found.headers["cache-control"] == "no-cache"
    assert re.fullmatch("[0-9a-f]{16}", found.headers["x-request-id"])
    assert "ratelimit" not in found.headers


def _cached(*, policy: str | None = None) -> Any:
    headers = {"Cache-Control": "public, max-age=5", "X-Other": "public"}
    return PlainTextResponse(
        "x", headers={**headers, **({} if policy is None else {"Content-Security-Policy": policy})}
    )


def test_what_a_route_says_of_caches_and_policies_is_kept_but_for_private_servers() -> None:
    found = call(context(), application=_cached(policy="p"))
    assert (found.headers["cache-control"], found.headers["content-security-policy"]) == ("public, max-age=5", "p")
    private = call(context(require_token=True), application=_cached(), authorization="Bearer anna:1")
    assert (private.headers["cache-control"], private.headers["x-other"]) == ("private, max-age=5", "public")


def test_a_request_is_counted_and_logged(tmp_path: Path) -> None:
    log = AccessLog(str(tmp_path / "log"))
    around = context()
    reply = call(around, "/echo/1", log=log, authorization="Bearer anna:1")
    call(around, "/x", method="BREW", log=log, client=None, application=PlainTextResponse("ab"))
    log.close()
    assert around.metrics.requests == [("GET", "/echo/{x}", 200, len(reply.text)), ("other", "other", 200, 2)]
    first, second = (json.loads(line) for line in (tmp_path / "log").read_text().splitlines())
    for each in (first, second):
        del each["at"]
        assert each.pop("seconds") == pytest.approx(0, abs=100)
    assert first == {
        "id": reply.headers["x-request-id"],
        "method": "GET",
        "path": "/echo/1",
        "route": "/echo/{x}",
        "status": 200,
        "bytes": len(reply.text),
        "client": "10.0.0.1",
        "token": "anna:1",
    }
    assert (second["method"], second["client"], second["token"]) == ("BREW", "unknown", None)


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS", "PUT", "DELETE", "PATCH"])
def test_requests_are_counted_by_method(method: str) -> None:
    around = context()
    call(around, method=method, application=PlainTextResponse(""))
    assert around.metrics.requests == [(method, "other", 200, 0)]


def test_a_client_that_leaves_is_counted_as_closed(tmp_path: Path) -> None:
    around = context()
    log = AccessLog(str(tmp_path / "log"))

    async def silent(_scope: Any, _receive: Any, _send: Any) -> None:
        pass

    with pytest.raises(ValueError, match="not enough values"):
        call(around, application=silent, log=log)
    log.close()
    assert around.metrics.requests == [("GET", "other", 499, 0)]
    assert json.loads((tmp_path / "log").read_text())["status"] == 499


@pytest.mark.parametrize(
    ("host", "status"),
    [
        *[(each, 200) for each in ("localhost", "LOCALHOST:8765", "localhost.", "127.0.0.1:1", "[::1]:8765", "[::1]")],
        *[(each, 421) for each in ("", "-", "evil.example", "localhost.evil.example", "xlocalhost", "[::2]")],
    ],
)
def test_a_local_server_has_the_names_of_this_computer(host: str, status: int) -> None:
    assert call(context(), host=host).status == status


@pytest.mark.parametrize("host", ["api.brain-map.org", "connectivity.brain-map.org", "download.alleninstitute.org:80"])
def test_a_local_server_has_the_names_of_allen_for_its_addresses_only(host: str) -> None:
    paths = ["/api/v2/data/query.json", "/grid_data/download/1", "/informatics-archive/current-release/x"]
    assert [call(context(), path, host=host).status for path in paths] == [200] * 3
    assert [call(context(), path, host=host).status for path in ("/", "/v1/status", "/api/v3/x")] == [421] * 3
    assert call(context(require_token=True), paths[0], host=host).status == 401


@pytest.mark.parametrize("path", ["/health", "/ready"])
def test_health_is_answered_whatever_the_limits(path: str) -> None:
    around = context(require_token=True, rate=0.001, concurrency=1)
    for _ in range(3):
        assert call(around, path, host="evil.example", content_length="999999999999").status == 200


def test_addresses_and_headers_have_a_maximum_size() -> None:
    longest = "/" + "x" * (16_384 - 1 - 3)
    assert call(context(), longest, query=b"abc").status == 200
    assert call(context(), longest, query=b"abcd").status == 414
    used = len("hostlocalhost") + len("x-big")
    assert call(context(), x_big="x" * (65_536 - used)).status == 200
    assert call(context(), x_big="x" * (65_537 - used)).status == 431


def test_bodies_have_a_maximum_size() -> None:
    around = context(max_body_bytes=10)
    assert call(around, method="POST", body=(b"x" * 4, b"y" * 6)).json["size"] == 10
    too_large = call(around, method="POST", body=(b"x" * 4, b"y" * 7))
    assert (too_large.status, too_large.headers["connection"]) == (413, "close")
    assert call(around, content_length="10").status == 200
    for length in ("11", "-1", "1x", ""):
        refused = call(around, content_length=length)
        assert (refused.status, refused.headers["connection"]) == (413, "close")


def test_after_the_body_an_application_learns_that_the_client_left() -> None:
    seen: list[Any] = []

    async def waiting(scope: Any, receive: Any, send: Any) -> None:
        seen.extend([await receive(), await receive()])
        await PlainTextResponse("")(scope, receive, send)

    call(context(), application=waiting, body=(b"ab",))
    assert [each["type"] for each in seen] == ["http.request", "http.disconnect"]


def test_a_body_must_arrive_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(middleware_module, "BODY_TIMEOUT_S", 0.05)

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0.1)
        await _echo(scope, receive, send)

    async def never() -> Any:
        await asyncio.sleep(60)

    around = context()
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope: dict[str, Any] = {
        "type": "http",
        "method": "POST",
        "path": "/x",
        "raw_path": b"/x",
        "query_string": b"",
        "client": None,
        "headers": [(b"host", b"localhost")],
    }
    asyncio.run(AccessMiddleware(slow, context=around)(scope, never, send))
    assert sent[0]["status"] == 408
    assert (b"connection", b"close") in sent[0]["headers"]


def test_requests_in_progress_are_limited() -> None:
    around = context(concurrency=2)
    statuses = []
    for running in (0, 1, 2):
        found = call(around, middleware=AccessMiddleware(_echo, context=around))
        statuses.append((found.status, found.headers.get("retry-after")))
        assert around.in_progress.total() == running
        around.in_progress.add(1)
    assert statuses == [(200, None), (200, None), (503, "1")]


@pytest.mark.skipif(os.name == "nt", reason="workers share nothing on Windows")
def test_requests_in_progress_are_those_of_all_workers(tmp_path: Path) -> None:
    around, other = context(concurrency=2), SharedCount(tmp_path / "count", 2)
    around.in_progress = SharedCount(tmp_path / "count", 2)
    other.add(1)
    assert call(around).status == 200
    other.add(1)
    assert call(around).status == 503
    other.close()
    assert call(around).status == 200
    assert around.in_progress.total() == 0


@pytest.mark.skipif(os.name == "nt", reason="workers share nothing on Windows")
def test_requests_of_killed_workers_do_not_count(tmp_path: Path) -> None:
    killed = (
        "from bsv_store.server.access.in_progress import in_progress_in; from pathlib import Path; import os, sys\n"
    )
    killed += "in_progress_in(Path(sys.argv[1]), 2).add(7); os._exit(1)"
    running = in_progress_in(tmp_path, 2)
    running.add(1)
    # More than there are places.
    for _ in range(5):
        with subprocess.Popen([sys.executable, "-c", killed, str(tmp_path)]) as worker:
            worker.wait()
        assert running.total() == 8
        forget_in_progress(tmp_path, worker.pid)
        assert running.total() == 1


def test_a_client_above_its_rate_is_told_when_to_come_again() -> None:
    around = context(require_token=True, rate=0.2)
    middleware = AccessMiddleware(_echo, context=around)
    first, second = (call(around, middleware=middleware, authorization="Bearer anna:1") for _ in range(2))
    assert (first.status, first.headers["ratelimit-policy"]) == (200, '"requests";q=1;w=5')
    assert first.headers["ratelimit"] == '"requests";r=0;t=5'
    assert (second.status, second.headers["retry-after"]) == (429, "5")
    assert "in 5 s" in second.json["hint"]
    # The same token counts as one client, wherever it comes from; without a token, the address does.
    other = ("10.0.0.2", 1)
    assert call(around, middleware=middleware, client=other, authorization="Bearer anna:1").status == 429
    assert [call(around, middleware=middleware, client=other).status for _ in range(2)] == [401, 429]
    assert call(around, middleware=middleware).status == 401


@pytest.mark.parametrize(
    ("path", "expected", "seen"),
    [
        ("/bsv/who", "/bsv/who", "/who"),
        ("/bsv", "/bsv", "/"),
        ("/who", "/bsv/who", "/who"),
        ("/bsvx", "/bsv/bsvx", "/bsvx"),
        ("/bsv/login", "/bsv/login", None),
        ("/login", "/bsv/login", None),
    ],
)
def test_a_proxy_may_have_removed_the_root_path_or_not(path: str, expected: str, seen: str | None) -> None:
    around = context(root_path="/bsv", require_token=True)
    found = call(around, path, authorization="Bearer anna:1")
    assert found.json["path"] == expected
    assert found.json["root_path"] == "/bsv"
    assert found.json["token"] == (None if seen is None else "anna:1")


def test_without_a_root_path_nothing_is_added() -> None:
    assert call(context(), "/bsv/x").json == {"path": "/bsv/x", "root_path": "", "token": None, "size": 0}


def test_a_refused_visitor_with_a_browser_gets_the_form_and_others_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    around = context(require_token=True)
    problem = call(around)
    assert (problem.status, problem.headers["content-type"]) == (401, "application/problem+json")
    monkeypatch.setattr("bsv_store.server.pages.shell.context_of", lambda _request: around)
    form = call(around, "/who", query=b"a=1", accept="text/html,*/*")
    assert (form.status, form.headers["www-authenticate"]) == (401, 'Bearer realm="bsv-store"')
    assert 'name="next" value="/who?a=1"' in form.text
    assert 'name="next" value="/who"' in call(around, "/who", accept="text/html").text
    below = context(require_token=True, root_path="/bsv")
    for path, then in (("/bsv", "/"), ("/bsv/who", "/who"), ("/who", "/who")):
        assert f'name="next" value="{then}"' in call(below, path, accept="text/html").text
    assert call(around, method="POST", accept="text/html").headers["content-type"] == "application/problem+json"


def test_an_unexpected_error_is_an_answer_and_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(_scope: Any, _receive: Any, _send: Any) -> None:
        raise RuntimeError("secret")

    around = context()
    found = call(around, application=broken)
    assert (found.status, around.metrics.errors) == (500, 1)
    assert "secret" not in found.text
    assert found.headers["x-request-id"] in found.json["hint"]
    assert found.json["detail"] == "the server failed because of an unexpected error"
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("bsv_store.server", logging.ERROR)
    assert record.request_id == found.headers["x-request-id"]  # type: ignore[attr-defined]
    assert record.getMessage() == f"request {found.headers['x-request-id']} failed"
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], RuntimeError)

    def gone() -> None:
        raise DamagedCatalogError("the store is gone")

    around.check_store = gone
    found = call(around, application=broken)
    assert (found.status, around.metrics.errors) == (503, 1)
    assert "the store is gone" in found.json["detail"]


def test_a_request_that_is_cancelled_is_told_that_the_server_stops() -> None:
    async def cancelled(_scope: Any, _receive: Any, _send: Any) -> None:
        raise asyncio.CancelledError

    found = call(context(), application=cancelled)
    assert found.status == 503
    assert found.json["detail"] == "the server is being stopped"


def test_an_answer_that_has_begun_is_not_begun_again() -> None:
    async def half(scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ab", "more_body": True})
        raise RuntimeError

    around = context()
    found = call(around, application=half)
    assert (found.status, found.text) == (200, "ab")
    assert around.metrics.requests == [("GET", "other", 200, 2)]


def test_other_protocols_are_left_to_the_application() -> None:
    seen: list[Any] = []

    async def application(*arguments: Any) -> None:
        seen.append(arguments)

    around = context(require_token=True)
    scope: Any = {"type": "lifespan"}
    asyncio.run(AccessMiddleware(application, context=around)(scope, "receive", "send"))  # type: ignore[arg-type]
    assert seen == [(scope, "receive", "send")]
    assert around.metrics.requests == []


# -- the form ---------------------------------------------------------------------------------------------------------

FORM = (
    '<form method="post" action="/login" class="login"><input type="hidden" name="next" value="/a?b=c">'
    '<input type="text" name="username" value="bsv-store" autocomplete="username" hidden>'
    '<label for="token">Token</label>'
    '<input id="token" name="token" type="password" autocomplete="current-password" required autofocus>'
    '<button type="submit" class="primary">Sign in</button></form>'
)
INTRODUCTION = "<h1>Sign in</h1><p>You need a token to read this store. Ask its administrator for one.</p>"


def test_the_form_asks_for_the_token() -> None:
    page = login_page(request("https"), then="/a?b=c")
    text = bytes(page.body).decode()
    assert INTRODUCTION + FORM in text
    assert "<title>Sign in · bsv-store</title>" in text
    assert (page.status_code, page.headers["cache-control"]) == (200, "no-store")
    assert "www-authenticate" not in page.headers


def test_the_form_says_what_was_wrong() -> None:
    page = login_page(request("https"), then="/a?b=c", problem="Wrong.", status=401)
    problem = '<p id="problem" class="problem" role="alert">Wrong.</p>'
    form = FORM.replace("required autofocus", 'required autofocus aria-describedby="problem" aria-invalid="true"')
    assert INTRODUCTION + problem + form in bytes(page.body).decode()
    assert (page.status_code, page.headers["www-authenticate"]) == (401, 'Bearer realm="bsv-store"')


def test_the_form_warns_where_the_browser_would_not_keep_the_token() -> None:
    warning = ">This address is not encrypted, so the browser will not keep the token. Use https.<"
    assert warning in bytes(login_page(request("http"), then="/").body).decode()
    for asked in (request("https"), request("http", "localhost")):
        assert warning not in bytes(login_page(asked, then="/").body).decode()
    assert warning not in bytes(login_page(request("http"), then="/", problem="Wrong.").body).decode()


def signed_in(
    monkeypatch: pytest.MonkeyPatch, body: bytes = b"", *, path: str = "/login", required: bool = True, **scope: Any
) -> Reply:
    """The answer of the routes of the form."""
    around = context(require_token=required)
    monkeypatch.setattr(login_module, "context_of", lambda _request: around)
    (route,) = [each for each in ROUTES if each.path == path]  # type: ignore[attr-defined]
    values = {"type": "http", "scheme": "https", "headers": [(b"host", b"lab.org")], "path": path, "query_string": b""}
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": body}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(route.app({**values, "method": "POST", **scope}, receive, send))  # type: ignore[attr-defined]
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return Reply(sent[0]["status"], headers, sent[1]["body"].decode())


def test_signing_in_sets_the_cookie_and_leads_on(monkeypatch: pytest.MonkeyPatch) -> None:
    found = signed_in(monkeypatch, b"token=+anna%3A1%0A&next=%2Fwho%3Fa%3D1%26b%3D%5B2%5D", root_path="/bsv")
    assert (found.status, found.headers["location"]) == (303, "/bsv/who?a=1&b=[2]")
    assert found.headers["cache-control"] == "no-store"
    assert found.headers["set-cookie"].startswith("bsv_store_token=")
    assert signed_in(monkeypatch, b"token=anna:1").headers["location"] == "/"
    # As long as the token is valid.
    assert int(re.findall(r"Max-Age=(\d+)", found.headers["set-cookie"])[0]) <= 3600


@pytest.mark.parametrize("body", [b"", b"token=", b"token=x&next=/who", b"token=revoked&next=/who", b"next=/who"])
def test_a_wrong_token_is_asked_for_again(monkeypatch: pytest.MonkeyPatch, body: bytes) -> None:
    found = signed_in(monkeypatch, body)
    assert (found.status, "set-cookie" in found.headers) == (401, False)
    assert ">This token is not valid. It may be misspelled, expired or revoked.<" in found.text
    assert f'name="next" value="{"/who" if b"next" in body else "/"}"' in found.text


@pytest.mark.parametrize("then", [b"//evil", b"/\\evil", b"https://evil", b"/a%20b", b"/a%0d%0ab", b"x", b"/a%5Cb"])
def test_nobody_is_led_to_another_server(monkeypatch: pytest.MonkeyPatch, then: bytes) -> None:
    assert signed_in(monkeypatch, b"token=anna:1&next=" + then).headers["location"] == "/"
    asked = signed_in(monkeypatch, method="GET", query_string=b"next=" + then)
    assert 'name="next" value="/"' in asked.text


def test_the_form_is_shown_only_where_a_token_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = signed_in(monkeypatch, method="GET", query_string=b"next=/who")
    assert (asked.status, 'name="next" value="/who"' in asked.text) == (200, True)
    assert 'name="next" value="/"' in signed_in(monkeypatch, method="GET").text
    led = signed_in(monkeypatch, method="GET", query_string=b"next=/who", required=False)
    assert (led.status, led.headers["location"]) == (303, "/who")


def test_a_form_of_ten_fields_is_read_and_a_larger_one_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert signed_in(monkeypatch, b"token=anna:1" + b"&a=b" * 9).status == 303
    with pytest.raises(login_module.HTTPException, match="400"):  # type: ignore[attr-defined]
        signed_in(monkeypatch, b"token=anna:1" + b"&a=b" * 10)
    # What is not UTF-8 is no error.
    assert signed_in(monkeypatch, b"token=%ff\xff").status == 401


def test_signing_out_deletes_the_cookie(monkeypatch: pytest.MonkeyPatch) -> None:
    found = signed_in(monkeypatch, path="/logout", root_path="/bsv")
    assert (found.status, found.headers["location"], found.headers["cache-control"]) == (303, "/bsv/login", "no-store")
    assert 'bsv_store_token=""; ' in found.headers["set-cookie"]
    assert "Max-Age=0" in found.headers["set-cookie"]


def test_the_routes_of_the_form_accept_these_methods() -> None:
    methods = {each.path: each.methods for each in ROUTES}  # type: ignore[attr-defined]
    assert methods == {"/login": {"GET", "HEAD", "POST"}, "/logout": {"POST"}}
