"""Each way in which a transfer fails: the reason, the number of requests, what is stored, and the next attempt."""

from __future__ import annotations

import io
import logging
import threading
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING

import numpy as np
import pytest

from bsv_store.errors import UpstreamError
from bsv_store.progress import NoProgress
from bsv_store.sources.allen.gate import Clock
from bsv_store_synthetic import SyntheticServer
from bsv_store_synthetic.faults import (
    CutChunks,
    CutJson,
    EndlessRedirect,
    Failure,
    Fault,
    Html,
    Redirect,
    RedirectLoop,
    Status,
    Substitute,
    Truncate,
    WrongLength,
)
from tests.acquisition.conftest import Recorder
from tests.acquisition.stored import count, reason_of_failure
from tests.catalogs import ATLAS

if TYPE_CHECKING:
    from bsv_store import Store

FIRST, SECOND = ATLAS.experiment_ids[:2]
VOLUME = f"/grid_data/download/{FIRST}"
LIST = "/query.json"

PASSING: dict[str, dict[str, Fault]] = {
    "status and body": {
        "503": Status(503),
        "500": Status(500),
        "429": Status(429),
        "cut body": Truncate(1000),
        "empty body": Truncate(0),
    },
    "reply": {
        "cut chunks": CutChunks(1000),
        "web page": Html(),
        "reported failure": Failure(),
        "too short a length": WrongLength(-100),
        "whole to HTTP, cut all the same": CutJson(0.5),
    },
}


@pytest.mark.parametrize("faults", PASSING.values(), ids=PASSING)
def test_a_passing_fault_is_survived_by_asking_once_more(
    catalog: Store, server: SyntheticServer, faults: dict[str, Fault]
) -> None:
    served = dict(zip(ATLAS.experiment_ids, faults, strict=False))
    for i, name in served.items():
        server.fail(f"download/{i}?", faults[name])
        server.fail(f"in{i}]", faults[name])
    assert catalog.fetch(list(served), api_url=server.url).fetched == tuple(served)
    for i, name in served.items():
        assert catalog.sync_unionizes([i], api_url=server.url).fetched == (i,), name
        np.testing.assert_array_equal(catalog.volume(i), ATLAS.volume(i))
        assert server.requests.count(f"download/{i}?") == 2, name
        assert server.requests.count(f"in{i}]") == 2, name
    assert count(catalog, "unionize") == sum(len(ATLAS.unionize(i)) for i in served)


def with_voxel(value: float) -> Substitute:
    """The zip with another value of one voxel."""

    def spoil(body: bytes) -> bytes:
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        voxels = np.frombuffer(members["density.raw"], "<f4").copy()
        voxels[1000] = value
        members["density.raw"] = voxels.tobytes()
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            for name, data in members.items():
                archive.writestr(zipfile.ZipInfo(name), data)
        return packed.getvalue()

    return Substitute(spoil)


# The fault, the number of requests, and a part of the reason.
LASTING: dict[str, dict[str, tuple[Fault, int, str]]] = {
    "status": {
        "404": (Status(404), 1, "the server responded with 404"),
        "400": (Status(400), 1, "the server responded with 400"),
        "403": (Status(403), 1, "the server responded with 403"),
        "500": (Status(500), 4, "the server responded with 500"),
        "503": (Status(503), 4, "the server responded with 503"),
    },
    "reply": {
        "429": (Status(429), 4, "the server responded with 429"),
        "cut chunks": (CutChunks(1000), 4, "the connection failed"),
        "web page": (Html(), 4, "the server sent a web page"),
        "reported failure": (Failure("no such grid"), 4, "the Allen API reports failure: 'no such grid'"),
        "too long a length": (WrongLength(100), 4, "the connection failed"),
    },
    "body": {
        "rows instead of a grid": (Substitute(b'{"success":true,"id":0,"msg":[]}'), 2, "rows instead of a volume"),
        "no zip": (Substitute(b"PK but not really"), 2, "is not a complete zip file"),
        "zeros": (Substitute(b"\x00" * 1000), 2, "is not a complete zip file"),
        "cut zip": (CutJson(0.5), 2, "is not a complete zip file"),
        "too long": (Substitute(lambda body: bytes(20_000_000)), 1, "the body must be at most"),
    },
    "voxel": {
        str(value): (with_voxel(value), 2, "the same bytes were received twice")
        for value in (np.nan, np.inf, -0.5, 1.5)
    },
    "redirect": {
        "loop": (RedirectLoop(), 6, "more than 5 redirects"),
        "without end": (EndlessRedirect(), 6, "more than 5 redirects"),
        "to no address": (Redirect("http://[::1"), 1, "which is not a valid address"),
        "elsewhere": (Redirect("http://localhost:1/"), 1, "redirected to another host, http://localhost:1"),
    },
}


@pytest.mark.parametrize("faults", LASTING.values(), ids=LASTING)
def test_a_lasting_fault_is_reported_stores_nothing_and_harms_no_other(
    catalog: Store, server: SyntheticServer, faults: dict[str, tuple[Fault, int, str]]
) -> None:
    *ids, good = ATLAS.experiment_ids
    served = dict(zip(ids, faults, strict=False))
    for i, name in served.items():
        server.fail(f"download/{i}?", faults[name][0], times=None)
    recorder = Recorder()
    report = catalog.fetch([*served, good], progress=recorder, api_url=server.url)
    assert report.fetched == (good,)
    assert {failure.experiment_id for failure in report.failed} == set(served)
    for failure in report.failed:
        i = failure.experiment_id
        _, requests, reason = faults[served[i]]
        assert reason in failure.reason
        assert failure.reason.startswith(f"projection_density at 100 um of experiment {i}"), failure.reason
        assert f"{server.url}/grid_data/download/{i}?include=density" in failure.reason
        assert server.requests.counts[f"/grid_data/download/{i}"] == requests, failure.reason
    assert recorder.done == recorder.total == len(served) + 1
    assert (count(catalog, "volume"), count(catalog, "claim")) == (1, 0)
    assert len([path for path in (catalog.path / "volumes").rglob("*") if path.is_file()]) == 1
    assert [path for folder in ("tmp", "trash") for path in (catalog.path / folder).glob("*")] == []
    server.faults.clear()
    assert catalog.fetch(ids, api_url=server.url).fetched == tuple(ids)


@pytest.mark.parametrize(
    "fault",
    [Status(500), Html(), Failure(), CutJson(0.5), Truncate(100), CutChunks(100)],
    ids=["500", "web page", "failure", "cut", "cut body", "cut chunks"],
)
def test_a_list_that_stays_faulty_is_an_error_that_says_where_and_stores_nothing(
    catalog: Store, server: SyntheticServer, fault: Fault
) -> None:
    server.fail(LIST, fault, times=None)
    for sync in (catalog.sync_structures, catalog.sync_experiments):
        with pytest.raises(UpstreamError, match=r"requested http://.*query\.json.* 4 times") as caught:
            sync(api_url=server.url)
        assert caught.value.exit_code == 6
        # The part that came is neither in the store nor in a file for the next run.
        assert "incomplete ones start over" in str(caught.value.hint)
    assert "4 times" in reason_of_failure(lambda: catalog.sync_unionizes([FIRST], api_url=server.url))
    assert server.requests.total == 12
    # Those of the lists that the store has already.
    assert (count(catalog, "source_snapshot"), count(catalog, "unionize")) == (2, 0)


def test_an_error_of_the_progress_ends_the_transfer(catalog: Store, server: SyntheticServer) -> None:
    class GiveUpError(Exception):
        pass

    class Stopping(NoProgress):
        def advance(self, count: int = 1, *, size_bytes: int = 0) -> None:
            if size_bytes:
                raise GiveUpError

    with pytest.raises(GiveUpError):
        catalog.fetch([FIRST], progress=Stopping(), api_url=server.url)
    assert server.requests.total == 1
    assert (count(catalog, "volume"), count(catalog, "claim")) == (0, 0)


def test_retries_are_quiet_if_logging_is_not_configured(
    catalog: Store, server: SyntheticServer, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # As outside of pytest, which installs handlers of its own.
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    server.fail(LIST, Status(503))
    catalog.sync_experiments(api_url=server.url)
    assert server.requests.total == 2
    assert capfd.readouterr() == ("", "")


# -- politeness ---------------------------------------------------------------------------------------------------


class FakeClock(Clock):
    """A clock that jumps instead of waiting; other threads can take the condition meanwhile."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.waited = 0.0

    def now(self) -> float:
        return self.time

    def wait(self, condition: threading.Condition, seconds: float) -> None:
        condition.wait(0.001)
        self.time += seconds
        self.waited += seconds


@pytest.fixture
def clock(patience: Callable[..., None]) -> FakeClock:
    """The clock of all clients that a store opens."""
    fake = FakeClock()
    patience(clock=fake)
    return fake


def test_retry_after_is_waited_for_if_it_is_a_number_or_a_date(
    catalog: Store, server: SyntheticServer, clock: FakeClock
) -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    headers: list[tuple[int | str | None, range]] = [
        (30, range(30, 31)),
        (" 7 ", range(7, 8)),
        (0, range(1)),
        (soon, range(40, 61)),
        ("Wed, 21 Oct 2015 07:28:00 GMT", range(1)),
        ("soon", range(1)),
        ("-3", range(1)),
        (None, range(1)),
    ]
    for header, expected in headers:
        server.requests.clear()
        clock.waited = 0
        server.fail(LIST, Status(429, retry_after=header))
        catalog.sync_experiments(api_url=server.url)
        assert int(clock.waited) in expected, header
        assert server.requests.total == 2


def test_retry_after_holds_for_every_object_of_the_host(
    catalog: Store, server: SyntheticServer, clock: FakeClock, patience: Callable[..., None]
) -> None:
    patience(attempts=1)
    server.fail(VOLUME, Status(503, retry_after=20), times=None)
    report = catalog.fetch([FIRST, SECOND], workers=1, api_url=server.url)
    assert ([failure.experiment_id for failure in report.failed], report.fetched) == ([FIRST], (SECOND,))
    assert clock.waited >= 20


@pytest.mark.parametrize(("asked", "deadline"), [(3600, 10_000.0), (60, 30.0)])
def test_too_long_a_wait_is_an_error_that_says_how_long(
    catalog: Store,
    server: SyntheticServer,
    clock: FakeClock,
    patience: Callable[..., None],
    asked: int,
    deadline: float,
) -> None:
    patience(deadline_s=deadline)
    server.fail(LIST, Status(503, retry_after=asked), times=None)
    with pytest.raises(UpstreamError, match=f"asked to wait {asked} s"):
        catalog.sync_experiments(api_url=server.url)
    assert server.requests.total == 1
    assert clock.waited == 0
