"""Faults on demand: each does to a client what it says, as often as it was told to, and nothing after that."""

from __future__ import annotations

import json
import socket
import threading

import pytest
import requests

from bsv_store.server.allen.messages import Request
from bsv_store_synthetic import SyntheticAtlas, SyntheticServer, faults

ATLAS = SyntheticAtlas(experiments=1)
GRID = f"/grid_data/download_file/{ATLAS.experiment_ids[0]}?image=injection_fraction&resolution=100"
LIST = "/api/v2/data/query.json?q=model::ApiConnectivity,rma::options%5Bnum_rows$eq%27all%27%5D"


@pytest.fixture
def atlas() -> SyntheticAtlas:
    return ATLAS


def get(server: SyntheticServer, path: str = GRID, **headers: str) -> requests.Response:
    return requests.get(server.url + path, headers=headers, timeout=20)


@pytest.fixture
def whole(server: SyntheticServer) -> bytes:
    return get(server).content


def raw_reply(server: SyntheticServer, path: str = GRID) -> tuple[bytes, bytes]:
    """Head and body as they come, until the server hangs up."""
    with socket.create_connection(("127.0.0.1", server.port), 20) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = received.partition(b"\r\n\r\n")
    return head, body


def test_a_fault_occurs_the_given_number_of_times(server: SyntheticServer, whole: bytes) -> None:
    rule = server.fail("grid_data", faults.Status(503), times=2)
    assert [get(server).status_code for _ in range(3)] == [503, 503, 200]
    assert get(server).content == whole
    assert rule.hits == 2


def test_fault_strikes_forever_until_cleared(server: SyntheticServer) -> None:
    server.fail("grid_data", faults.Status(500), times=None)
    assert {get(server).status_code for _ in range(4)} == {500}
    server.faults.clear()
    assert get(server).status_code == 200


def test_only_matching_requests_fail(server: SyntheticServer) -> None:
    server.fail("[num_rows$eq'all']", faults.Status(500), times=None)
    server.fail(lambda request: request.headers.get("x-who") == "me", faults.Status(418), times=None)
    assert get(server, LIST).status_code == 500
    assert get(server).status_code == 200
    assert get(server, **{"X-Who": "me"}).status_code == 418


def test_first_rule_that_strikes_wins(server: SyntheticServer) -> None:
    server.fail("grid_data", faults.Status(500))
    server.fail("grid_data", faults.Status(502), times=None)
    assert [get(server).status_code for _ in range(3)] == [500, 502, 502]


def test_many_threads_share_one_hit(server: SyntheticServer) -> None:
    rule = server.fail("nonsense", faults.Status(500), times=5)
    statuses: list[int] = []
    threads = [
        threading.Thread(target=lambda: statuses.append(get(server, "/nonsense").status_code)) for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [404] * 15 + [500] * 5
    assert rule.hits == 5


@pytest.mark.parametrize("after", [7, "Wed, 21 Oct 2026 07:28:00 GMT"])
def test_status_carries_retry_after(server: SyntheticServer, after: int | str) -> None:
    server.fail("", faults.Status(429, retry_after=after))
    reply = get(server)
    assert (reply.status_code, reply.headers["Retry-After"]) == (429, str(after))


def test_truncated_body_promises_more_than_it_sends(server: SyntheticServer, whole: bytes) -> None:
    server.fail("", faults.Truncate(1000))
    head, body = raw_reply(server)
    assert f"Content-Length: {len(whole)}".encode() in head
    assert body == whole[:1000]
    server.fail("", faults.Truncate(1000))
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        get(server)


def test_truncated_download_can_be_resumed(server: SyntheticServer, whole: bytes) -> None:
    server.fail("", faults.Truncate(1000))
    _, start = raw_reply(server)
    rest = get(server, Range=f"bytes={len(start)}-")
    assert rest.status_code == 206
    assert start + rest.content == whole


def test_cut_chunks_end_without_the_last_one(server: SyntheticServer, whole: bytes) -> None:
    server.fail("", faults.CutChunks(1000))
    head, body = raw_reply(server)
    assert b"Transfer-Encoding: chunked" in head
    assert b"Content-Length" not in head
    assert body == b"3e8\r\n" + whole[:1000] + b"\r\n"
    server.fail("", faults.CutChunks(1000))
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        get(server)


@pytest.mark.parametrize("difference", [-100, 100])
def test_wrong_length_is_declared_and_the_connection_closed(
    server: SyntheticServer, whole: bytes, difference: int
) -> None:
    server.fail("", faults.WrongLength(difference))
    head, body = raw_reply(server)
    assert f"Content-Length: {len(whole) + difference}".encode() in head
    assert body == whole


def test_html_comes_with_status_200(server: SyntheticServer) -> None:
    server.fail("", faults.Html())
    reply = get(server, LIST)
    assert reply.status_code == 200
    assert reply.headers["Content-Type"].startswith("text/html")
    assert "<html>" in reply.text


def test_failure_has_a_string_for_its_message(server: SyntheticServer) -> None:
    server.fail("", faults.Failure("down for now"))
    found = get(server, LIST).json()
    assert (found["success"], found["msg"]) == (False, "down for now")


def test_cut_json_is_whole_for_http_only(server: SyntheticServer) -> None:
    full = get(server, LIST).content
    server.fail("", faults.CutJson(0.5))
    cut = get(server, LIST).content
    assert full.startswith(cut)
    assert 0 < len(cut) < len(full)
    with pytest.raises(json.JSONDecodeError):
        json.loads(cut)


def test_drip_sends_the_whole_body_in_pieces(server: SyntheticServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """No clock: the pauses are taken from the server's waits, which are not waited for."""
    waits: list[float | None] = []

    def wait(timeout: float | None = None) -> bool:
        waits.append(timeout)
        return False

    full = get(server, LIST).content
    server.fail("", faults.Drip(bytes_per_second=200))
    with monkeypatch.context() as patch:
        patch.setattr(server._closing, "wait", wait)
        assert get(server, LIST).content == full
    assert sum(seconds for seconds in waits if seconds is not None) == pytest.approx(len(full) / 200, rel=0.05)


def test_closing_ends_a_drip() -> None:
    with SyntheticServer(ATLAS) as server:
        server.fail("", faults.Drip(bytes_per_second=1))
        connection = socket.create_connection(("127.0.0.1", server.port), 20)
        connection.sendall(f"GET {LIST} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert connection.recv(1) == b"H"
    with connection:
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    assert len(received) < 1000


def test_gate_holds_the_reply_until_it_opens(server: SyntheticServer, whole: bytes) -> None:
    gate = threading.Event()
    server.fail(lambda request: "x-gated" in request.headers, faults.Gate(gate))
    bodies: list[bytes] = []
    client = threading.Thread(target=lambda: bodies.append(get(server, **{"X-Gated": "1"}).content))
    client.start()
    assert server.requests.wait_for(2)
    # Others are served while it waits.
    assert get(server).content == whole
    assert bodies == []
    gate.set()
    client.join(20)
    assert bodies == [whole]


def test_hang_sends_nothing_and_ends_with_the_server() -> None:
    with SyntheticServer(ATLAS) as server:
        server.fail("", faults.Hang(), times=None)
        with pytest.raises(requests.exceptions.ReadTimeout):
            requests.get(server.url + GRID, timeout=0.2)
        connection = socket.create_connection(("127.0.0.1", server.port), 20)
        connection.sendall(f"GET {GRID} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert server.requests.wait_for(2)
    with connection:
        assert connection.recv(1) == b""


def test_redirect_leads_back_to_itself(server: SyntheticServer) -> None:
    server.fail("", faults.RedirectLoop(), times=None)
    with pytest.raises(requests.exceptions.TooManyRedirects):
        get(server)
    assert server.requests.total == 31


def test_ignored_range_gets_everything(server: SyntheticServer, whole: bytes) -> None:
    server.fail("", faults.IgnoreRange())
    reply = get(server, Range="bytes=10-19")
    assert (reply.status_code, reply.content) == (200, whole)


def test_wrong_range_says_so(server: SyntheticServer, whole: bytes) -> None:
    server.fail("", faults.WrongRange(shift=5))
    reply = get(server, Range="bytes=10-29")
    assert reply.status_code == 206
    assert reply.headers["Content-Range"] == f"bytes 15-29/{len(whole)}"
    assert reply.content == whole[15:30]


def test_wrong_range_may_lie(server: SyntheticServer, whole: bytes) -> None:
    server.fail("", faults.WrongRange(shift=5, honest=False))
    reply = get(server, Range="bytes=10-29")
    assert reply.headers["Content-Range"] == f"bytes 10-29/{len(whole)}"
    assert reply.content == whole[15:35]


def test_substitute_sends_the_given_or_the_changed_body(server: SyntheticServer, whole: bytes) -> None:
    server.fail("", faults.Substitute(b"something else", "text/plain"))
    reply = get(server)
    assert (reply.content, reply.headers["Content-Type"]) == (b"something else", "text/plain")
    server.fail("", faults.Substitute(lambda body: body[:-1] + bytes([body[-1] ^ 1])))
    assert get(server).content == whole[:-1] + bytes([whole[-1] ^ 1])
    assert get(server).content == whole


def test_fault_spares_the_server_the_work(server: SyntheticServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("computed")

    monkeypatch.setattr("bsv_store_synthetic.server.reply_to", never)
    server.fail("", faults.Status(503))
    assert get(server).status_code == 503


def test_defect_of_the_server_is_a_500_and_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr("bsv_store_synthetic.server.reply_to", broken)
    with SyntheticServer(ATLAS) as server:
        assert get(server).status_code == 500
        assert [str(error) for error in server.errors] == ["broken"]


def test_head_with_a_fault_has_no_body(server: SyntheticServer) -> None:
    server.fail(lambda request: request.method == "HEAD", faults.Html())
    assert requests.head(server.url + GRID, timeout=20).content == b""


def test_rule_matches_encoded_and_decoded_lines() -> None:
    request = Request("GET", "/a?q=%5Bx%5D", "/a", {"q": "[x]"})
    for match in ("/a?", "%5Bx", "[x]", "GET /a"):
        assert faults.Rule(match, faults.Hang()).applies(request)
    assert not faults.Rule("[y]", faults.Hang()).applies(request)
