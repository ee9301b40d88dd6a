"""The HTTP client of stores on servers: redirects, retries, refusals, limits."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from bsv_store.documents import json_value
from bsv_store.errors import BusyError, QueryError, StoreUnreachableError, TokenError, UnknownStructureError
from bsv_store.remote.client import Client, ServerRefusalError
from bsv_store.remote.protocol import PROBLEM_TYPE, problem_of
from bsv_store.remote.token import Token
from bsv_store.sources.allen.retry import RetryPolicy
from tests.certificates import made_certificate
from tests.client_defaults import keyword_defaults

SECRET = "bsv_not-a-real-token-8tQ1"
HASTY = RetryPolicy(connect_timeout_s=2, read_timeout_s=2, deadline_s=10, attempts=3, backoff_s=0)
Reply = tuple[int, dict[str, str], bytes]


@contextmanager
def answering(*replies: Reply, certificate: Path | None = None) -> Iterator[tuple[str, list[Any]]]:
    """A server that gives these replies in turn, and repeats the last one; yields its address and the requests.

    With a certificate, it speaks TLS.
    """
    asked: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_arguments: Any) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            status, headers, body = replies[min(len(asked), len(replies) - 1)]
            asked.append((self.path, dict(self.headers)))
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        scheme = "http" if certificate is None else "https"
        yield f"{scheme}://127.0.0.1:{server.server_address[1]}/bsv", asked
        server.shutdown()
        thread.join()


def client(url: str) -> Client:
    return Client(url, Token(SECRET), policy=HASTY)


def problem(error: Any, status: int) -> Reply:
    return status, {"Content-Type": PROBLEM_TYPE}, json.dumps(problem_of(error, status=status)).encode()


def test_it_asks_below_the_prefix_of_the_address_with_the_token() -> None:
    with answering((200, {"ETag": '"1"'}, b"[1]")) as (url, asked):
        answer = client(url).json("/v1/catalog", "x", etag='"0"')
        assert (answer.value, answer.etag) == ([1], '"1"')
    ((path, headers),) = asked
    assert path == "/bsv/v1/catalog"
    assert headers["Authorization"] == f"Bearer {SECRET}"
    assert headers["If-None-Match"] == '"0"'


def test_a_token_never_follows_a_redirect_to_another_origin() -> None:
    with answering((200, {}, b"[1]")) as (other, stolen), answering((302, {"Location": other}, b"")) as (url, _):
        with pytest.raises(StoreUnreachableError, match="another") as caught:
            client(url).json("/v1/catalog", "x")
        assert SECRET not in str(caught.value)
    assert stolen == []


def test_a_redirect_within_the_origin_is_followed() -> None:
    with answering((307, {"Location": "/elsewhere"}, b""), (200, {}, b"[1]")) as (url, asked):
        assert client(url).json("/v1/catalog", "x").value == [1]
    assert [path for path, _ in asked] == ["/bsv/v1/catalog", "/elsewhere"]
    assert asked[1][1]["Authorization"] == f"Bearer {SECRET}"


def test_a_server_whose_certificate_is_not_trusted_is_asked_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    certificate = made_certificate(tmp_path)
    with answering((200, {}, b"[1]"), certificate=certificate) as (url, asked):
        with pytest.raises(StoreUnreachableError, match=r"certificate is not valid .*self-signed.* once\n") as caught:
            client(url).json("/v1/catalog", "x")
        assert "REQUESTS_CA_BUNDLE=FILE" in str(caught.value.hint)
        assert asked == []
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
        assert client(url).json("/v1/catalog", "x").value == [1]


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_asked_again(status: int) -> None:
    with answering((status, {"Retry-After": "0"}, b""), (200, {}, b"[1]")) as (url, asked):
        assert client(url).json("/v1/catalog", "x").value == [1]
    assert len(asked) == 2


def test_a_server_that_stays_busy_is_an_error_of_the_same_class() -> None:
    with answering(problem(BusyError("too many requests", hint="Wait."), 429)) as (url, asked):
        with pytest.raises(BusyError, match="too many requests") as caught:
            client(url).json("/v1/catalog", "x")
        assert caught.value.hint == "Wait."
    assert len(asked) == 3


@pytest.mark.parametrize(
    ("error", "status"), [(QueryError("no such column", hint="Look."), 400), (UnknownStructureError("VISq"), 400)]
)
def test_a_problem_document_is_the_error_that_the_folder_would_raise(error: Any, status: int) -> None:
    with answering(problem(error, status)) as (url, asked):
        with pytest.raises(type(error), match=error.message) as caught:
            client(url).json("/v1/sql", "x", body={"statement": "x"})
        assert caught.value.hint == error.hint
    assert len(asked) == 1


def test_a_refused_token_is_explained() -> None:
    with answering((401, {}, b"")) as (url, asked):
        with pytest.raises(TokenError, match="does not accept this token") as caught:
            client(url).json("/v1/catalog", "x")
        assert "misspelled, expired, revoked" in str(caught.value.hint)
        assert SECRET not in repr(caught.value)
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("reply", "error", "words"),
    [
        ((404, {}, b""), ServerRefusalError, "404"),
        ((200, {}, b"<html>Sign in</html>"), StoreUnreachableError, "web page"),
        ((200, {}, b"no json"), StoreUnreachableError, "did not send JSON"),
        ((200, {}, b"[" + b" " * 200 + b"]"), StoreUnreachableError, "at most 100 bytes"),
    ],
)
def test_what_is_not_the_answer_is_refused(reply: Reply, error: type[Exception], words: str) -> None:
    with answering(reply) as (url, _), pytest.raises(error, match=words):
        client(url).json("/v1/catalog", "the catalog", limit_bytes=100)


def test_a_part_must_be_the_one_that_was_requested() -> None:
    right: Reply = (206, {"Content-Range": "bytes 2-4/9", "ETag": '"1"'}, b"234")
    wrong: Reply = (206, {"Content-Range": "bytes 0-2/9", "ETag": '"1"'}, b"012")

    def ask(url: str) -> bytes:
        read: Callable[[Any], bytes] = lambda sink: bytes(sink.read())  # noqa: E731
        return client(url).stream("/v1/objects/x", "x", read, limit_bytes=10, part=(2, 5))

    with answering(wrong, (200, {}, b"012345678"), right) as (url, asked):
        assert ask(url) == b"234"
    assert [headers["Range"] for _, headers in asked] == ["bytes=2-4"] * 3


def test_a_reply_may_be_as_large_as_its_request_permits(monkeypatch: pytest.MonkeyPatch) -> None:
    # As if documents had at most 10 bytes; the answer of a query may have 1 GB.
    monkeypatch.setitem(keyword_defaults(json_value), "max_bytes", 10)
    with answering((200, {}, json.dumps([*range(10)]).encode())) as (url, _):
        assert client(url).json("/v1/catalog", "x", limit_bytes=1000).value == [*range(10)]
