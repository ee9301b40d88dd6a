"""Many processes that want the same objects download each of them once."""

from __future__ import annotations

import fcntl
import signal
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest

from bsv_store.acquisition.work.claims import Claims
from bsv_store.server.allen.messages import Request
from bsv_store_synthetic import SyntheticAtlas, SyntheticServer
from bsv_store_synthetic.faults import Gate, Hang, Status
from tests.acquisition.stored import count, reports_of_failure
from tests.databases import both_databases, sqlite_first
from tests.processes import Child

if TYPE_CHECKING:
    from bsv_store import Store

pytestmark = both_databases


Launch = Callable[..., Child]


class Asked:
    """Matches every download, and lets a test wait for a number of requests."""

    def __init__(self) -> None:
        self._count = 0
        self._changed = threading.Condition()

    def __call__(self, request: Request) -> bool:
        if "download" not in request.path:
            return False
        with self._changed:
            self._count += 1
            self._changed.notify_all()
        return True

    def wait_for(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self._count >= count, 60)


def finished(processes: list[Child], *, timeout_s: float) -> None:
    outcomes = [(process.communicate(timeout=timeout_s)[1], process.returncode) for process in processes]
    assert outcomes == [("", 0)] * len(processes)


def test_each_table_is_downloaded_once(store: Store, launch: Launch) -> None:
    processes, experiments = 3, 6
    atlas = SyntheticAtlas(experiments=experiments)
    with SyntheticServer(atlas) as server:
        store.sync_structures(api_url=server.url)
        store.sync_experiments(api_url=server.url)
        server.requests.clear()
        started = [launch("sync", store.path, server.url, atlas.experiment_ids) for _ in range(processes)]
        finished(started, timeout_s=300)
        asked = [request.target for request in server.requests.all]
        assert all("Unionize" in target for target in asked)
        assert len(set(asked)) == len(asked)
        assert server.errors == []


def test_an_object_that_another_process_downloads_is_waited_for_and_used(
    catalog: Store, atlas: SyntheticAtlas, server: SyntheticServer, launch: Launch
) -> None:
    """One fetch holds the claim behind a closed gate; the other one waits, and asks for nothing."""
    first = atlas.experiment_ids[0]
    opened = threading.Event()
    asked = Asked()
    server.fail(asked, Gate(opened), times=None)
    process = launch("fetch", catalog.path, server.url, [first])
    asked.wait_for(1)
    other = launch("fetch", catalog.path, server.url, [first])
    opened.set()
    finished([process, other], timeout_s=60)
    assert server.requests.total == 1


def test_an_object_that_another_process_fails_to_download_is_tried(
    catalog: Store, atlas: SyntheticAtlas, server: SyntheticServer
) -> None:
    first = atlas.experiment_ids[0]
    claims = Claims(catalog.database)
    with catalog.database.writing() as connection:
        assert claims.take(connection, [f"volume/projection_density/100/{first}"])
    waiting = threading.Event()
    reports = []

    class Waiting:
        def start(self, total: int, what: str) -> None:
            waiting.set()

        def advance(self, count: int = 1, *, size_bytes: int = 0) -> None:
            pass

        def finish(self) -> None:
            pass

    def fetch() -> None:
        reports.append(catalog.fetch([first], progress=Waiting(), api_url=server.url))

    thread = threading.Thread(target=fetch)
    thread.start()
    waiting.wait(10)
    assert server.requests.total == 0
    # The holder gives up.
    claims.release_all()
    thread.join()
    assert reports[0].fetched == (first,)


def test_without_claims_every_byte_is_still_correct(
    catalog: Store, atlas: SyntheticAtlas, server: SyntheticServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Claims save work; whole files and the database's constraints carry the correctness. No file is locked at all."""
    locked: list[object] = []
    for name in ("flock", "lockf"):
        monkeypatch.setattr(fcntl, name, lambda *arguments: locked.append(arguments))
    monkeypatch.setattr(Claims, "take", lambda self, connection, keys: set(keys))
    monkeypatch.setattr(Claims, "confirmed", lambda self, connection, keys: set(keys))
    reports, errors = [], []

    def fetch() -> None:
        try:
            reports.append(catalog.fetch(atlas.experiment_ids, api_url=server.url))
        except Exception as error:  # noqa: BLE001 - it must reach the test, not the thread's end
            errors.append(error)

    threads = [threading.Thread(target=fetch) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(reports) == 3
    assert locked == []
    for i in atlas.experiment_ids:
        np.testing.assert_array_equal(catalog.volume(i), atlas.volume(i))


@sqlite_first
def test_a_failure_does_not_hold_others_up(catalog: Store, atlas: SyntheticAtlas, server: SyntheticServer) -> None:
    first = atlas.experiment_ids[0]
    server.fail(f"download/{first}", Status(404))
    (report,) = reports_of_failure(lambda: catalog.fetch([first], api_url=server.url))
    assert report.failed
    assert catalog.fetch([first], api_url=server.url).fetched == (first,)


@sqlite_first
def test_an_interrupt_does_not_wait_for_a_server_that_hangs(
    catalog: Store, atlas: SyntheticAtlas, server: SyntheticServer, launch: Launch
) -> None:
    asked = Asked()
    server.fail(asked, Hang(), times=None)
    process = launch("fetch", catalog.path, server.url, atlas.experiment_ids)
    asked.wait_for(2)
    process.send_signal(signal.SIGINT)
    # The client would wait for an answer for a minute.
    _, errors = process.communicate(timeout=40)
    assert "KeyboardInterrupt" in errors
    assert count(catalog, "claim") == 0
    server.faults.clear()
    report = catalog.fetch(atlas.experiment_ids, api_url=server.url)
    assert report.fetched == atlas.experiment_ids


def test_what_was_brought_between_looking_and_claiming_is_used(
    catalog: Store, atlas: SyntheticAtlas, server: SyntheticServer
) -> None:
    first = atlas.experiment_ids[0]

    class Overtaking:
        """Another run does all the work just when this one has found that the volume is missing."""

        def start(self, total: int, what: str) -> None:
            catalog.fetch([first], api_url=server.url)

        def advance(self, count: int = 1, *, size_bytes: int = 0) -> None:
            pass

        def finish(self) -> None:
            pass

    report = catalog.fetch([first], progress=Overtaking(), api_url=server.url)
    assert report.present == (first,)
    assert server.requests.total == 1
