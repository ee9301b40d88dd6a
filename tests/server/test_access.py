"""Who may use the server, and how much: tokens, host names, limits, headers, the access log."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
import requests
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Route

from bsv_store import create_store, open_store
from bsv_store.errors import InputError
from bsv_store.server import operations
from bsv_store.server.access.headers import content_security_policy
from bsv_store.server.access.limits import RateLimit
from bsv_store.server.access.scopes import access_of, require_scope
from bsv_store.server.access.tokens import KnownTokens
from bsv_store.server.options import ServerOptions
from tests.server.serving import serving

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from bsv_store import Store

JSON_PROBLEM = "application/problem+json"
WITH_TOKEN = ServerOptions(require_token=True, rate=0, shutdown_s=2)

_entered = threading.Event()
_leave = threading.Event()


def _who(request: Request) -> Response:
    access = access_of(request)
    assert access is not None
    return JSONResponse({"name": access.token_name, "scopes": list(access.scopes)})


def _sql(request: Request) -> Response:
    require_scope(request, "sql")
    return PlainTextResponse("rows")


async def _size(request: Request) -> Response:
    return PlainTextResponse(str(len(await request.body())))


def _viewer(request: Request) -> Response:
    policy = content_security_policy({"worker-src": ("blob:",), "script-src": ("'wasm-unsafe-eval'",)})
    return HTMLResponse("<p>viewer", headers={"Content-Security-Policy": policy})


def _immutable(request: Request) -> Response:
    return PlainTextResponse("x", headers={"Cache-Control": "public, max-age=31536000, immutable"})


def _slow(request: Request) -> Response:
    _entered.set()
    assert _leave.wait(20)
    return PlainTextResponse("slow")


def _client(request: Request) -> Response:
    assert request.client is not None
    return PlainTextResponse(f"{request.client.host} {request.url.scheme} {request.url_for('client').path}")


def _broken_stream(request: Request) -> Response:
    async def parts() -> Any:
        yield b"begun"
        raise RuntimeError("halfway")

    return StreamingResponse(parts())


ROUTES = [
    Route("/who", _who),
    Route("/sql", _sql, methods=["POST"]),
    Route("/size", _size, methods=["POST"]),
    Route("/viewer", _viewer),
    Route("/immutable", _immutable),
    Route("/slow", _slow),
    Route("/client", _client, name="client"),
    Route("/broken", _broken_stream),
]


@pytest.fixture(autouse=True)
def _routes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "ROUTES", [*operations.ROUTES, *ROUTES])
    monkeypatch.setattr("bsv_store.server.access.tokens.REFRESH_S", 0.0)
    _entered.clear()
    _leave.clear()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("access") / "store"
    create_store(folder).close()
    return folder


@pytest.fixture(scope="module")
def secrets(folder: Path) -> dict[str, str]:
    with open_store(folder) as store:
        found = {
            "anna": store.admin.add_token("anna", scope="sql").secret,
            "ben": store.admin.add_token("ben").secret,
            "gone": store.admin.add_token("gone").secret,
        }
        store.admin.revoke_token("gone")
    return found


@pytest.fixture
def served(folder: Path) -> Iterator[Store]:
    with open_store(folder, read_only=True) as store:
        yield store


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def get(url: str, **more: Any) -> requests.Response:
    return requests.get(url, timeout=20, allow_redirects=False, **more)


# -- tokens -----------------------------------------------------------------------------------------------------------


def test_a_local_user_needs_no_token(served: Store) -> None:
    with serving(served) as url:
        assert get(f"{url}/who").json() == {"name": None, "scopes": ["read", "sql"]}
        # A token that is sent must be valid all the same.
        assert get(f"{url}/who", headers=bearer("bsv_wrong")).status_code == 401
        # A browser has cookies of other local servers.
        assert get(f"{url}/who", cookies={"bsv_store_token": "bsv_wrong"}).status_code == 200


def test_a_token_is_required(served: Store, secrets: dict[str, str]) -> None:
    with serving(served, WITH_TOKEN) as url:
        refused = get(f"{url}/who")
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"] == 'Bearer realm="bsv-store"'
        assert refused.headers["content-type"] == JSON_PROBLEM
        assert refused.json()["code"] == "TokenError"
        assert "token add" in refused.json()["hint"]
        assert get(f"{url}/who", headers=bearer(secrets["anna"])).json() == {"name": "anna", "scopes": ["read", "sql"]}
        assert get(f"{url}/who", auth=("any", secrets["ben"])).json() == {"name": "ben", "scopes": ["read"]}
        for header in (
            *("Bearer", "Bearer ", f"Bearer {secrets['gone']}", f"Bearer {secrets['anna']}x", secrets["anna"]),
            *("Basic !", "Basic YTpi", "Digest x", f"bearer {secrets['anna'][:-1]}"),
        ):
            assert get(f"{url}/who", headers={"Authorization": header}).status_code == 401, header
        # Not in addresses, and not for addresses that do not exist.
        assert get(f"{url}/who?token={secrets['anna']}").status_code == 401
        assert get(f"{url}/nothing").status_code == 401
        assert get(f"{url}/metrics").status_code == 401
        assert get(f"{url}/nothing", headers=bearer(secrets["anna"])).status_code == 404
        assert get(f"{url}/health").status_code == get(f"{url}/ready").status_code == 200


def test_a_token_is_accepted_and_refused_as_soon_as_it_is_added_and_revoked(served: Store) -> None:
    with serving(served, WITH_TOKEN) as url, open_store(served.path) as writer:
        added = writer.admin.add_token("short", expires_in=timedelta(days=1))
        assert get(f"{url}/who", headers=bearer(added.secret)).status_code == 200
        writer.admin.revoke_token("short")
        assert get(f"{url}/who", headers=bearer(added.secret)).status_code == 401


def test_a_client_that_accepts_anything_gets_a_problem_and_no_page(served: Store) -> None:
    with serving(served, WITH_TOKEN) as url:
        reply = get(f"{url}/who", headers={"Accept": None})
        assert (reply.status_code, reply.headers["content-type"]) == (401, JSON_PROBLEM)


def test_sql_needs_its_scope(served: Store, secrets: dict[str, str]) -> None:
    with serving(served, WITH_TOKEN) as url:
        assert requests.post(f"{url}/sql", headers=bearer(secrets["anna"]), timeout=20).text == "rows"
        refused = requests.post(f"{url}/sql", headers=bearer(secrets["ben"]), timeout=20)
        assert refused.status_code == 403
        assert refused.headers["www-authenticate"] == 'Bearer realm="bsv-store", error="insufficient_scope"'
        assert refused.json()["code"] == "ScopeError"
        assert "--scope sql" in refused.json()["hint"]


def test_tokens_that_were_read_are_used_while_the_catalog_is_locked() -> None:
    import asyncio

    from bsv_store.errors import BusyError, StoreUnreachableError

    replies: list[Any] = [(), BusyError("locked"), StoreUnreachableError("gone")]

    def read() -> Any:
        reply = replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return reply

    async def run() -> None:
        known = KnownTokens(read)
        assert await known.find("x") is None
        assert await known.find("x") is None
        with pytest.raises(StoreUnreachableError):
            await known.find("x")

    asyncio.run(run())
    with pytest.raises(BusyError):
        asyncio.run(KnownTokens(lambda: (_ for _ in ()).throw(BusyError("locked"))).find("x"))


# -- browsers ---------------------------------------------------------------------------------------------------------


def test_a_browser_signs_in_and_out(served: Store, secrets: dict[str, str]) -> None:
    session = requests.Session()
    with serving(served, WITH_TOKEN) as url:
        page = session.get(f"{url}/who?x=<b>", headers={"Accept": "text/html"}, timeout=20)
        assert page.status_code == 401
        assert 'action="/login"' in page.text
        assert 'name="next" value="/who?x=%3Cb%3E"' in page.text
        assert "<script>" not in page.text
        assert "style=" not in page.text
        style = page.text.partition('rel="stylesheet" href="')[2].partition('"')[0]
        assert session.get(f"{url}{style}", timeout=20).headers["content-type"].startswith("text/css")
        wrong = session.post(f"{url}/login", data={"token": "bsv_<i>", "next": "/who"}, timeout=20)
        assert wrong.status_code == 401
        assert "not valid" in wrong.text
        assert "bsv_" not in wrong.text
        assert not session.cookies
        data = {"token": f" {secrets['ben']}\n", "next": "/who?a=1"}
        right = session.post(f"{url}/login", data=data, timeout=20, allow_redirects=False)
        assert (right.status_code, right.headers["location"]) == (303, "/who?a=1")
        cookie = right.headers["set-cookie"]
        assert re.search(r"; HttpOnly; Max-Age=2592000; Path=/; SameSite=strict$", cookie)
        assert session.get(f"{url}/who", timeout=20).json()["name"] == "ben"
        assert 'action="/logout"' in session.get(f"{url}/cite", timeout=20).text
        # As when another site has a link or a form.
        assert session.get(f"{url}/who", headers={"Sec-Fetch-Site": "cross-site"}, timeout=20).status_code == 401
        assert session.get(f"{url}/logout", timeout=20).status_code == 405
        left = session.post(f"{url}/logout", timeout=20, allow_redirects=False)
        assert (left.status_code, left.headers["location"]) == (303, "/login")
        assert session.get(f"{url}/who", timeout=20).status_code == 401


def test_error_pages_say_nothing_about_the_store_to_visitors_without_a_token(
    served: Store, secrets: dict[str, str]
) -> None:
    name = served.config.store_id[:8]
    with serving(served, WITH_TOKEN) as url:
        for path in ("assets/x/y", "logout", "favicon.ico"):
            reply = get(f"{url}/{path}", headers={"Accept": "text/html"})
            assert reply.status_code in (404, 405), path
            assert "<h1>" in reply.text
            assert name not in reply.text
        signed_in = get(f"{url}/nothing", headers={"Accept": "text/html", **bearer(secrets["ben"])})
        assert name in signed_in.text


@pytest.mark.parametrize(
    "address",
    [
        "/who?selection=%7B%22line%22%3A%22a+b%22%7D&x=50%25",
        # As browsers send it.
        "/who?selection={%22line%22:%22\\u0041%22}",
        "/datasets/a%20b%25%3F@1?x=1",
        "/datasets/a%20b",
    ],
)
def test_signing_in_leads_to_the_requested_address(served: Store, secrets: dict[str, str], address: str) -> None:
    with serving(served, WITH_TOKEN) as url:
        with socket.create_connection((urlsplit(url).hostname, urlsplit(url).port), timeout=20) as connection:
            # Sent as it is.
            headers = f"Host: {urlsplit(url).netloc}\r\nAccept: text/html\r\nConnection: close\r\n"
            connection.sendall(f"GET {address} HTTP/1.1\r\n{headers}\r\n".encode())
            page = connection.makefile("rb").read().decode()
        (then,) = re.findall(r'name="next" value="([^"]*)"', page)
        data = {"token": secrets["ben"], "next": unescape(then)}
        reply = requests.post(f"{url}/login", data=data, timeout=20, allow_redirects=False)
        assert reply.status_code == 303
        arrived, wanted = urlsplit(reply.headers["location"]), urlsplit(address)
        assert (arrived.scheme, arrived.netloc) == ("", "")
        assert unquote(arrived.path) == unquote(wanted.path)
        assert parse_qs(arrived.query) == parse_qs(wanted.query)


@pytest.mark.parametrize(
    "then", ["//evil.example", "https://evil.example", "/\\evil.example", "/x\r\nSet-Cookie: a=b", ""]
)
def test_after_signing_in_a_browser_stays_on_the_server(served: Store, secrets: dict[str, str], then: str) -> None:
    with serving(served, WITH_TOKEN) as url:
        data = {"token": secrets["ben"], "next": then}
        reply = requests.post(f"{url}/login", data=data, timeout=20, allow_redirects=False)
        assert (reply.status_code, reply.headers["location"]) == (303, "/")


def test_the_cookie_is_sent_over_https_only_unless_on_this_computer(served: Store, secrets: dict[str, str]) -> None:
    options = ServerOptions(allow_host=("lab.example",), trusted_proxy=("127.0.0.1",), root_path="/bsv", shutdown_s=2)
    with serving(served, options) as url:
        headers = {"Host": "lab.example", "X-Forwarded-Proto": "https"}
        data = {"token": secrets["ben"], "next": "/who"}
        reply = requests.post(f"{url}/login", data=data, headers=headers, timeout=20, allow_redirects=False)
        assert reply.headers["location"] == "/bsv/who"
        assert reply.headers["set-cookie"].endswith("; Path=/bsv; SameSite=strict; Secure")
        assert "not encrypted" in get(f"{url}/login", headers={"Host": "lab.example"}).text
        assert "not encrypted" not in get(f"{url}/login", headers=headers).text


# -- addresses --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:8080", 200),
        ("127.0.0.1:1", 200),
        ("[::1]:8080", 200),
        ("evil.example", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.1.evil.example:80", 421),
        ("", 421),
    ],
)
def test_a_local_server_answers_to_names_of_this_computer_only(served: Store, host: str, status: int) -> None:
    with serving(served) as url:
        assert get(f"{url}/who", headers={"Host": host}).status_code == status
        assert get(f"{url}/health", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("path", ["/bsv/client", "/client"])
def test_a_proxy_may_leave_the_prefix_in_the_address_or_not(served: Store, path: str) -> None:
    with serving(served, ServerOptions(root_path="/bsv", shutdown_s=2)) as url:
        assert get(f"{url}{path}").text == "127.0.0.1 http /bsv/client"
        assert get(f"{url}/bsv/health").status_code == get(f"{url}/health").status_code == 200
        assert get(f"{url}/bsvclient").status_code == 404


@pytest.mark.parametrize(
    ("trusted", "expected"),
    [((), "127.0.0.1 http"), (("10.0.0.0/8",), "127.0.0.1 http"), (("127.0.0.0/8",), "203.0.113.7 https")],
)
def test_forwarded_headers_are_believed_from_trusted_proxies_only(
    served: Store, secrets: dict[str, str], trusted: tuple[str, ...], expected: str
) -> None:
    # As nginx and Caddy send them with the configurations in docs/server.md; the client itself invented the first one.
    headers = {**bearer(secrets["ben"]), "X-Forwarded-For": "198.51.100.1, 203.0.113.7", "X-Forwarded-Proto": "https"}
    with serving(served, ServerOptions(trusted_proxy=trusted, shutdown_s=2)) as url:
        assert get(f"{url}/client", headers=headers).text == f"{expected} /client"


def test_other_origins_may_read_answers_only_if_they_are_listed(served: Store, secrets: dict[str, str]) -> None:
    listed, other = {"Origin": "https://lab.example"}, {"Origin": "https://evil.example"}
    asked = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}
    with serving(served, ServerOptions(require_token=True, allow_origin=("https://lab.example",), shutdown_s=2)) as url:
        preflight = requests.options(f"{url}/who", headers={**listed, **asked}, timeout=20)
        assert preflight.status_code == 200
        assert preflight.headers["access-control-allow-origin"] == "https://lab.example"
        assert "access-control-allow-credentials" not in preflight.headers
        assert requests.options(f"{url}/who", headers={**other, **asked}, timeout=20).status_code == 400
        reply = get(f"{url}/who", headers={**listed, **bearer(secrets["ben"])})
        assert reply.headers["access-control-allow-origin"] == "https://lab.example"
        assert (
            "access-control-allow-origin" not in get(f"{url}/who", headers={**other, **bearer(secrets["ben"])}).headers
        )
    with serving(served) as url:
        assert not [name for name in get(f"{url}/who", headers=listed).headers if name.startswith("access-control")]


# -- limits -----------------------------------------------------------------------------------------------------------


def test_bodies_addresses_and_headers_have_a_maximum_size(served: Store) -> None:
    with serving(served, ServerOptions(max_body_bytes=1_000, shutdown_s=2)) as url:
        assert requests.post(f"{url}/size", data=b"x" * 1_000, timeout=20).text == "1000"
        for body in (b"x" * 1_001, iter([b"x" * 600, b"x" * 600])):
            refused = requests.post(f"{url}/size", data=body, timeout=20)
            assert (refused.status_code, refused.headers["content-type"]) == (413, JSON_PROBLEM)
        assert get(f"{url}/who?{'x' * 16_000}").status_code == 200
        assert get(f"{url}/who?{'x' * 17_000}").status_code == 414
        assert get(f"{url}/who", headers={"X-Long": "x" * 66_000}).status_code == 431


def _answer_to(url: str, sent: bytes) -> bytes:
    """All bytes that the server sends before it closes the connection."""
    address = urlsplit(url)
    with socket.create_connection((str(address.hostname), address.port or 0), timeout=20) as client:
        # The server may close the connection before it has read all.
        with contextlib.suppress(OSError):
            client.sendall(sent)
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            while block := client.recv(65_536):
                answer += block
    return answer


def test_slow_clients_are_disconnected(served: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bsv_store.server.connection.HEAD_TIMEOUT_S", 0.1)
    monkeypatch.setattr("bsv_store.server.access.middleware.BODY_TIMEOUT_S", 0.1)
    with serving(served) as url:
        assert _answer_to(url, b"") == _answer_to(url, b"GET /who HTTP/1.1\r\nHost:") == b""
        late = _answer_to(url, b"POST /size HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nx")
        assert late.startswith(b"HTTP/1.1 408")
        assert JSON_PROBLEM.encode() in late
        # A request whose answer takes longer.
        timer = threading.Timer(0.3, _leave.set)
        timer.start()
        assert get(f"{url}/slow").text == "slow"
        timer.join()


def test_headers_without_end_are_refused(served: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bsv_store.server.connection.MAX_HEAD_BYTES", 100_000)
    with serving(served) as url:
        answer = _answer_to(url, b"GET /who HTTP/1.1\r\nX: " + b"x" * 2_000_000)
        # The client may see that the connection was closed before it sees why.
        assert answer.startswith(b"HTTP/1.1 400") or answer == b""


def test_the_form_for_the_token_has_few_fields(served: Store) -> None:
    with serving(served, WITH_TOKEN) as url:
        assert requests.post(f"{url}/login", data="a=b&" * 100_000, timeout=20).status_code == 400


def test_the_rate_of_each_client_is_limited(served: Store, secrets: dict[str, str]) -> None:
    with serving(served, ServerOptions(require_token=True, rate=0.4, shutdown_s=2)) as url:
        first, second, third = (get(f"{url}/who", headers=bearer(secrets["anna"])) for _ in range(3))
        assert (first.status_code, second.status_code, third.status_code) == (200, 200, 429)
        assert first.headers["ratelimit-policy"] == '"requests";q=2;w=5'
        assert re.fullmatch(r'"requests";r=1;t=\d', first.headers["ratelimit"])
        assert re.fullmatch(r'"requests";r=0;t=\d', third.headers["ratelimit"])
        assert 1 <= int(third.headers["retry-after"]) <= 3
        assert third.json()["code"] == "BusyError"
        # Another token, and attempts without one.
        assert get(f"{url}/who", headers=bearer(secrets["ben"])).status_code == 200
        assert [get(f"{url}/who").status_code for _ in range(3)] == [401, 401, 429]
        assert get(f"{url}/health").status_code == 200


def test_a_bucket_refills_up_to_its_burst() -> None:
    now = 0.0
    limit = RateLimit(2.0, clock=lambda: now)
    assert [limit.take("a").is_within for _ in range(11)] == [True] * 10 + [False]
    assert limit.take("a").retry_after_s == 1
    assert limit.take("b").remaining == 9
    now = 1.0
    assert [limit.take("a").is_within for _ in range(3)] == [True, True, False]
    now = 1_000.0
    assert limit.take("a").remaining == 9
    assert limit.take("a").reset_s == 1


def test_the_buckets_of_past_clients_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bsv_store.server.access.buckets.LocalBuckets.MAX_CLIENTS", 3)
    limit = RateLimit(1.0, clock=lambda: 0.0)
    for client in "abcabcd":
        limit.take(client)
    # The one that was silent for the longest time is forgotten, and so has a whole burst again.
    assert [limit.take(client).remaining for client in "bca"] == [2, 2, 4]


def test_requests_in_progress_are_limited(served: Store) -> None:
    with serving(served, ServerOptions(concurrency=1, shutdown_s=5)) as url:
        slow: list[str] = []
        thread = threading.Thread(target=lambda: slow.append(get(f"{url}/slow").text))
        thread.start()
        assert _entered.wait(20)
        refused = get(f"{url}/who")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert refused.json()["code"] == "BusyError"
        assert get(f"{url}/health").status_code == 200
        _leave.set()
        thread.join()
        assert slow == ["slow"]
        assert get(f"{url}/who").status_code == 200


def test_a_server_that_stops_says_so_to_requests_that_it_does_not_finish(served: Store) -> None:
    answers: list[requests.Response] = []
    with serving(served, ServerOptions(shutdown_s=1)) as url:
        thread = threading.Thread(target=lambda: answers.append(get(f"{url}/slow")))
        thread.start()
        assert _entered.wait(20)
    thread.join()
    _leave.set()
    (answer,) = answers
    assert (answer.status_code, answer.json()["code"]) == (503, "BusyError")
    assert "being stopped" in answer.json()["detail"]
    assert int(answer.headers["retry-after"]) > 0


# -- headers and log --------------------------------------------------------------------------------------------------


def test_every_answer_has_security_headers(served: Store) -> None:
    with serving(served) as url:
        for path in ("/who", "/nothing", "/health", "/metrics"):
            headers = get(f"{url}{path}").headers
            assert headers["content-security-policy"].startswith(
                "default-src 'self'; base-uri 'none'; form-action 'self'"
            )
            assert "unsafe" not in headers["content-security-policy"]
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["x-frame-options"] == "DENY"
            assert headers["cross-origin-resource-policy"] == "same-origin"
            assert re.fullmatch(r"[0-9a-f]{16}", headers["x-request-id"])
            assert "server" not in headers
        policy = get(f"{url}/viewer").headers["content-security-policy"].split("; ")
        assert {"worker-src 'self' blob:", "script-src 'self' 'wasm-unsafe-eval'", "object-src 'none'"} < {*policy}


@pytest.mark.parametrize("source", ["'unsafe-inline'", "'unsafe-eval'", "*"])
def test_no_page_may_permit_inline_scripts(source: str) -> None:
    with pytest.raises(ValueError, match="script-src must not permit"):
        content_security_policy({"script-src": (source,)})


def test_answers_are_private_where_a_token_is_required(served: Store, secrets: dict[str, str]) -> None:
    with serving(served) as url:
        assert get(f"{url}/immutable").headers["cache-control"] == "public, max-age=31536000, immutable"
        assert get(f"{url}/who").headers["cache-control"] == "no-cache"
    with serving(served, WITH_TOKEN) as url:
        headers = get(f"{url}/immutable", headers=bearer(secrets["ben"])).headers
        assert headers["cache-control"] == "private, max-age=31536000, immutable"


def test_the_access_log_has_names_but_no_tokens(served: Store, secrets: dict[str, str], tmp_path: Path) -> None:
    log = tmp_path / "access.jsonl"
    with serving(served, ServerOptions(require_token=True, access_log=str(log), shutdown_s=2)) as url:
        reply = get(f"{url}/who?token={secrets['anna']}", headers=bearer(secrets["anna"]))
        requests.post(f"{url}/login", data={"token": secrets["ben"]}, timeout=20, allow_redirects=False)
        get(f"{url}/who", cookies={"bsv_store_token": secrets["ben"]})
        get(f"{url}/{'x' * 9}\u2028%0a", headers=bearer("bsv_wrong"))
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            get(f"{url}/broken", headers=bearer(secrets["anna"]))
    text = log.read_text(encoding="utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["token"] for line in lines] == ["anna", None, "ben", None, "anna"]
    assert [line["status"] for line in lines] == [200, 303, 200, 401, 200]
    assert lines[0]["id"] == reply.headers["x-request-id"]
    assert (lines[0]["method"], lines[0]["route"], lines[0]["path"]) == ("GET", "/who", "/who")
    assert lines[0]["bytes"] == len(reply.content)
    assert 0 < lines[0]["seconds"] < 20
    assert lines[0]["client"] == "127.0.0.1"
    assert lines[3]["route"] == "other"
    assert not [name for name, secret in secrets.items() if secret in text]
    assert "bsv_wrong" not in text


def test_the_access_log_can_be_rotated(served: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bsv_store.server.access.log._REOPEN_INTERVAL_S", 0.0)
    log = tmp_path / "access.jsonl"
    with serving(served, ServerOptions(access_log=str(log), shutdown_s=2)) as url:
        get(f"{url}/who")
        while not log.stat().st_size:
            # Written after the answer was sent.
            time.sleep(0.01)
        log.rename(tmp_path / "old")
        get(f"{url}/health")
    assert json.loads((tmp_path / "old").read_text(encoding="utf-8"))["path"] == "/who"
    assert json.loads(log.read_text(encoding="utf-8"))["path"] == "/health"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_for_the_access_log_stops_no_request(served: Store, caplog: pytest.LogCaptureFixture) -> None:
    with serving(served, ServerOptions(access_log="/dev/full", shutdown_s=2)) as url:
        assert get(f"{url}/who").status_code == get(f"{url}/who").status_code == 200
    assert [each.getMessage() for each in caplog.records if "access log cannot be written" in each.getMessage()] == [
        "the access log cannot be written: [Errno 28] No space left on device"
    ]


# -- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"port": -1}, "port must be"),
        ({"port": 65_536}, "port must be at most 65535"),
        ({"workers": 0}, "workers must be a positive integer"),
        ({"concurrency": 0}, "concurrency must be a positive integer"),
        ({"rate": -1.0}, "rate must be at least 0"),
        ({"rate": float("nan")}, "rate must be a finite number"),
        ({"sql_timeout_s": 0}, "sql_timeout_s must be greater than 0"),
        ({"root_path": "bsv"}, "root_path must begin with a slash"),
        ({"root_path": "/bsv/"}, "root_path must begin with a slash"),
        ({"root_path": "/a b"}, "root_path must begin with a slash"),
        ({"root_path": "/.."}, "root_path must begin with a slash"),
        ({"allow_origin": ("*",)}, "allow_origin must be a scheme and a host"),
        ({"allow_origin": ("https://lab.example/",)}, "allow_origin must be a scheme and a host"),
        ({"allow_host": ("https://lab",)}, "allow_host must be host names"),
        ({"trusted_proxy": ("proxy.example",)}, "trusted_proxy must be an address"),
        ({"tls_key": Path("key.pem")}, "tls_certificate and tls_key must be given together"),
        ({"tls_key": Path("/no/key"), "tls_certificate": Path("/no/cert")}, "/no/cert does not exist"),
    ],
)
def test_settings_that_are_not_valid_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        ServerOptions(**values)


@pytest.mark.parametrize(
    ("values", "required"),
    [
        ({}, False),
        ({"host": "localhost"}, False),
        ({"host": "::1"}, False),
        ({"allow_host": ("localhost",)}, False),
        ({"host": "0.0.0.0"}, True),
        ({"host": "::"}, True),
        ({"host": "lab.example"}, True),
        ({"require_token": True}, True),
        # Others reach it through a proxy.
        ({"allow_host": ("lab.example",)}, True),
        ({"trusted_proxy": ("127.0.0.1",)}, True),
    ],
)
def test_a_token_is_required_where_others_can_reach_the_server(values: dict[str, Any], required: bool) -> None:
    options = ServerOptions(**values)
    assert options.requires_token is required
    assert options.requests_per_second == (100 if required else 0)
