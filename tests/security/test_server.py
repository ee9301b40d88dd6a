"""Other sites cannot act for a user of the server, frame its pages or guess a token; addresses name nothing else."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
import requests

from bsv_store import create_store, open_store
from bsv_store.server.options import ServerOptions
from tests.server.serving import serving

if TYPE_CHECKING:
    from bsv_store import Store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder = tmp_path_factory.mktemp("server") / "store"
    create_store(folder).close()
    with open_store(folder) as opened:
        yield opened


@pytest.fixture(scope="module")
def token(store: Store) -> str:
    return store.admin.add_token("anna", scope="sql").secret


@pytest.fixture(scope="module")
def url(store: Store, token: str) -> Iterator[str]:
    """A server with a name on the network, which requires a token."""
    with serving(store, ServerOptions(require_token=True, shutdown_s=2)) as address:
        yield address


def sent(url: str, text: str) -> tuple[int, bytes]:
    """The status and the body of the reply to a request as it stands."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=20) as connection:
        connection.sendall(text.encode("latin-1"))
        reply = b"".join(iter(lambda: connection.recv(65_536), b""))
    start, _, body = reply.partition(b"\r\n\r\n")
    return int(start.split()[1]) if start else 0, body


PATHS = (
    "/../store.toml",
    "/%2e%2e/store.toml",
    "/..%2fstore.toml",
    "/%2e%2e%2fstore.toml",
    "/%252e%252e/store.toml",
    "/..%5cstore.toml",
    "/..\\store.toml",
    "/assets/../store.toml",
    "/assets/1/../../store.toml",
    "/assets/1/..%2f..%2fstore.toml",
    "/assets/1/%2e%2e/%2e%2e/bsv_store/text.py",
    "/assets/1//etc/passwd",
    "/assets/1/%2fetc%2fpasswd",
    "/assets/1/x%00.css",
    "/assets/1/..%c0%afstore.toml",
    "/assets/1/\uff0e\uff0e/store.toml",
    "/assets/1/viewer/../../../store.toml",
    "/v1/objects/../../store.toml",
    "/v1/objects/..%2f..%2fstore.toml",
    "/v1/objects/%2e%2e",
    "/v1/objects/%00",
    "/v1/objects/" + "0" * 63 + "g",
    "/v1/objects/" + "0" * 64,
    "/v1/volumes/..%2f..%2fcatalog.db/file",
    "/v1/versions/..%2f..%2fcatalog.db/file",
    "/v1/versions/a%2f..%2fb@1",
    "/datasets/..%2f..%2fstore.toml",
    "/v1/images/slice?version=../../store.toml",
    "/grid_data/download/..%2f..%2fstore.toml",
    "/api/v2/data/../../../store.toml",
    "//evil.example/",
    "/;/store.toml",
    "/.;/store.toml",
    "/file:///etc/passwd",
)


@pytest.mark.parametrize("path", PATHS)
def test_no_path_leads_to_other_files(url: str, token: str, path: str) -> None:
    host = urlsplit(url).netloc
    raw = path.encode().decode("latin-1")
    status, body = sent(
        url, f"GET {raw} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    )
    assert status in (400, 404, 406, 410, 422), body[:200]
    for secret in (b"store_id", b"root:", b"SQLite format", b"def visible"):
        assert secret not in body


HOSTS = (
    "evil.example",
    "localhost.evil.example",
    "localhost@evil.example",
    "evil.example#localhost",
    "localhost, evil.example",
    "127.0.0.1.nip.io",
    "2130706433",
    "[::ffff:127.0.0.1]",
    "localhost:80@evil.example",
    "",
)


@pytest.mark.parametrize("host", HOSTS)
def test_other_names_are_not_answered(url: str, token: str, host: str) -> None:
    # As a page of another site would use, whose name resolves to this computer.
    text = f"GET /v1/status HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    status, _ = sent(url, text)
    assert status in (400, 421)


def test_every_answer_has_the_headers_of_a_page_that_cannot_be_misused(url: str, token: str) -> None:
    for path, headers in (
        ("/", {"Accept": "text/html"}),
        ("/login", {}),
        ("/v1/status", {"Authorization": f"Bearer {token}"}),
        ("/nothing", {"Authorization": f"Bearer {token}"}),
        ("/health", {}),
    ):
        found = requests.get(f"{url}{path}", headers=headers, timeout=20).headers
        policy = found["content-security-policy"]
        assert "frame-ancestors 'none'" in policy, path
        assert "'unsafe-inline'" not in policy
        assert "'unsafe-eval'" not in policy
        assert "*" not in policy.replace("data:", "")
        assert found["x-content-type-options"] == "nosniff"
        assert "server" not in found
        assert "access-control-allow-origin" not in found


def test_a_cookie_of_another_site_does_not_count(url: str, token: str) -> None:
    cookie = {"Cookie": f"bsv_store_token={token}"}
    assert requests.get(f"{url}/v1/status", headers=cookie, timeout=20).status_code == 200
    for site in ("cross-site", "same-site"):
        reply = requests.get(f"{url}/v1/status", headers={**cookie, "Sec-Fetch-Site": site}, timeout=20)
        assert reply.status_code == 401


def test_the_cookie_is_hidden_from_scripts_and_other_sites(url: str, token: str) -> None:
    reply = requests.post(f"{url}/login", data={"token": token}, allow_redirects=False, timeout=20)
    flags = {each.strip().lower() for each in reply.headers["set-cookie"].split(";")[1:]}
    assert {"httponly", "samesite=strict", "path=/"} <= flags
    assert reply.headers["cache-control"] == "no-store"
    assert token not in reply.text


@pytest.mark.parametrize(
    "then",
    [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "/%09/evil.example",
        "javascript:alert(1)",
        "/\r\nSet-Cookie: a=b",
        "http:evil.example",
        "///evil.example",
        "/.//evil.example",
    ],
)
def test_signing_in_leads_to_no_other_site(url: str, token: str, then: str) -> None:
    data = {"token": token, "next": then}
    reply = requests.post(f"{url}/login", data=data, allow_redirects=False, timeout=20)
    assert reply.status_code == 303
    location = reply.headers["location"]
    assert location.startswith("/")
    assert not location.startswith(("//", "/\\"))
    assert set(reply.cookies.keys()) == {"bsv_store_token"}


BROWSER: tuple[tuple[dict[str, str], bool], ...] = (
    ({"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}, True),
    ({"Sec-Fetch-Site": "cross-site", "Origin": "null"}, True),
    ({"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:3000"}, True),
    ({"Origin": "https://evil.example"}, True),
    ({"Origin": "https://127.0.0.1.evil.example"}, True),
    ({"Origin": "https://127.0.0.1@evil.example"}, True),
    ({"Sec-Fetch-Site": "same-origin", "Origin": "null"}, False),
    ({"Sec-Fetch-Site": "none"}, False),
    ({"Origin": "http://127.0.0.1:8080"}, False),
    ({"Origin": "null"}, False),
    ({}, False),
)


@pytest.mark.parametrize(("headers", "is_refused"), BROWSER)
def test_pages_of_other_sites_cannot_send_queries_or_sign_in(
    store: Store, url: str, token: str, headers: dict[str, str], is_refused: bool
) -> None:
    # Without a token, as on a computer of one user; the body is one that browsers send without asking first.
    with serving(store) as local:
        query = requests.post(
            f"{local}/v1/sql",
            data='{"statement": "select 1"}',
            headers={**headers, "Content-Type": "text/plain"},
            timeout=20,
        )
    assert query.status_code == (403 if is_refused else 200)
    signed = requests.post(f"{url}/login", data={"token": token}, headers=headers, allow_redirects=False, timeout=20)
    assert signed.status_code == (403 if is_refused else 303)
    assert ("set-cookie" in signed.headers) != is_refused


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "PROPFIND", "POST"])
def test_nothing_is_changed_over_http(url: str, token: str, method: str) -> None:
    for path in ("/", "/v1/status", "/v1/experiments", "/assets/1/site.css"):
        headers = {"Authorization": f"Bearer {token}"}
        assert requests.request(method, f"{url}{path}", headers=headers, timeout=20).status_code in (400, 404, 405)


def test_the_path_of_the_store_is_in_no_answer(url: str, token: str, store: Store) -> None:
    for path in ("/v1/status", "/v1/versions/none", "/v1/volumes/1", "/ready", "/metrics", "/v1/catalog"):
        reply = requests.get(f"{url}{path}", headers={"Authorization": f"Bearer {token}"}, timeout=20)
        assert str(store.path) not in reply.text
        assert str(store.path) not in str(reply.headers)
