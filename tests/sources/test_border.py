"""What crosses the border to the network: redirects, passwords, proxies, and the time that one exchange may take."""

from __future__ import annotations

import base64
import gc
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from bsv_store.errors import InputError, UnreachableUpstreamError, UpstreamError
from bsv_store.sources.allen import AllenClient
from bsv_store.sources.allen.decoding import BodyDecoder
from bsv_store.sources.allen.redirects import RedirectError, redirect_target
from bsv_store_synthetic import SyntheticAtlas, SyntheticServer
from bsv_store_synthetic.faults import (
    DripAround,
    DripPart,
    EndlessRedirect,
    Fault,
    Redirect,
    RedirectLoop,
    Status,
    Substitute,
)
from tests.error_texts import every_text
from tests.servers import free_port
from tests.sources.bodies import array_of

ATLAS = SyntheticAtlas(experiments=2)
FIRST, SECOND = ATLAS.experiment_ids
VOLUME = f"/grid_data/download/{FIRST}"
SECRET = "hunter2-secret"
MEBIBYTE = 1024 * 1024


@pytest.fixture
def server() -> Iterator[SyntheticServer]:
    with SyntheticServer(ATLAS) as running:
        yield running
        assert running.errors == []


@pytest.fixture
def other() -> Iterator[SyntheticServer]:
    """A second server: another host, since its port is another one."""
    with SyntheticServer(ATLAS) as running:
        yield running
        assert running.errors == []


def client_of(server: SyntheticServer, **options: Any) -> AllenClient:
    return AllenClient(**{"api_url": server.url, "backoff_s": 0, "attempts": 2, **options})


# -- redirects ----------------------------------------------------------------------------------------------------


def test_a_redirect_on_the_same_host_is_followed_and_is_the_source(server: SyntheticServer) -> None:
    server.fail(VOLUME, Redirect(f"/grid_data/download/{SECOND}?include=density"))
    with client_of(server) as client:
        reply = client.volume(FIRST)
    np.testing.assert_array_equal(array_of(reply), ATLAS.volume(SECOND))
    assert reply.source == f"{server.url}/grid_data/download/{SECOND}?include=density"


def test_a_list_records_the_address_that_it_came_from(server: SyntheticServer) -> None:
    server.fail("model::ApiConnectivity", Redirect(f"{server.url}//"))
    with client_of(server) as client:
        assert client.experiments().source.startswith(f"{server.url}//api/v2/data/query.json")


def test_a_redirect_to_another_host_is_refused(server: SyntheticServer, other: SyntheticServer) -> None:
    server.fail(VOLUME, Redirect(f"{other.url}/"), times=None)
    with client_of(server) as client, pytest.raises(UpstreamError, match="redirected to another host, http://127"):
        client.volume(FIRST)
    assert other.requests.total == 0
    assert server.requests.total == 1


LOCATIONS = [
    "http://[::1",
    "http://a b/",
    "https://host:99999/",
    "ftp://127.0.0.1/",
    "file:///etc/passwd",
    "//",
    "http://",
    "/caf\xe9",
    "javascript:alert(1)",
    f"http://me:{SECRET}@127.0.0.1/",
    f"http://{'a' * 70}.b/",
    "x" * 5000,
    "",
]


@pytest.mark.parametrize("location", LOCATIONS)
def test_a_bad_redirect_is_an_error_of_its_object_alone(server: SyntheticServer, location: str) -> None:
    server.fail(VOLUME, Redirect(location), times=None)
    with client_of(server) as client:
        with pytest.raises(UpstreamError, match=f"experiment {FIRST}: (the server redirected|more than)") as caught:
            client.volume(FIRST)
        client.volume(SECOND)
    assert SECRET not in every_text(caught.value)
    assert len(caught.value.message) < 400


@pytest.mark.parametrize("fault", [EndlessRedirect(), EndlessRedirect(gzipped=True), RedirectLoop()], ids=str)
def test_the_body_of_a_redirect_is_not_read(server: SyntheticServer, fault: Fault) -> None:
    server.fail(VOLUME, fault, times=None)
    with client_of(server) as client:
        server.fail("/warm-up", fault)
        with pytest.raises(UpstreamError):
            AllenClient(api_url=f"{server.url}/warm-up", attempts=1, backoff_s=0).volume(SECOND)
        server.requests.clear()
        tracemalloc.start()
        started = time.monotonic()
        with pytest.raises(UpstreamError, match="more than 5 redirects"):
            client.volume(FIRST)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert server.requests.total == 6
    assert time.monotonic() - started < 10
    assert peak < 64 * MEBIBYTE


API = "https://api.brain-map.org/a?b=c"


@pytest.mark.parametrize(
    ("url", "location", "expected"),
    [
        (API, "/x#part", "https://api.brain-map.org/x"),
        (API, "https://connectivity.brain-map.org/x", "https://connectivity.brain-map.org/x"),
        (API, "https://download.alleninstitute.org:443/x", "https://download.alleninstitute.org:443/x"),
        ("http://api.brain-map.org/", "https://api.brain-map.org/", "https://api.brain-map.org/"),
        ("http://mirror/", "https://mirror/", "https://mirror/"),
        (API, "http://api.brain-map.org/x", "from https to http"),
        (API, "https://api.brain-map.org:8080/x", "another host"),
        (API, "https://api.brain-map.org.evil.org/x", "another host"),
        (API, "//evil.org/x", "another host"),
        ("https://mirror/", "https://api.brain-map.org/", "another host"),
        ("http://mirror:8080/", "http://mirror:9090/", "another host"),
        ("http://mirror:8080/", "https://mirror/", "another host"),
    ],
)
def test_only_listed_hosts_are_followed_and_never_from_https_to_http(url: str, location: str, expected: str) -> None:
    if expected.startswith("http"):
        assert redirect_target(url, 302, {"Location": location}) == expected
    else:
        with pytest.raises(RedirectError, match=expected):
            redirect_target(url, 302, {"Location": location})


# -- one deadline for all of an exchange --------------------------------------------------------------------------


@pytest.mark.parametrize("part", get_args(DripPart))
@pytest.mark.parametrize("ask", ["list", "volume"])
def test_bytes_that_drip_anywhere_end_at_the_deadline(server: SyntheticServer, part: DripPart, ask: str) -> None:
    server.fail("/", DripAround(part), times=None)
    started = time.monotonic()
    with client_of(server, deadline_s=0.5, read_timeout_s=5) as client:
        with pytest.raises(UpstreamError, match=r"incomplete after 0\.5 s"):
            client.experiments() if ask == "list" else client.volume(FIRST)
        assert time.monotonic() - started < 10


def test_a_client_is_unharmed_by_an_exchange_that_was_shut_down(server: SyntheticServer) -> None:
    server.fail(VOLUME, DripAround("headers"), times=None)
    with client_of(server, deadline_s=3) as client:
        client.experiments()
        with pytest.raises(UpstreamError, match="incomplete after 3 s"):
            client.volume(FIRST)
        assert len(client.experiments().value.experiments) == 2


def test_redirects_that_each_take_long_end_at_the_deadline(server: SyntheticServer) -> None:
    class SlowRedirect(Fault):
        def apply(self, request: Any, make: Callable[[], Any]) -> Any:
            time.sleep(0.2)
            return RedirectLoop().apply(request, make)

    server.fail(VOLUME, SlowRedirect(), times=None)
    with client_of(server, deadline_s=0.5) as client, pytest.raises(UpstreamError, match=r"incomplete after 0\.5 s"):
        client.volume(FIRST)
    assert server.requests.total <= 4


def test_no_timer_is_left_after_an_exchange(server: SyntheticServer) -> None:
    with client_of(server) as client:
        for _ in range(3):
            client.experiments()
    assert [thread.name for thread in threading.enumerate() if thread.name == "bsv-store-timer"] == []


def test_a_body_that_expands_a_thousandfold_is_refused_in_bounded_memory(server: SyntheticServer) -> None:
    import gzip

    from bsv_store.server.allen.messages import JSON
    from bsv_store_synthetic.replies import Reply

    body = gzip.compress(bytes(400 * MEBIBYTE), 1)

    class Bomb(Fault):
        def apply(self, request: Any, make: Callable[[], Reply]) -> Reply:
            return Reply(200, body, JSON, (("Content-Encoding", "gzip"),))

    server.fail("model::Structure,", Bomb(), times=None)
    sizes: list[int] = []
    with client_of(server) as client:
        tracemalloc.start()
        with pytest.raises(UpstreamError, match="the body must be at most"):
            client.structures()
        sizes.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert sizes[0] < 300 * MEBIBYTE


def test_a_body_is_decompressed_in_blocks_of_one_mebibyte() -> None:
    import gzip

    decoder = BodyDecoder("gzip")
    # Two members, which are one body.
    data = gzip.compress(bytes(50 * MEBIBYTE)) + gzip.compress(b"end")
    blocks = list(decoder.blocks(data))
    assert max(map(len, blocks)) <= MEBIBYTE
    assert sum(map(len, blocks)) == 50 * MEBIBYTE + 3
    assert decoder.is_complete


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda body: body[:-20], "truncated"),
        (lambda body: body[:100] + b"xxxx" + body[104:], "not valid gzip"),
    ],
)
def test_a_damaged_compressed_list_is_refused(
    server: SyntheticServer, change: Callable[[bytes], bytes], message: str
) -> None:
    import gzip

    from bsv_store.server.allen.messages import JSON
    from bsv_store_synthetic.replies import Reply

    class Damaged(Fault):
        def apply(self, request: Any, make: Callable[[], Reply]) -> Reply:
            return Reply(200, change(gzip.compress(make().body)), JSON, (("Content-Encoding", "gzip"),))

    server.fail("model::Structure,", Damaged(), times=None)
    with client_of(server) as client, pytest.raises(UpstreamError, match=message):
        client.structures()


def test_the_phrase_of_a_status_is_shown_short_and_without_control_characters(server: SyntheticServer) -> None:
    from bsv_store.server.allen.messages import JSON
    from bsv_store_synthetic.replies import Reply

    class Phrase(Fault):
        def apply(self, request: Any, make: Callable[[], Reply]) -> Reply:
            return Reply(404, b"", JSON, stream=lambda: [b"HTTP/1.1 404 \x1b[31m" + b"No" * 30_000 + b"\r\n\r\n"])

    server.fail(VOLUME, Phrase())
    with client_of(server) as client, pytest.raises(UpstreamError, match="responded with 404") as caught:
        client.volume(FIRST)
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 400


def test_an_encoding_that_was_not_requested_is_refused(server: SyntheticServer) -> None:
    from bsv_store.server.allen.messages import JSON
    from bsv_store_synthetic.replies import Reply

    class Brotli(Fault):
        def apply(self, request: Any, make: Callable[[], Reply]) -> Reply:
            return Reply(200, b"whatever", JSON, (("Content-Encoding", "br"),))

    server.fail("model::Structure,", Brotli(), times=None)
    with client_of(server) as client, pytest.raises(UpstreamError, match="the encoding 'br', which was not requested"):
        client.structures()


# -- passwords and proxies ----------------------------------------------------------------------------------------


def authorizations(server: SyntheticServer) -> list[str | None]:
    return [request.headers.get("authorization") for request in server.requests.all]


def netrc(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


def test_the_users_netrc_is_not_sent(server: SyntheticServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = f"machine 127.0.0.1 login me password {SECRET}\ndefault login me password {SECRET}\n"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(netrc(tmp_path / ".netrc", text)))
    server.fail(VOLUME, Redirect(f"{server.url}//"))
    with client_of(server) as client:
        client.volume(FIRST)
        client.experiments()
    assert authorizations(server) == [None, None, None]


def test_a_password_is_sent_to_its_host_alone_where_asked(
    server: SyntheticServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = netrc(tmp_path / "netrc", f"machine 127.0.0.1 login me password {SECRET}\n")
    monkeypatch.setenv("BSV_STORE_NETRC", str(file))
    with client_of(server) as client:
        client.experiments()
    assert authorizations(server) == ["Basic " + base64.b64encode(f"me:{SECRET}".encode()).decode()]
    file.write_text(f"machine elsewhere.org login me password {SECRET}\ndefault login me password {SECRET}\n")
    server.requests.clear()
    with client_of(server) as client:
        client.experiments()
    assert authorizations(server) == [None]


@pytest.mark.parametrize("is_named", [False, True])
def test_a_demanded_password_is_explained(
    server: SyntheticServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, is_named: bool
) -> None:
    if is_named:
        monkeypatch.setenv("BSV_STORE_NETRC", str(netrc(tmp_path / "netrc", f"machine 127.0.0.1 password {SECRET}\n")))
    server.fail(VOLUME, Status(401))
    with client_of(server) as client, pytest.raises(UpstreamError, match="401 Unauthorized") as caught:
        client.volume(FIRST)
    wanted = "Check the line of 127.0.0.1" if is_named else "`machine 127.0.0.1 login bsv password TOKEN`"
    assert wanted in str(caught.value.hint)
    assert "BSV_STORE_NETRC" in str(caught.value.hint)
    assert SECRET not in every_text(caught.value)


@pytest.mark.parametrize("content", [f"machine x login y passwort {SECRET}", f"machin {SECRET}", "\x00\xff" * 9, None])
def test_a_netrc_that_cannot_be_read_is_named_without_its_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    if content is not None:
        (tmp_path / "netrc").write_bytes(content.encode("latin-1"))
    monkeypatch.setenv("BSV_STORE_NETRC", str(tmp_path / "netrc"))
    with pytest.raises(InputError, match="BSV_STORE_NETRC") as caught:
        AllenClient()
    assert SECRET not in every_text(caught.value)


def test_a_proxy_of_the_environment_is_used(server: SyntheticServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("http_proxy", f"http://me:{SECRET}@127.0.0.1:{server.port}")
    seen: list[str] = []

    def every(request: Any) -> bool:
        seen.append(request.target)
        return True

    server.fail(every, Substitute(b"{}"), times=None)
    with (
        AllenClient(api_url="http://nowhere.invalid", backoff_s=0, attempts=1) as client,
        pytest.raises(UpstreamError) as caught,
    ):
        client.volume(FIRST)
    assert seen == [f"http://nowhere.invalid{VOLUME}?include=density"]
    assert server.requests.all[0].headers["proxy-authorization"].startswith("Basic ")
    assert SECRET not in every_text(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        f"https://me:{SECRET}@mirror.org",
        f"https://{SECRET}@mirror.org/path",
        f"https://mirror.org/?key={SECRET}",
        f"https://mirror.org/#{SECRET}",
        f"https:me:{SECRET}@mirror.org",
        f"https://me:{SECRET}%40mirror.org",
    ],
)
@pytest.mark.parametrize("variable", ["BSV_STORE_API_URL", "BSV_STORE_DOWNLOAD_URL", None])
def test_an_address_with_a_password_is_refused_without_being_shown(
    monkeypatch: pytest.MonkeyPatch, url: str, variable: str | None
) -> None:
    if variable is not None:
        monkeypatch.setenv(variable, url)
    with pytest.raises(InputError, match="the address of") as caught:
        AllenClient(api_url=url if variable is None else None)
    assert SECRET not in every_text(caught.value)


@pytest.mark.parametrize("url", ["http://a\x00b", "http://caf\udce9", "http://a\nb", f"http://{'a' * 70}.org", 7])
def test_an_address_with_characters_that_cannot_be_sent_is_refused(url: Any) -> None:
    with pytest.raises(InputError, match="the address of the Allen API"):
        AllenClient(api_url=url)


# -- hosts that cannot be reached ---------------------------------------------------------------------------------


def test_a_host_that_never_responded_is_given_up_after_a_few_connections() -> None:
    port = free_port()
    with AllenClient(api_url=f"http://127.0.0.1:{port}", backoff_s=0, attempts=10) as client:
        for times in ("3 times", "once", "once"):
            with pytest.raises(UnreachableUpstreamError, match=f"Connection refused; requested .* {times}") as caught:
                client.volume(FIRST)
            assert caught.value.reason == f"127.0.0.1:{port} cannot be reached: Connection refused"


def test_a_host_that_responded_before_is_tried_as_often_as_asked(server: SyntheticServer) -> None:
    with client_of(server, attempts=5) as client:
        client.experiments()
        server.close()
        with pytest.raises(UnreachableUpstreamError, match="5 times"):
            client.volume(FIRST)


def test_a_name_that_does_not_resolve_is_named_in_plain_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with (
        AllenClient(api_url="https://api.brain-map.org", backoff_s=0) as client,
        pytest.raises(UnreachableUpstreamError) as caught,
    ):
        client.volume(FIRST)
    assert caught.value.reason == "api.brain-map.org cannot be reached: the name could not be resolved"


def test_a_resolver_that_does_not_answer_is_waited_for_no_longer_than_a_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer = threading.Event()

    def wait(*_: Any, **__: Any) -> None:
        answer.wait(30)

    monkeypatch.setattr(socket, "getaddrinfo", wait)
    started = time.monotonic()
    with (
        AllenClient(api_url="https://api.brain-map.org", backoff_s=0, connect_timeout_s=0.2, attempts=2) as client,
        pytest.raises(UnreachableUpstreamError) as caught,
    ):
        client.volume(FIRST)
    answer.set()
    assert caught.value.reason == "api.brain-map.org cannot be reached: the name could not be resolved"
    assert time.monotonic() - started < 10


def test_every_address_of_a_name_is_tried(server: SyntheticServer, monkeypatch: pytest.MonkeyPatch) -> None:
    # A server that listens at another loopback address refuses connections at the first.
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, server.port)) for each in ("127.0.0.2", "127.0.0.1")]
    resolve = socket.getaddrinfo

    def two(host: str, *rest: Any, **options: Any) -> Any:
        return found if host == "two.test" else resolve(host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", two)
    with AllenClient(api_url=f"http://two.test:{server.port}", backoff_s=0, attempts=1) as client:
        assert client.experiments()


def test_a_proxy_with_an_ipv6_address_is_used(server: SyntheticServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("http_proxy", f"http://[2001:db8::1]:{server.port}")
    local = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", server.port))]
    resolve = socket.getaddrinfo

    def with_proxy(host: str, *rest: Any, **options: Any) -> Any:
        return local if host == "2001:db8::1" else resolve(host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", with_proxy)
    with AllenClient(api_url="http://nowhere.invalid", backoff_s=0, attempts=1) as client:
        assert client.experiments()


def test_a_link_local_address_keeps_its_network_interface(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def link_local(host: str, port: int, *_: Any, **__: Any) -> Any:
        asked.append(host)
        if host != "near.test":
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("fe80::1", port, 0, 7))]

    monkeypatch.setattr(socket, "getaddrinfo", link_local)
    with (
        AllenClient(api_url="http://near.test", backoff_s=0, attempts=1) as client,
        pytest.raises(UnreachableUpstreamError),
    ):
        client.experiments()
    assert asked == ["near.test", "fe80::1%7"]


def test_a_server_without_tls_is_named_in_plain_words(server: SyntheticServer) -> None:
    with (
        AllenClient(api_url=server.url.replace("http:", "https:"), backoff_s=0) as client,
        pytest.raises(UnreachableUpstreamError) as caught,
    ):
        client.volume(FIRST)
    assert caught.value.reason.startswith(f"127.0.0.1:{server.port} cannot be reached: no TLS connection (")
    assert "host=" not in caught.value.message


def test_a_response_that_is_not_http_is_named_in_plain_words() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            connection.recv(4096)
            connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
            connection.close()

        thread = threading.Thread(target=answer)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with (
            AllenClient(api_url=url, attempts=1) as client,
            pytest.raises(UpstreamError, match="the connection failed: the response is not valid HTTP; requested"),
        ):
            client.volume(FIRST)
        thread.join()


# -- connections that never come about ----------------------------------------------------------------------------


@pytest.fixture
def dripping() -> Iterator[Callable[[bytes, bytes], int]]:
    """A function that starts a listener, and returns its port: it sends a start, then the same byte for ever."""
    stopped = threading.Event()
    threads: list[threading.Thread] = []

    def start(beginning: bytes, drip: bytes) -> int:
        listener = socket.create_server(("127.0.0.1", 0))

        def answer() -> None:
            with listener:
                listener.settimeout(0.1)
                connection = None
                while connection is None and not stopped.is_set():
                    try:
                        connection, _ = listener.accept()
                    except TimeoutError:
                        continue
                if connection is None:
                    return
                with connection:
                    try:
                        connection.sendall(beginning)
                        while not stopped.wait(0.02):
                            connection.sendall(drip)
                    except OSError:
                        # The client has gone, as it should.
                        return

        threads.append(threading.Thread(target=answer))
        threads[-1].start()
        return int(listener.getsockname()[1])

    yield start
    stopped.set()
    for thread in threads:
        thread.join()


def test_a_tls_handshake_that_drips_ends_at_the_deadline(dripping: Callable[[bytes, bytes], int]) -> None:
    # The header of a handshake record of 16,000 bytes.
    port = dripping(b"\x16\x03\x03\x3e\x80", b"\x00")
    started = time.monotonic()
    with (
        AllenClient(api_url=f"https://127.0.0.1:{port}", deadline_s=0.5, attempts=1) as client,
        pytest.raises(UpstreamError, match=r"incomplete after 0\.5 s"),
    ):
        client.volume(FIRST)
    assert time.monotonic() - started < 10


# urllib3 leaves the socket of such a handshake to the garbage collector.
@pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")
def test_a_proxy_that_drips_ends_at_the_deadline(
    dripping: Callable[[bytes, bytes], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    port = dripping(b"HTTP/1.1 200 ", b"O")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{port}")
    started = time.monotonic()
    with (
        AllenClient(api_url="https://mirror.invalid", deadline_s=0.5, attempts=1) as client,
        pytest.raises(UpstreamError, match=r"incomplete after 0\.5 s"),
    ):
        client.volume(FIRST)
    assert time.monotonic() - started < 10
    gc.collect()


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for 127.0.0.1 with its key, made by openssl."""
    import shutil
    import subprocess

    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    file = tmp_path / "server.pem"
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", file, "-out", tmp_path / "c"],
        check=True,
        capture_output=True,
    )  # fmt: skip
    file.write_bytes(file.read_bytes() + (tmp_path / "c").read_bytes())
    return file


@pytest.fixture
def secure(server: SyntheticServer, certificate: Path) -> SyntheticServer:
    """The server with TLS."""
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server._http.socket = context.wrap_socket(server._http.socket, server_side=True)
    server.url = server.url.replace("http:", "https:")
    return server


def test_a_certificate_must_be_trusted(
    secure: SyntheticServer, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with client_of(secure) as client, pytest.raises(UnreachableUpstreamError) as caught:
        client.experiments()
    assert "cannot be trusted: its certificate is not valid (self-signed certificate)" in caught.value.reason
    # The environment may name one.
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    with client_of(secure) as client:
        assert client.experiments().source.startswith("https://127.0.0.1")
        secure.fail(VOLUME, Redirect(secure.url.replace("https:", "http:") + "/"), times=None)
        with pytest.raises(UpstreamError, match="from https to http"):
            client.volume(FIRST)


@pytest.mark.parametrize("part", get_args(DripPart))
def test_bytes_that_drip_through_tls_end_at_the_deadline(
    secure: SyntheticServer, certificate: Path, monkeypatch: pytest.MonkeyPatch, part: DripPart
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    secure.fail(VOLUME, DripAround(part), times=None)
    started = time.monotonic()
    with (
        client_of(secure, deadline_s=0.8) as client,
        pytest.raises(UpstreamError, match=r"incomplete after 0\.8 s"),
    ):
        client.volume(FIRST)
    assert time.monotonic() - started < 10
