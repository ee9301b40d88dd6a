"""The border to the network: redirects, passwords, proxies, limits of replies, and deadlines."""

from __future__ import annotations

import base64
import gc
import gzip
import socket
import ssl
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import pytest
import requests

from bsv_store.errors import InputError, NothingDownloadedError, UnreachableUpstreamError, UpstreamError
from bsv_store.progress import NoProgress
from bsv_store.server.allen.messages import JSON, Request
from bsv_store.sources.allen.reasons import certificate_hint
from bsv_store.sources.allen.redirects import RedirectError, redirect_target
from bsv_store_synthetic import SyntheticServer
from bsv_store_synthetic.faults import (
    DripAround,
    DripPart,
    EndlessRedirect,
    Fault,
    MakeReply,
    Redirect,
    RedirectLoop,
    Status,
    Substitute,
)
from bsv_store_synthetic.replies import Reply
from tests.acquisition.stored import reason_of_failure
from tests.catalogs import ATLAS
from tests.certificates import made_certificate
from tests.error_texts import every_text
from tests.servers import free_port
from tests.sources.altered import Altered, in_pages

if TYPE_CHECKING:
    from bsv_store import Store

FIRST, SECOND = ATLAS.experiment_ids[:2]
VOLUME = f"/grid_data/download/{FIRST}"
LIST = "model::ApiConnectivity"
SECRET = "hunter2-secret"
MEBIBYTE = 1024 * 1024

Patience = Callable[..., None]


@pytest.fixture
def other() -> Iterator[SyntheticServer]:
    """A second server, which counts as another host because its port differs."""
    with SyntheticServer(ATLAS) as running:
        yield running
        assert running.errors == []


# -- redirects ----------------------------------------------------------------------------------------------------


def test_a_redirect_on_the_same_host_is_followed_and_is_the_source(catalog: Store, server: SyntheticServer) -> None:
    server.fail("Unionize", Redirect(f"{server.url}//"))
    server.fail(VOLUME, Redirect(f"{server.url}//"))
    catalog.sync_unionizes([FIRST], api_url=server.url)
    catalog.fetch([FIRST], api_url=server.url)
    assert server.requests.total == 4
    assert catalog.catalog.snapshots()[-1].source.startswith(f"{server.url}//api/v2/data/query.json?")
    assert catalog.volumes.describe(FIRST)["source"] == f"{server.url}/{VOLUME}?include=density"


def test_a_redirect_to_another_host_is_refused(catalog: Store, server: SyntheticServer, other: SyntheticServer) -> None:
    server.fail(LIST, Redirect(f"{other.url}/"), times=None)
    with pytest.raises(UpstreamError, match="redirected to another host, http://127"):
        catalog.sync_experiments(api_url=server.url)
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


def test_a_bad_redirect_is_an_error_of_its_object_alone(catalog: Store, server: SyntheticServer) -> None:
    *ids, good = ATLAS.experiment_ids
    for start in range(0, len(LOCATIONS), len(ids)):
        served = dict(zip(ids, LOCATIONS[start : start + len(ids)], strict=False))
        for i, location in served.items():
            server.fail(f"download/{i}?", Redirect(location), times=None)
        report = catalog.fetch([*served, good], refresh=True, api_url=server.url)
        assert report.fetched == (good,)
        assert {failure.experiment_id for failure in report.failed} == set(served)
        for failure in report.failed:
            start_of_reason = f"projection_density at 100 um of experiment {failure.experiment_id}: "
            assert failure.reason.startswith((f"{start_of_reason}the server redirected", f"{start_of_reason}more than"))
            assert len(failure.reason) < 400
            assert SECRET not in failure.reason
        server.faults.clear()


def test_the_password_of_a_redirect_is_in_no_error(catalog: Store, server: SyntheticServer) -> None:
    server.fail(LIST, Redirect(f"http://me:{SECRET}@127.0.0.1/"), times=None)
    with pytest.raises(UpstreamError, match="the server redirected") as caught:
        catalog.sync_experiments(api_url=server.url)
    assert SECRET not in every_text(caught.value)


@pytest.mark.parametrize("fault", [EndlessRedirect(), EndlessRedirect(gzipped=True), RedirectLoop()], ids=str)
def test_the_body_of_a_redirect_is_not_read(
    catalog: Store, server: SyntheticServer, patience: Patience, fault: Fault
) -> None:
    server.fail(LIST, fault, times=None)

    def ask() -> None:
        with pytest.raises(UpstreamError, match="more than 5 redirects"):
            catalog.sync_experiments(api_url=server.url)

    # Memory that the first request takes for imports and caches.
    ask()
    server.requests.clear()
    tracemalloc.start()
    started = time.monotonic()
    ask()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert server.requests.total == 6
    assert time.monotonic() - started < 10
    assert peak < 64 * MEBIBYTE


API = "https://api.brain-map.org/a?b=c"


# White-box: a test may reach none of these hosts.
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


def check_deadline(store: Store, url: str | None = None, *, deadline: str) -> None:
    """The list of experiments is given up at the deadline."""
    started = time.monotonic()
    with pytest.raises(UpstreamError, match=f"incomplete after {deadline} s"):
        store.sync_experiments(api_url=url)
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("part", get_args(DripPart))
def test_a_list_that_drips_anywhere_ends_at_the_deadline(
    catalog: Store, server: SyntheticServer, patience: Patience, part: DripPart
) -> None:
    patience(deadline_s=0.3, read_timeout_s=5)
    server.fail(LIST, DripAround(part), times=None)
    check_deadline(catalog, server.url, deadline="0.3")


def test_a_client_is_unharmed_by_an_exchange_that_was_shut_down(
    catalog: Store, server: SyntheticServer, patience: Patience
) -> None:
    patience(deadline_s=1, read_timeout_s=5)
    server.fail(VOLUME, DripAround("headers"), times=None)
    # Two more threads wait for the one connection until their own deadline.
    report = catalog.fetch(ATLAS.experiment_ids, workers=1, api_url=server.url)
    assert set(report.fetched) >= set(ATLAS.experiment_ids[3:])
    assert "incomplete after 1 s" in report.reasons[FIRST]
    assert len(catalog.admin.claims()) == 0


def test_redirects_that_each_take_long_end_at_the_deadline(
    catalog: Store, server: SyntheticServer, patience: Patience
) -> None:
    class SlowRedirect(Fault):
        def apply(self, request: Request, make: MakeReply) -> Reply:
            time.sleep(0.1)
            return RedirectLoop().apply(request, make)

    patience(deadline_s=0.25)
    server.fail(LIST, SlowRedirect(), times=None)
    check_deadline(catalog, server.url, deadline="0.25")
    assert server.requests.total <= 4


def test_no_timer_is_left_after_an_exchange(catalog: Store, server: SyntheticServer) -> None:
    for _ in range(3):
        catalog.sync_experiments(api_url=server.url)
    assert [thread.name for thread in threading.enumerate() if thread.name == "bsv-store-timer"] == []


# -- what a server may send ---------------------------------------------------------------------------------------


def test_a_body_that_expands_a_thousandfold_is_refused_in_bounded_memory(
    catalog: Store, server: SyntheticServer
) -> None:
    # 17 MiB are allowed for the table of one experiment.
    bomb = gzip.compress(bytes(96 * MEBIBYTE))
    server.fail(
        "Unionize",
        Altered(lambda reply: replace(reply, body=bomb, headers=(("Content-Encoding", "gzip"),))),
        times=None,
    )
    tracemalloc.start()
    reason = reason_of_failure(lambda: catalog.sync_unionizes([FIRST], api_url=server.url))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "the body must be at most" in reason
    assert peak < 64 * MEBIBYTE


def test_the_phrase_of_a_status_is_shown_short_and_without_control_characters(
    catalog: Store, server: SyntheticServer
) -> None:
    phrase = b"HTTP/1.1 404 \x1b[31m" + b"No" * 30_000 + b"\r\n\r\n"
    server.fail(LIST, Altered(lambda _: Reply(404, b"", JSON, stream=lambda: [phrase])))
    with pytest.raises(UpstreamError, match="responded with 404") as caught:
        catalog.sync_experiments(api_url=server.url)
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 400


# -- passwords and proxies ----------------------------------------------------------------------------------------


def authorizations(server: SyntheticServer) -> list[str | None]:
    return [request.headers.get("authorization") for request in server.requests.all]


def netrc(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


def test_the_users_netrc_is_not_sent(
    catalog: Store, server: SyntheticServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = f"machine 127.0.0.1 login me password {SECRET}\ndefault login me password {SECRET}\n"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(netrc(tmp_path / ".netrc", text)))
    server.fail(VOLUME, Redirect(f"{server.url}//"))
    catalog.fetch([FIRST], api_url=server.url)
    catalog.sync_experiments(api_url=server.url)
    assert authorizations(server) == [None, None, None]


def test_a_password_is_sent_to_its_host_alone_where_asked(
    catalog: Store, server: SyntheticServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = netrc(tmp_path / "netrc", f"machine 127.0.0.1 login me password {SECRET}\n")
    monkeypatch.setenv("BSV_STORE_NETRC", str(file))
    catalog.sync_experiments(api_url=server.url)
    assert authorizations(server) == ["Basic " + base64.b64encode(f"me:{SECRET}".encode()).decode()]
    file.write_text(f"machine elsewhere.org login me password {SECRET}\ndefault login me password {SECRET}\n")
    server.requests.clear()
    catalog.sync_experiments(api_url=server.url)
    assert authorizations(server) == [None]


@pytest.mark.parametrize("is_named", [False, True])
def test_a_demanded_password_is_explained(
    catalog: Store, server: SyntheticServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, is_named: bool
) -> None:
    if is_named:
        monkeypatch.setenv("BSV_STORE_NETRC", str(netrc(tmp_path / "netrc", f"machine 127.0.0.1 password {SECRET}\n")))
    server.fail(LIST, Status(401))
    with pytest.raises(UpstreamError, match="401 Unauthorized") as caught:
        catalog.sync_experiments(api_url=server.url)
    wanted = "Check the line of 127.0.0.1" if is_named else "`machine 127.0.0.1 login bsv password TOKEN`"
    assert wanted in str(caught.value.hint)
    assert "BSV_STORE_NETRC" in str(caught.value.hint)
    assert SECRET not in every_text(caught.value)


@pytest.mark.parametrize("content", [f"machine x login y passwort {SECRET}", f"machin {SECRET}", "\x00\xff" * 9, None])
def test_a_netrc_that_cannot_be_read_is_named_without_its_content(
    catalog: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    if content is not None:
        (tmp_path / "netrc").write_bytes(content.encode("latin-1"))
    monkeypatch.setenv("BSV_STORE_NETRC", str(tmp_path / "netrc"))
    with pytest.raises(InputError, match="BSV_STORE_NETRC") as caught:
        catalog.sync_experiments()
    assert SECRET not in every_text(caught.value)


@pytest.fixture
def everything_by_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """No host is reached without a proxy."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "")


@pytest.mark.usefixtures("everything_by_proxy")
def test_a_proxy_of_the_environment_is_used(
    catalog: Store, server: SyntheticServer, monkeypatch: pytest.MonkeyPatch, patience: Patience
) -> None:
    monkeypatch.setenv("http_proxy", f"http://me:{SECRET}@127.0.0.1:{server.port}")
    patience(attempts=1)
    server.fail(lambda _: True, Substitute(b"{}"), times=None)
    with pytest.raises(UpstreamError) as caught:
        catalog.sync_experiments(api_url="http://nowhere.invalid")
    (request,) = server.requests.all
    assert request.target.startswith("http://nowhere.invalid/api/v2/data/query.json?")
    assert request.headers["proxy-authorization"].startswith("Basic ")
    assert SECRET not in every_text(caught.value)


@pytest.mark.usefixtures("everything_by_proxy")
def test_a_proxy_with_an_ipv6_address_is_used(
    catalog: Store, server: SyntheticServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://[2001:db8::1]:{server.port}")
    local = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", server.port))]
    resolved_as(monkeypatch, "2001:db8::1", local)
    catalog.sync_experiments(api_url="http://nowhere.invalid")
    assert server.requests.total == 1


def resolved_as(monkeypatch: pytest.MonkeyPatch, name: str, addresses: list[Any]) -> None:
    """Let a name have these addresses."""
    resolve = socket.getaddrinfo

    def resolved(host: str, *rest: Any, **options: Any) -> Any:
        return addresses if host == name else resolve(host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolved)


# -- hosts that cannot be reached ---------------------------------------------------------------------------------


def test_a_host_that_never_responded_is_given_up_after_a_few_connections(catalog: Store, patience: Patience) -> None:
    patience(attempts=10)
    port = free_port()
    with pytest.raises(UnreachableUpstreamError, match=r"Connection refused; requested http://.* 3 times") as caught:
        catalog.sync_experiments(api_url=f"http://127.0.0.1:{port}")
    assert caught.value.reason == f"127.0.0.1:{port} cannot be reached: Connection refused"
    assert "BSV_STORE_API_URL" in str(caught.value.hint)


def test_a_host_that_responded_before_is_tried_as_often_as_asked(
    catalog: Store, server: SyntheticServer, patience: Patience, caplog: pytest.LogCaptureFixture
) -> None:
    class Closing(NoProgress):
        def advance(self, count: int = 1, *, size_bytes: int = 0) -> None:
            if size_bytes:
                server.close()

    patience(attempts=5)
    server.fail("Unionize", in_pages(50), times=None)
    reason_of_failure(lambda: catalog.sync_unionizes([FIRST], progress=Closing(), api_url=server.url))
    assert [record for record in caplog.messages if "failed after 5 attempts" in record]


def test_a_resolver_that_does_not_answer_is_waited_for_no_longer_than_a_connection(
    catalog: Store, patience: Patience, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = threading.Event()

    def wait(*_: Any, **__: Any) -> None:
        answer.wait(30)

    monkeypatch.setattr(socket, "getaddrinfo", wait)
    patience(connect_timeout_s=0.1, attempts=2)
    started = time.monotonic()
    with pytest.raises(UnreachableUpstreamError) as caught:
        catalog.sync_experiments(api_url="https://api.brain-map.org")
    answer.set()
    assert caught.value.reason == "api.brain-map.org cannot be reached: the name could not be resolved"
    assert time.monotonic() - started < 10


def test_every_address_of_a_name_is_tried(
    catalog: Store, server: SyntheticServer, patience: Patience, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The server listens at one of these loopback addresses; connections to the others are refused.
    addresses = ["127.0.0.2", "127.0.0.1", "127.0.0.3"]
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, server.port)) for each in addresses]
    resolved_as(monkeypatch, "three.test", found)
    patience(attempts=1)
    catalog.sync_experiments(api_url=f"http://three.test:{server.port}")
    assert server.requests.total == 1


def test_a_link_local_address_keeps_its_network_interface(
    catalog: Store, patience: Patience, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def link_local(host: str, port: int, *_: Any, **__: Any) -> Any:
        asked.append(host)
        if host != "near.test":
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("fe80::1", port, 0, 7))]

    monkeypatch.setattr(socket, "getaddrinfo", link_local)
    patience(attempts=1)
    with pytest.raises(UnreachableUpstreamError):
        catalog.sync_experiments(api_url="http://near.test")
    assert asked == ["near.test", "fe80::1%7"]


def test_a_server_without_tls_is_named_in_plain_words(catalog: Store, server: SyntheticServer) -> None:
    with pytest.raises(UnreachableUpstreamError) as caught:
        catalog.sync_experiments(api_url=server.url.replace("http:", "https:"))
    assert caught.value.reason.startswith(f"127.0.0.1:{server.port} cannot be reached: no TLS connection (")
    assert "host=" not in caught.value.message


def test_a_response_that_is_not_http_is_named_in_plain_words(catalog: Store, patience: Patience) -> None:
    patience(attempts=1)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            connection.recv(4096)
            connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
            connection.close()

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(UpstreamError, match="the connection failed: the response is not valid HTTP; requested"):
            catalog.sync_experiments(api_url=f"http://127.0.0.1:{listener.getsockname()[1]}")
        thread.join()


# -- connections that are never established -----------------------------------------------------------------------


@pytest.fixture
def dripping() -> Iterator[Callable[[bytes, bytes], int]]:
    """A function that starts a listener, and returns its port: it sends some bytes, then one byte again and again."""
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


def test_a_tls_handshake_that_drips_ends_at_the_deadline(
    catalog: Store, patience: Patience, dripping: Callable[[bytes, bytes], int]
) -> None:
    # The header of a handshake record of 16,000 bytes.
    port = dripping(b"\x16\x03\x03\x3e\x80", b"\x00")
    patience(deadline_s=0.3, attempts=1)
    check_deadline(catalog, f"https://127.0.0.1:{port}", deadline="0.3")


# urllib3 leaves the socket of such a handshake to the garbage collector.
@pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")
@pytest.mark.usefixtures("everything_by_proxy")
def test_a_proxy_that_drips_ends_at_the_deadline(
    catalog: Store, patience: Patience, dripping: Callable[[bytes, bytes], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    port = dripping(b"HTTP/1.1 200 ", b"O")
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{port}")
    patience(deadline_s=0.3, attempts=1)
    check_deadline(catalog, "https://mirror.invalid", deadline="0.3")
    gc.collect()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1, and its key, in one file."""
    return made_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def secure(server: SyntheticServer, certificate: Path) -> SyntheticServer:
    """The server with TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server._http.socket = context.wrap_socket(server._http.socket, server_side=True)
    server.url = server.url.replace("http:", "https:")
    return server


def test_a_certificate_must_be_trusted(
    catalog: Store, secure: SyntheticServer, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UnreachableUpstreamError) as caught:
        catalog.sync_experiments(api_url=secure.url)
    assert "cannot be trusted: its certificate is not valid (self-signed certificate)" in caught.value.reason
    # Another attempt would get the same certificate.
    assert caught.value.message.endswith(" once")
    assert "REQUESTS_CA_BUNDLE=FILE" in str(caught.value.hint)
    with pytest.raises(NothingDownloadedError, match="certificate is not valid") as missed:
        catalog.fetch([FIRST], api_url=secure.url)
    assert missed.value.hint == caught.value.hint
    # The environment may name one.
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    catalog.fetch([FIRST], api_url=secure.url)
    assert str(catalog.volumes.describe(FIRST)["source"]).startswith("https://127.0.0.1")
    secure.fail(LIST, Redirect(secure.url.replace("https:", "http:") + "/"), times=None)
    with pytest.raises(UpstreamError, match="from https to http"):
        catalog.sync_experiments(api_url=secure.url)


def test_a_certificate_for_another_name_is_not_accepted(
    catalog: Store, secure: SyntheticServer, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    with pytest.raises(UnreachableUpstreamError, match=r"Hostname mismatch.* once\n") as caught:
        catalog.sync_experiments(api_url=secure.url.replace("127.0.0.1", "localhost"))
    assert caught.value.hint == "Use the name of the server that is in its certificate."


@pytest.mark.parametrize(
    ("code", "expected"),
    [(9, "date of this computer"), (10, "must renew"), (20, "REQUESTS_CA_BUNDLE"), (64, "name of the server")],
)
def test_the_hint_fits_what_is_wrong_with_a_certificate(code: int, expected: str) -> None:
    error = ssl.SSLCertVerificationError("certificate verify failed")
    error.verify_code = code
    wrapped = requests.exceptions.SSLError(error)
    assert expected in str(certificate_hint(wrapped))
    assert certificate_hint(requests.exceptions.SSLError(ssl.SSLError("wrong version number"))) is None


def test_certificates_that_do_not_exist_are_named(
    catalog: Store, server: SyntheticServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    with pytest.raises(UnreachableUpstreamError, match=r"the certificates .*ca\.pem do not exist.* once\n") as caught:
        catalog.sync_experiments(api_url=server.url.replace("http:", "https:"))
    assert "REQUESTS_CA_BUNDLE" in str(caught.value.hint)
    # Without TLS, none is needed.
    catalog.sync_experiments(api_url=server.url)


@pytest.mark.parametrize("part", get_args(DripPart))
def test_a_volume_that_drips_through_tls_ends_at_the_deadline(
    catalog: Store,
    secure: SyntheticServer,
    certificate: Path,
    patience: Patience,
    monkeypatch: pytest.MonkeyPatch,
    part: DripPart,
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    patience(deadline_s=0.4)
    secure.fail(VOLUME, DripAround(part), times=None)
    started = time.monotonic()
    assert "incomplete after 0.4 s" in reason_of_failure(lambda: catalog.fetch([FIRST], api_url=secure.url))
    assert time.monotonic() - started < 10
    assert len(catalog.admin.claims()) == 0
