"""The synthetic server as a web server: parts, freshness, connections, counting, and a clean end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from bsv_store.errors import InputError
from bsv_store.server.allen.messages import Request
from bsv_store_synthetic import SyntheticAtlas, SyntheticServer, routes
from bsv_store_synthetic.replies import Reply

ATLAS = SyntheticAtlas(experiments=2)
IDS = ATLAS.experiment_ids
QUERY = "/api/v2/data/query.json"
GRID = f"/grid_data/download_file/{IDS[0]}?image=data_mask&resolution=100"


@pytest.fixture(scope="module")
def running() -> Iterator[SyntheticServer]:
    with SyntheticServer(ATLAS) as server:
        yield server


@pytest.fixture
def server(running: SyntheticServer) -> Iterator[SyntheticServer]:
    running.requests.clear()
    yield running
    assert running.errors == []


@pytest.fixture
def http() -> Iterator[requests.Session]:
    with requests.Session() as session:
        yield session


def get(server: SyntheticServer, path: str, **parameters: str) -> requests.Response:
    return requests.get(server.url + path, params=parameters, timeout=20)


def test_parts_add_up_to_the_whole(server: SyntheticServer, http: requests.Session) -> None:
    whole = http.get(server.url + GRID, timeout=20)
    assert whole.headers["Accept-Ranges"] == "bytes"
    size = len(whole.content)
    parts = []
    for span in ("bytes=0-99", "bytes=100-199", "bytes=200-"):
        part = http.get(server.url + GRID, headers={"Range": span, "If-Range": whole.headers["ETag"]}, timeout=20)
        assert part.status_code == 206
        assert part.headers["ETag"] == whole.headers["ETag"]
        assert part.headers["Content-Range"].endswith(f"/{size}")
        parts.append(part.content)
    assert b"".join(parts) == whole.content
    last = http.get(server.url + GRID, headers={"Range": "bytes=-7"}, timeout=20)
    assert last.content == whole.content[-7:]
    assert last.headers["Content-Range"] == f"bytes {size - 7}-{size - 1}/{size}"


def test_part_beyond_the_end_is_416(server: SyntheticServer, http: requests.Session) -> None:
    size = len(http.get(server.url + GRID, timeout=20).content)
    beyond = http.get(server.url + GRID, headers={"Range": f"bytes={size}-"}, timeout=20)
    assert beyond.status_code == 416
    assert beyond.headers["Content-Range"] == f"bytes */{size}"


@pytest.mark.parametrize(
    "headers",
    [
        {"Range": "bytes=0-9,20-29"},
        {"Range": "lines=1-2"},
        {"Range": "bytes=9-3"},
        {"Range": "bytes=0-9", "If-Range": '"x"'},
    ],
)
def test_range_that_cannot_be_honored_gets_the_whole(
    server: SyntheticServer, http: requests.Session, headers: dict[str, str]
) -> None:
    assert http.get(server.url + GRID, headers=headers, timeout=20).status_code == 200


def test_unchanged_file_is_304(server: SyntheticServer, http: requests.Session) -> None:
    etag = http.get(server.url + GRID, timeout=20).headers["ETag"]
    again = http.get(server.url + GRID, headers={"If-None-Match": etag}, timeout=20)
    assert (again.status_code, again.content) == (304, b"")


def test_head_returns_the_length_without_the_body(server: SyntheticServer, http: requests.Session) -> None:
    whole = http.get(server.url + GRID, timeout=20)
    head = http.head(server.url + GRID, timeout=20)
    assert head.headers["Content-Length"] == str(len(whole.content))
    assert head.headers["Last-Modified"]
    assert head.content == b""


def test_reply_to_head_ends_with_its_headers(server: SyntheticServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port), 20) as connection:
        connection.sendall(f"HEAD {GRID} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    assert received.endswith(b"\r\n\r\n")
    assert received.count(b"\r\n\r\n") == 1


def test_connection_is_kept_alive(server: SyntheticServer) -> None:
    line = f"GET {GRID} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", server.port), 20) as connection, connection.makefile("rb") as file:
        for _ in range(3):
            connection.sendall(line)
            assert file.readline() == b"HTTP/1.1 200 OK\r\n"
            headers = dict(text.decode().strip().split(": ", 1) for text in iter(file.readline, b"\r\n"))
            assert len(file.read(int(headers["Content-Length"]))) == int(headers["Content-Length"])


def test_requests_are_counted_and_recorded(server: SyntheticServer) -> None:
    get(server, QUERY, criteria="service::mouse_connectivity_injection_structure[injection_structures$eqVISp]")
    get(server, "/nonsense")
    get(server, "/nonsense")
    assert server.requests.total == 3
    assert server.requests.counts == {QUERY: 1, "/nonsense": 2}
    assert server.requests.count("[injection_structures$eqVISp]") == 1
    assert server.requests.lines[1] == "GET /nonsense"
    server.requests.clear()
    assert server.requests.total == 0


def test_many_clients_at_once_get_the_same_bytes_made_once() -> None:
    made: list[str] = []
    with SyntheticServer(ATLAS) as server, pytest.MonkeyPatch.context() as patch:
        honest = routes.reply_to

        def counting(atlas: SyntheticAtlas, request: Request) -> Reply:
            made.append(request.target)
            return honest(atlas, request)

        patch.setattr("bsv_store_synthetic.server.reply_to", counting)
        bodies: list[bytes] = []
        threads = [
            threading.Thread(target=lambda: bodies.append(requests.get(server.url + GRID, timeout=20).content))
            for _ in range(16)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(bodies) == 16
        assert len(set(bodies)) == 1
        assert server.requests.total == 16
    assert made == [GRID]


def test_cache_drops_the_least_recently_used() -> None:
    cache = routes.ReplyCache(limit_bytes=25)
    made: list[str] = []

    def get_(path: str) -> None:
        def make() -> Reply:
            made.append(path)
            return Reply(200, b"x" * 10, "text/plain")

        cache.get(Request("GET", path, path), make)

    for path in ("/a", "/b", "/a", "/c", "/a", "/b"):
        get_(path)
    assert made == ["/a", "/b", "/c", "/b"]
    assert cache.size_bytes == 20


# -- life ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["0.0.0.0", "", "192.0.2.1", "example.org", "::"])
def test_only_loopback_is_served(host: str) -> None:
    with pytest.raises(InputError, match="loopback"):
        SyntheticServer(ATLAS, host=host)


def test_close_frees_the_port_and_cuts_open_connections() -> None:
    with SyntheticServer(ATLAS) as server:
        port = server.port
        connection = socket.create_connection(("127.0.0.1", port), 20)
        connection.sendall(b"HEAD /nonsense HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(1) == b"H"
    with connection:
        rest = b"".join(iter(lambda: connection.recv(65536), b""))
    assert rest.startswith(b"TTP/1.1 404")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 20)
    server.close()
    with SyntheticServer(ATLAS, port=port) as again:
        assert again.port == port
        assert get(again, "/nonsense").status_code == 404


def test_taken_port_is_a_named_error(server: SyntheticServer) -> None:
    with pytest.raises(InputError, match=str(server.port)):
        SyntheticServer(ATLAS, port=server.port)


def test_server_that_never_started_closes() -> None:
    server = SyntheticServer(ATLAS)
    server.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port), 20)


def test_stand_alone_server_runs_until_interrupted() -> None:
    command = [sys.executable, "-m", "bsv_store_synthetic", "--experiments", "2"]
    checkout = Path(__file__).resolve().parents[2]
    with subprocess.Popen(
        command,
        cwd=checkout / "synthetic",
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ},
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        reply = requests.get(f"{url}{QUERY}", params={"q": "model::ApiConnectivity"}, timeout=20)
        assert [row["data_set_id"] for row in reply.json()["msg"]] == list(IDS[:2])
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 0, errors
    assert errors == ""
