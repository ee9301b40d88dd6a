"""Each way in which a transfer fails: what the client says, how often it asks, and that it recovers."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bsv_store import Store, create_store, open_store
from bsv_store.errors import NotFoundUpstreamError, UpstreamError
from bsv_store.sources.allen import AllenClient
from bsv_store.sources.allen.gate import Clock
from bsv_store.sources.allen.retry import retry_after_s
from bsv_store_synthetic import SyntheticAtlas, SyntheticServer
from bsv_store_synthetic.faults import (
    CutChunks,
    CutJson,
    Drip,
    Failure,
    Fault,
    Gate,
    Hang,
    Html,
    IgnoreRange,
    RedirectLoop,
    Status,
    Substitute,
    Truncate,
    WrongLength,
    WrongRange,
)
from tests.client_defaults import client_defaults
from tests.sources.bodies import array_of

ATLAS = SyntheticAtlas(experiments=2)
FIRST, SECOND = ATLAS.experiment_ids
VOLUME = f"/grid_data/download/{FIRST}"
LIST = "/query.json"


class FakeClock(Clock):
    """A clock that jumps instead of waiting."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.waited = 0.0

    def now(self) -> float:
        return self.time

    def wait(self, condition: threading.Condition, seconds: float) -> None:
        self.time += seconds
        self.waited += seconds


@pytest.fixture
def server() -> Iterator[SyntheticServer]:
    with SyntheticServer(ATLAS) as running:
        yield running
        assert running.errors == []


@pytest.fixture(scope="module")
def _template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faults") / "store"
    with SyntheticServer(ATLAS) as server, create_store(folder) as store:
        store.sync_structures(api_url=server.url)
        store.sync_experiments(api_url=server.url)
    return folder


@pytest.fixture
def catalog(_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A store that knows the experiments, whose clients ask up to four times, without waiting."""
    for name, value in {"backoff_s": 0, "attempts": 4}.items():
        monkeypatch.setitem(client_defaults(), name, value)
    shutil.copytree(_template, tmp_path / "store")
    with open_store(tmp_path / "store") as store:
        yield store


def client_of(server: SyntheticServer, **options: Any) -> AllenClient:
    return AllenClient(**{"api_url": server.url, "backoff_s": 0, "attempts": 4, **options})


PASSING: list[tuple[str, Fault]] = [
    ("503", Status(503)),
    ("500", Status(500)),
    ("429", Status(429)),
    ("cut body", Truncate(1000)),
    ("empty body", Truncate(0)),
    ("cut chunks", CutChunks(1000)),
    ("web page", Html()),
    ("reported failure", Failure()),
    ("too short a length", WrongLength(-100)),
    ("whole to HTTP, cut all the same", CutJson(0.5)),
]


@pytest.mark.parametrize("fault", [fault for _, fault in PASSING], ids=[name for name, _ in PASSING])
def test_a_passing_fault_is_survived_by_asking_once_more(catalog: Store, server: SyntheticServer, fault: Fault) -> None:
    server.fail(VOLUME, fault)
    server.fail(LIST, fault)
    assert catalog.fetch([FIRST], api_url=server.url).fetched == (FIRST,)
    assert catalog.sync_unionizes([FIRST], api_url=server.url).fetched == (FIRST,)
    np.testing.assert_array_equal(catalog.volume(FIRST), ATLAS.volume(FIRST))
    assert len(catalog.catalog.unionizes([FIRST])) == len(ATLAS.unionize(FIRST))
    assert server.requests.count(VOLUME) == 2
    assert server.requests.count(LIST) == 2


def test_a_length_beyond_the_end_is_survived_by_asking_for_all_again(catalog: Store, server: SyntheticServer) -> None:
    server.fail(VOLUME, WrongLength(100))
    catalog.fetch([FIRST], api_url=server.url)
    np.testing.assert_array_equal(catalog.volume(FIRST), ATLAS.volume(FIRST))
    # The second asks for the part that is not there: 416.
    assert [request.headers.get("range") is None for request in server.requests.all] == [True, False, True]


LASTING: list[tuple[str, Fault, int, str]] = [
    ("503", Status(503), 4, "the server responded with 503"),
    ("429", Status(429), 4, "the server responded with 429"),
    ("400", Status(400), 1, "the server responded with 400"),
    ("403", Status(403), 1, "the server responded with 403"),
    ("cut chunks", CutChunks(1000), 4, "the connection failed"),
    ("web page", Html(), 4, "the server sent a web page"),
    ("reported failure", Failure("no such grid"), 4, "the Allen API reports failure: 'no such grid'"),
    ("too long a length", WrongLength(100), 4, "the connection failed"),
    ("redirect loop", RedirectLoop(), 6, "more than 5 redirects"),
    ("rows instead of a grid", Substitute(b'{"success":true,"id":0,"msg":[]}'), 2, "rows instead of a volume"),
    ("no zip", Substitute(b"PK but not really"), 2, "is not a complete zip file"),
    ("too long a body", Substitute(lambda body: bytes(20_000_000)), 1, "the body must be at most"),
]


@pytest.mark.parametrize(
    ("fault", "requests", "message"), [row[1:] for row in LASTING], ids=[name for name, *_ in LASTING]
)
def test_a_lasting_fault_is_an_error_that_names_what_and_where(
    server: SyntheticServer, fault: Fault, requests: int, message: str
) -> None:
    server.fail(VOLUME, fault, times=None)
    with client_of(server) as client:
        with pytest.raises(UpstreamError, match=message) as caught:
            client.volume(FIRST)
        # The other object is unharmed.
        assert client.volume(SECOND).value.kind == "projection_density"
    assert server.requests.count(VOLUME) == requests
    text = str(caught.value)
    assert text.startswith(f"projection_density at 100 um of experiment {FIRST}")
    assert f"{server.url}{VOLUME}?include=density" in text
    assert caught.value.hint
    assert caught.value.exit_code == 6
    if isinstance(fault, CutChunks):
        # The part that came is neither in the store nor in a file of the next run's.
        assert "incomplete ones start over" in caught.value.hint


def test_a_missing_volume_is_recognized_and_requested_once(server: SyntheticServer) -> None:
    server.fail(VOLUME, Status(404), times=None)
    with client_of(server) as client, pytest.raises(NotFoundUpstreamError):
        client.volume(FIRST)
    assert server.requests.total == 1


@pytest.mark.parametrize("fault", [Html(), Failure(), CutJson(0.5)], ids=["web page", "failure", "cut"])
def test_a_list_that_stays_faulty_is_an_upstream_error(server: SyntheticServer, fault: Fault) -> None:
    server.fail(LIST, fault, times=None)
    with client_of(server, attempts=3) as client:
        for ask in (client.structures, client.experiments, lambda: client.unionizes([FIRST])):
            with pytest.raises(UpstreamError, match=r"requested http://.*query\.json.* 3 times"):
                ask()
    assert server.requests.total == 9


def test_a_server_that_hangs_is_given_up(server: SyntheticServer) -> None:
    server.fail(VOLUME, Hang(), times=None)
    with (
        client_of(server, read_timeout_s=0.1, attempts=2) as client,
        pytest.raises(UpstreamError, match="respond in time"),
    ):
        client.volume(FIRST)
    assert server.requests.total == 2


def test_a_body_that_drips_ends_at_the_deadline(server: SyntheticServer) -> None:
    server.fail(VOLUME, Drip(2000), times=None)
    with client_of(server, deadline_s=0.3) as client, pytest.raises(UpstreamError, match=r"incomplete after 0\.3 s"):
        client.volume(FIRST)
    assert server.requests.total == 1


def test_a_refused_connection_is_reported(server: SyntheticServer) -> None:
    server.close()
    with (
        client_of(server, attempts=2) as client,
        pytest.raises(UpstreamError, match="cannot be reached: Connection refused") as caught,
    ):
        client.structures()
    assert "BSV_STORE_API_URL" in str(caught.value)
    assert "requested http://127.0.0.1" in str(caught.value)


def test_giving_up_from_the_byte_counter_ends_the_transfer(server: SyntheticServer) -> None:
    class GiveUpError(Exception):
        pass

    def stop(count: int) -> None:
        if count:
            raise GiveUpError

    with client_of(server) as client, pytest.raises(GiveUpError):
        client.volume(FIRST, on_bytes=stop)
    assert server.requests.total == 1


# -- resuming -----------------------------------------------------------------------------------------------------


def ranges(server: SyntheticServer) -> list[str | None]:
    return [request.headers.get("range") for request in server.requests.all]


def test_a_cut_body_is_continued_where_it_was_cut(server: SyntheticServer) -> None:
    server.fail(VOLUME, Truncate(1000), times=2)
    counted: list[int] = []
    with client_of(server) as client:
        reply = client.volume(FIRST, on_bytes=counted.append)
    np.testing.assert_array_equal(array_of(reply), ATLAS.volume(FIRST))
    assert ranges(server) == [None, "bytes=1000-", "bytes=2000-"]
    # No byte came twice.
    assert sum(counted) == reply.size_bytes
    assert all("if-range" in request.headers for request in server.requests.all[1:])


def test_a_server_that_ignores_ranges_is_read_from_the_start(catalog: Store, server: SyntheticServer) -> None:
    server.fail(VOLUME, Truncate(1000))
    server.fail(VOLUME, IgnoreRange(), times=None)
    catalog.fetch([FIRST], api_url=server.url)
    np.testing.assert_array_equal(catalog.volume(FIRST), ATLAS.volume(FIRST))
    assert ranges(server) == [None, "bytes=1000-"]


@pytest.mark.parametrize("honest", [True, False])
def test_another_part_than_asked_for_is_not_spliced_in(catalog: Store, server: SyntheticServer, honest: bool) -> None:
    server.fail(VOLUME, Truncate(1000))
    server.fail(VOLUME, WrongRange(7, honest=honest))
    catalog.fetch([FIRST], api_url=server.url)
    np.testing.assert_array_equal(catalog.volume(FIRST), ATLAS.volume(FIRST))
    assert ranges(server) == [None, "bytes=1000-", None]


# -- politeness ---------------------------------------------------------------------------------------------------


def test_retry_after_is_waited_for(server: SyntheticServer) -> None:
    server.fail(VOLUME, Status(429, retry_after=30))
    clock = FakeClock()
    with client_of(server, clock=clock) as client:
        client.volume(FIRST)
    assert 30 <= clock.waited < 31
    assert server.requests.total == 2


def test_retry_after_holds_for_every_object_of_the_host(server: SyntheticServer) -> None:
    server.fail(VOLUME, Status(503, retry_after=20), times=None)
    clock = FakeClock()
    with client_of(server, clock=clock, attempts=1) as client:
        with pytest.raises(UpstreamError):
            client.volume(FIRST)
        assert clock.waited == 0
        client.volume(SECOND)
    assert clock.waited >= 20


@pytest.mark.parametrize(("asked", "deadline"), [(3600, 10_000.0), (60, 30.0)])
def test_too_long_a_wait_is_an_error_that_says_how_long(server: SyntheticServer, asked: int, deadline: float) -> None:
    server.fail(VOLUME, Status(503, retry_after=asked), times=None)
    clock = FakeClock()
    with (
        client_of(server, clock=clock, deadline_s=deadline) as client,
        pytest.raises(UpstreamError, match=f"asked to wait {asked} s"),
    ):
        client.volume(FIRST)
    assert server.requests.total == 1
    assert clock.waited == 0


@pytest.mark.parametrize(
    ("header", "seconds"),
    [(None, None), ("7", 7.0), (" 0 ", 0.0), ("soon", None), ("-3", None), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0)],
)
def test_retry_after_is_a_number_or_a_date(header: str | None, seconds: float | None) -> None:
    assert retry_after_s(header) == seconds


def test_no_more_requests_run_at_a_time_than_allowed(server: SyntheticServer) -> None:
    opened = threading.Event()
    server.fail(LIST, Gate(opened), times=None)
    with client_of(server, connections=2) as client:
        threads = [threading.Thread(target=client.unionizes, args=([FIRST],)) for _ in range(6)]
        for thread in threads:
            thread.start()
        opened.set()
        for thread in threads:
            thread.join()
    assert server.requests.total == 6
    assert server.requests.peak <= 2


def test_a_closed_client_opens_new_connections_if_it_is_asked_again(server: SyntheticServer) -> None:
    client = client_of(server)
    client.structures()
    client.close()
    client.structures()
    client.close()
    assert server.requests.total == 2


def test_retries_are_quiet_if_logging_is_not_configured(
    server: SyntheticServer, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # As outside of pytest, which installs handlers of its own.
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    server.fail(VOLUME, Status(503))
    with client_of(server) as client:
        client.volume(FIRST)
    assert server.requests.total == 2
    assert capfd.readouterr() == ("", "")


def test_a_transfer_that_hangs_can_be_cut_from_another_thread(server: SyntheticServer) -> None:
    class GiveUpError(Exception):
        pass

    stopped = threading.Event()
    errors: list[Exception] = []

    def on_bytes(_: int) -> None:
        if stopped.is_set():
            raise GiveUpError

    def fetch() -> None:
        try:
            client.volume(FIRST, on_bytes=on_bytes)
        except GiveUpError as error:
            errors.append(error)

    server.fail(VOLUME, Hang(), times=None)
    with client_of(server, read_timeout_s=600, deadline_s=6000) as client:
        thread = threading.Thread(target=fetch)
        thread.start()
        while server.requests.total == 0:
            assert thread.is_alive()
        stopped.set()
        client.abort()
        thread.join(30)
        assert not thread.is_alive()
    assert len(errors) == 1
