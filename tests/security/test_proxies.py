"""nginx and Caddy in front of the server, configured as docs/server.md says, with TLS on the loopback interface."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import urllib3

from bsv_store import open_store
from tests.cli.test_serve import served
from tests.docs.test_server import blocks, commands
from tests.servers import free_port

pytestmark = pytest.mark.integration

NAME = "lab.example"
_START_S = 30


@dataclass(frozen=True)
class Front:
    """A proxy, and how to reach the server through it."""

    pool: urllib3.HTTPSConnectionPool
    context: ssl.SSLContext
    token: str
    sha256: str
    content: bytes
    log: Path

    def request(self, method: str, path: str, **headers: str) -> urllib3.BaseHTTPResponse:
        return self.pool.request(method, path, headers={"Host": NAME, **headers}, redirect=False, retries=False)

    def get(self, path: str, **headers: str) -> urllib3.BaseHTTPResponse:
        return self.request("GET", path, Authorization=f"Bearer {self.token}", **headers)


def _program(name: str) -> str:
    for place in (None, "/usr/sbin:/usr/local/sbin:/sbin"):
        if found := shutil.which(name, path=place):
            return found
    pytest.skip(f"{name} is not installed")


def _certificate(folder: Path) -> tuple[Path, Path]:
    certificate, key = folder / "lab.pem", folder / "lab.key"
    subprocess.run(
        [
            *(_program("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-nodes", "-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}", "-days", "2"),
            *("-keyout", key, "-out", certificate),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key


@contextmanager
def _nginx(folder: Path, backend: int) -> Iterator[tuple[int, Path]]:
    program = _program("nginx")
    certificate, key = _certificate(folder)
    port = free_port()
    (site,) = blocks("nginx")
    for before, after in (
        ("listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;"),
        ("/etc/ssl/lab.example.pem", str(certificate)),
        ("/etc/ssl/lab.example.key", str(key)),
        ("127.0.0.1:8080", f"127.0.0.1:{backend}"),
    ):
        assert site.count(before) == 1
        site = site.replace(before, after)
    places = "".join(
        f"{name}_temp_path {folder / name};\n" for name in ("client_body", "proxy", "fastcgi", "scgi", "uwsgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off;\nmaster_process off;\npid {folder / 'nginx.pid'};\nerror_log {folder / 'error.log'};\n"
        f"events {{}}\nhttp {{\naccess_log off;\n{places}{site}}}\n"
    )
    command = [program, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
    with _running(command, port):
        yield port, certificate


@contextmanager
def _caddy(folder: Path, backend: int) -> Iterator[tuple[int, Path]]:
    program = _program("caddy")
    port = free_port()
    (site,) = [text for text in blocks("text") if "reverse_proxy" in text]
    assert site.count("127.0.0.1:8080") == 1
    # Certificates of its own authority instead of those from the internet, and no other ports.
    (folder / "Caddyfile").write_text(
        f"{{\nadmin off\nlocal_certs\nskip_install_trust\nauto_https disable_redirects\nhttps_port {port}\n"
        f"default_bind 127.0.0.1\nstorage file_system {folder / 'storage'}\n}}\n"
        + site.replace("127.0.0.1:8080", f"127.0.0.1:{backend}")
    )
    command = [program, "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]
    with _running(command, port):
        certificate = folder / "storage" / "pki" / "authorities" / "local" / "root.crt"
        _until(certificate.exists)
        yield port, certificate


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _START_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@contextmanager
def _running(command: list[str], port: int) -> Iterator[None]:
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        _until(lambda: process.poll() is not None or _accepts(port))
        assert process.poll() is None, process.communicate()[0]
        yield
    finally:
        process.terminate()
        process.communicate(timeout=_START_S)


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True


@pytest.fixture(scope="module", params=["nginx", "caddy"])
def front(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, _filled_sqlite: Path
) -> Iterator[Front]:
    folder = tmp_path_factory.mktemp(request.param)
    shutil.copytree(_filled_sqlite, folder / "store")
    with open_store(folder / "store") as store:
        token = store.admin.add_token("anna", scope="sql").secret
    content = max((folder / "store" / "volumes").rglob("*.h5"), key=lambda path: path.stat().st_size).read_bytes()
    (command,) = [line for line in commands() if "--trusted-proxy" in line and "--workers" not in line]
    arguments = shlex.split(command.split(" serve ")[1])
    log = folder / "access.jsonl"
    with served(folder / "store", *arguments, "--access-log", log) as server:
        backend = int(re.search(r":(\d+)", server.url.removeprefix("http://"))[1])  # type: ignore[index]
        proxy = _nginx if request.param == "nginx" else _caddy
        with proxy(folder, backend) as (port, certificate):
            context = ssl.create_default_context(cafile=str(certificate))
            with urllib3.HTTPSConnectionPool(
                "127.0.0.1",
                port,
                ssl_context=context,
                server_hostname=NAME,
                assert_hostname=NAME,
                timeout=urllib3.Timeout(20),
                maxsize=4,
            ) as pool:
                yield Front(pool, context, token, hashlib.sha256(content).hexdigest(), content, log)


def test_a_browser_signs_in_and_out(front: Front) -> None:
    page = front.request("GET", "/bsv/experiments?sex=M", Accept="text/html")
    assert page.status == 401
    assert b'action="/bsv/login"' in page.data
    form = f"token={front.token}&next=/experiments"
    signed = front.pool.urlopen(
        "POST",
        "/bsv/login",
        body=form,
        headers={"Host": NAME, "Content-Type": "application/x-www-form-urlencoded"},
        redirect=False,
        retries=False,
    )
    assert (signed.status, signed.headers["location"]) == (303, "/bsv/experiments")
    cookie = signed.headers["set-cookie"]
    flags = {each.strip().lower() for each in cookie.split(";")[1:]}
    assert {"httponly", "secure", "samesite=strict", "path=/bsv"} <= flags
    value = cookie.partition(";")[0]
    assert front.request("GET", "/bsv/experiments", Cookie=value, Accept="text/html").status == 200
    # A page of another site cannot use it.
    for site in ("cross-site", "same-site"):
        assert front.request("GET", "/bsv/experiments", Cookie=value, **{"Sec-Fetch-Site": site}).status == 401
    out = front.request("POST", "/bsv/logout", Cookie=value)
    assert (out.status, out.headers["location"]) == (303, "/bsv/login")
    assert "Max-Age=0" in out.headers["set-cookie"]


def test_links_of_pages_have_the_prefix(front: Front) -> None:
    page = front.get("/bsv/", Accept="text/html").data.decode()
    links = re.findall(r'(?:href|src|action)="(/[^"]*)"', page)
    assert links
    assert not [each for each in links if not each.startswith("/bsv/")]
    for each in [each for each in links if "/assets/" in each]:
        assert front.request("GET", each).status == 200


def test_the_prefix_alone_leads_to_the_pages(front: Front) -> None:
    reply = front.request("GET", "/bsv")
    assert reply.status in (301, 302)
    assert reply.headers["location"].endswith("/bsv/")


def test_the_address_of_the_client_is_that_of_the_connection(front: Front) -> None:
    front.get("/bsv/v1/experiments?limit=1", **{"X-Forwarded-For": "198.51.100.9", "X-Forwarded-Proto": "http"})
    _until(lambda: front.log.exists() and "/v1/experiments" in front.log.read_text())
    lines = [json.loads(line) for line in front.log.read_text().splitlines()]
    assert {line["client"] for line in lines} == {"127.0.0.1"}
    assert {line["token"] for line in lines if line["path"].endswith("/v1/experiments")} == {"anna"}
    assert front.token not in front.log.read_text()


def test_large_files_arrive_whole_and_in_parts(front: Front) -> None:
    path = f"/bsv/v1/objects/{front.sha256}"
    whole = front.get(path)
    assert (whole.status, whole.data) == (200, front.content)
    size = len(front.content)
    for wanted, expected in (
        ("bytes=0-0", front.content[:1]),
        (f"bytes=10-{size - 10}", front.content[10 : size - 9]),
        ("bytes=-100", front.content[-100:]),
        (f"bytes={size - 1}-", front.content[-1:]),
    ):
        part = front.get(path, Range=wanted)
        assert (part.status, part.data) == (206, expected), wanted
    assert front.get(path, Range=f"bytes={size}-").status == 416
    tag = whole.headers["etag"]
    assert front.get(path, **{"If-None-Match": tag}).status == 304
    assert front.request("GET", path).status == 401


def test_queries_and_their_limits_pass_the_proxy(front: Front) -> None:
    def post(body: bytes) -> urllib3.BaseHTTPResponse:
        headers = {"Host": NAME, "Authorization": f"Bearer {front.token}", "Content-Type": "application/json"}
        return front.pool.urlopen("POST", "/bsv/v1/sql", body=body, headers=headers, retries=False)

    answered = post(json.dumps({"statement": "select count(*) as n from experiments"}).encode())
    assert answered.status == 200, answered.data
    assert post(json.dumps({"statement": "delete from experiment"}).encode()).status == 400
    assert post(b'{"statement": "' + b" " * 1_100_000 + b'"}').status == 413


def test_security_headers_arrive(front: Front, request: pytest.FixtureRequest) -> None:
    headers = front.get("/bsv/", Accept="text/html").headers
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "'unsafe-inline'" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] in ("no-referrer", "same-origin")
    if "nginx" in request.node.name:
        assert "max-age=31536000" in headers["strict-transport-security"]


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/bsvx/v1/experiments",
        "/bsv/../etc/passwd",
        "/bsv/%2e%2e/etc/passwd",
        "/bsv/..%2fetc%2fpasswd",
        "/bsv/assets/x/..%2f..%2fetc/passwd",
        "/bsv/assets/x/%2e%2e/%2e%2e/etc/passwd",
        "/bsv/v1/objects/..%2f..%2fstore.toml",
        "/bsv/v1/objects/%00",
        "/bsv/..\\..\\store.toml",
    ],
)
def test_no_address_leads_to_other_files(front: Front, path: str) -> None:
    # As it stands: clients would normalize the path.
    head = f"GET {path} HTTP/1.1\r\nHost: {NAME}\r\nAuthorization: Bearer {front.token}\r\nConnection: close\r\n\r\n"
    address = "127.0.0.1", int(front.pool.port or 0)
    with (
        socket.create_connection(address, timeout=20) as plain,
        front.context.wrap_socket(plain, server_hostname=NAME) as connection,
    ):
        connection.sendall(head.encode())
        reply = b"".join(iter(lambda: connection.recv(65_536), b""))
    start, _, body = reply.partition(b"\r\n\r\n")
    status = int(start.split()[1])
    assert status in (200, 400, 404, 421)
    assert b"store_id" not in body
    assert b"root:" not in body
    if status == 200:
        # Caddy answers what it has no site or route for with nothing.
        assert body == b""


def test_other_names_and_upgrades_are_not_served(front: Front) -> None:
    other = front.request("GET", "/bsv/health", Host="evil.example")
    assert other.status in (200, 421)
    ready = front.request("GET", "/bsv/v1/experiments", Host="evil.example", Authorization=f"Bearer {front.token}")
    assert ready.status == 421 or ready.data == b""
    upgrade = front.get("/bsv/", Connection="Upgrade", Upgrade="websocket", **{"Sec-WebSocket-Version": "13"})
    assert upgrade.status != 101
