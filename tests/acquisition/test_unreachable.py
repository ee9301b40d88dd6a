"""Runs that stop early: the server cannot be reached, or the caller needs everything and one download failed."""

from __future__ import annotations

import concurrent.futures
import socket
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bsv_store.acquisition.work.claims import Claims
from bsv_store.acquisition.work.sharing import SharedWork
from bsv_store.acquisition.work.task import CommitResult, RunControl, Task
from bsv_store.errors import UnreachableUpstreamError, UpstreamError
from bsv_store_synthetic import SyntheticAtlas, SyntheticServer
from bsv_store_synthetic.faults import Status
from bsv_store_synthetic.routes import ReplyCache
from tests.catalogs import fill_catalog
from tests.cli.running import Runner
from tests.client_defaults import client_defaults
from tests.servers import free_port
from tests.stores import store_with

from .stored import count, reports_of_failure

if TYPE_CHECKING:
    from bsv_store import Store

# Three batches of unionize tables, the last failure of which stops a run.
MANY = SyntheticAtlas(experiments=24)
N = len(MANY.experiment_ids)
REPLIES = ReplyCache()


@pytest.fixture
def nowhere() -> str:
    """The address of a port at which nothing listens."""
    return f"http://127.0.0.1:{free_port()}"


def fill_many(store: Store) -> None:
    fill_catalog(store, MANY)


many = store_with(fill_many)
"""A store with the experiments of the larger atlas."""


def reason_of(url: str, words: str = "Connection refused") -> str:
    return f"{url.removeprefix('http://')} cannot be reached: {words}"


def test_a_host_that_refuses_connections_stops_the_run(many: Store, nowhere: str) -> None:
    (report,) = reports_of_failure(lambda: many.fetch(MANY.experiment_ids, api_url=nowhere))
    assert report.failed == ()
    assert report.not_attempted == MANY.experiment_ids
    assert report.stopped == reason_of(nowhere)
    assert report.reasons.keys() == set(MANY.experiment_ids)
    assert report.summary().endswith(f", 0 failed, {N} not attempted: {reason_of(nowhere)}.")
    assert count(many, "claim") == 0


class Failing(Task[int]):
    """A task whose downloads all fail at once."""

    what = subject = "nothing"
    action = "fetched"
    host = "nowhere"
    connections = 1
    max_connections = 1

    def __init__(self, error: UpstreamError) -> None:
        self.error = error
        self.asked: list[int] = []

    def key(self, experiment_id: int) -> str:
        return f"nothing/{experiment_id}"

    def present(self, ids: Collection[int]) -> set[int]:
        return set()

    def download(self, ids: Sequence[int], control: RunControl) -> int:
        self.asked.extend(ids)
        raise self.error

    def commit(self, downloads: Sequence[int], ids: Sequence[int], claims: Claims) -> CommitResult:
        raise AssertionError("nothing was downloaded")

    def abort(self) -> None: ...


@pytest.mark.parametrize(
    ("error", "stop_at_failure", "asked"),
    [
        (UnreachableUpstreamError("x cannot be reached", reason="x cannot be reached"), False, [1, 2, 3]),
        (UpstreamError("the body is longer than 5 bytes"), True, [1]),
    ],
)
def test_a_worker_that_is_ahead_of_its_run_begins_no_download_after_the_stop(
    many: Store, error: UpstreamError, stop_at_failure: bool, asked: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run takes notice of failures only when the worker is through with all objects in its queue."""

    def all_done(futures: Any, *, timeout: float, **_: Any) -> Any:
        return concurrent.futures.wait(futures, timeout)

    monkeypatch.setattr("bsv_store.acquisition.work.sharing.wait", all_done)
    task = Failing(error)
    outcome = SharedWork(many.database, task, workers=1, stop_at_failure=stop_at_failure).run(range(1, 21))
    assert task.asked == asked
    assert outcome.stopped is not None
    assert len(outcome.failed) + len(outcome.not_attempted) == 20
    assert count(many, "claim") == 0


def test_unionize_tables_stop_too(many: Store, nowhere: str) -> None:
    (report,) = reports_of_failure(lambda: many.sync_unionizes(api_url=nowhere))
    assert report.stopped == reason_of(nowhere)
    assert report.not_attempted == MANY.experiment_ids
    # One batch is too few to stop the run; its experiments are counted all the same.
    (report,) = reports_of_failure(lambda: many.sync_unionizes(MANY.experiment_ids[:2], api_url=nowhere))
    assert (report.failed, report.not_attempted) == ((), MANY.experiment_ids[:2])
    assert count(many, "claim") == 0


@pytest.mark.parametrize("words", ["the name could not be resolved", "the connection timed out"])
def test_names_and_timeouts_stop_the_run_too(many: Store, monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    def fail(*_: Any, **__: Any) -> None:
        if "resolved" in words:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        raise TimeoutError("timed out")

    step = "socket.getaddrinfo" if "resolved" in words else "create_connection"
    monkeypatch.setattr(f"urllib3.util.connection.{step}", fail)
    (report,) = reports_of_failure(lambda: many.fetch(MANY.experiment_ids, api_url="http://localhost:9"))
    assert report.stopped == reason_of("localhost:9", words)
    assert report.not_attempted == MANY.experiment_ids


def test_the_command_line_says_it_once_within_seconds(
    many: Store, nowhere: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # As long as for users.
    monkeypatch.setitem(client_defaults(), "backoff_s", 1.0)
    run = Runner(capsys, monkeypatch)
    started = time.monotonic()
    for command in (["fetch", "--all", "--unionizes"], ["aggregate", "--all", "--fetch", "--name", "x"]):
        outcome = run(*command, "--api-url", nowhere, store=many.path).refused(6, reason_of(nowhere))
        assert "host=" not in outcome.err + outcome.out
        # One line for the tables, one for the volumes.
        assert (outcome.err + outcome.out).count(reason_of(nowhere)) <= 2
        assert max(map(len, (outcome.err + outcome.out).splitlines())) < 200
    assert time.monotonic() - started < 15
    outcome = run("fetch", "--all", "--format", "csv", "--api-url", nowhere, store=many.path)
    assert [row["outcome"] for row in outcome.rows] == ["not attempted"] * N
    assert {row["reason"] for row in outcome.rows} == {reason_of(nowhere)}


def test_a_host_that_comes_back_is_used_by_the_next_run(many: Store, nowhere: str) -> None:
    reports_of_failure(lambda: many.fetch(MANY.experiment_ids, api_url=nowhere))
    with SyntheticServer(MANY, cache=REPLIES) as server:
        report = many.fetch(MANY.experiment_ids[:4], api_url=server.url)
    assert report.fetched == MANY.experiment_ids[:4]
    assert (report.not_attempted, report.stopped) == ((), None)


def test_a_server_that_goes_away_stops_a_run_that_had_begun(many: Store) -> None:
    with SyntheticServer(MANY, cache=REPLIES) as server:

        class Closing:
            def start(self, total: int, what: str) -> None: ...

            def advance(self, count: int = 1, *, size_bytes: int = 0) -> None:
                if count:
                    server.close()

            def finish(self) -> None: ...

        report = many.fetch(MANY.experiment_ids, workers=1, api_url=server.url, progress=Closing())
    assert report.fetched
    assert report.stopped == reason_of(server.url)
    assert len(report.fetched) + len(report.failed) + len(report.not_attempted) == N
    assert len(report.not_attempted) > N // 2


# -- one failure where everything is needed -----------------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 12])
def test_an_unreachable_host_is_the_reason_where_all_are_needed_too(many: Store, nowhere: str, count: int) -> None:
    """With one batch of tables, and with several, of which the first stops the run."""
    wanted = MANY.experiment_ids[:count]
    tables, volumes = reports_of_failure(lambda: many.fetch_inputs(wanted, missing="error", api_url=nowhere))
    assert (tables.stopped, tables.failed, tables.not_attempted) == (reason_of(nowhere), (), wanted)
    assert (volumes.stopped, volumes.not_attempted) == (f"{count} earlier downloads failed", wanted)


def test_inputs_of_an_average_that_has_become_impossible_are_not_fetched(many: Store) -> None:
    bad = MANY.experiment_ids[1]
    with SyntheticServer(MANY, cache=REPLIES) as server:
        server.fail(f"grid_data/download/{bad}", Status(404), times=None)
        tables, volumes = many.fetch_inputs(MANY.experiment_ids, missing="error", workers=1, api_url=server.url)
        assert tables.reasons == {}
        assert [failure.experiment_id for failure in volumes.failed] == [bad]
        assert len(volumes.not_attempted) > N // 2
        assert volumes.stopped == "one download failed, and all are required"
        # By default everything else is fetched.
        _, volumes = many.fetch_inputs(MANY.experiment_ids[:4], api_url=server.url)
        assert volumes.reasons.keys() == {bad}
        assert len(volumes.fetched) + len(volumes.present) == 3


def test_no_volume_is_fetched_if_a_table_failed_and_all_are_needed(many: Store) -> None:
    with SyntheticServer(MANY, cache=REPLIES) as server:
        server.fail("ProjectionStructureUnionize", Status(400), times=None)
        tables, volumes = reports_of_failure(
            lambda: many.fetch_inputs(MANY.experiment_ids, missing="error", api_url=server.url)
        )
        assert server.requests.count("grid_data") == 0
    assert len(tables.reasons) == N
    assert volumes.not_attempted == MANY.experiment_ids
    assert volumes.stopped == f"{N} earlier downloads failed"
    assert count(many, "claim") == 0


def test_aggregate_with_fetch_stops_and_names_the_cause(
    many: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Runner(capsys, monkeypatch)
    bad = MANY.experiment_ids[0]
    with SyntheticServer(MANY, cache=REPLIES) as server:
        server.fail(f"grid_data/download/{bad}", Status(404), times=None)
        command = ["aggregate", "--all", "--fetch", "--name", "x", "--api-url", server.url]
        run(*command, store=many.path).refused(6, f"Experiment {bad}:", "nothing was averaged")
        assert server.requests.count("grid_data") < N
        run(*command, "--missing", "leave-out", store=many.path).succeeded()
        assert server.requests.counts[f"/grid_data/download/{MANY.experiment_ids[-1]}"] == 1


# -- arguments ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, -1, 1.5, "2", True])
def test_the_number_of_workers_is_checked_by_one_rule_whether_or_not_there_is_work(
    filled: Store, workers: Any, tmp_path: Path
) -> None:
    selection = [1, 2]
    filled.aggregate(selection, name="cached")
    calls = {
        "fetch": lambda: filled.fetch(selection, offline=True, workers=workers),
        "plan_fetch": lambda: filled.plan_fetch(selection, workers=workers),
        "fetch_inputs": lambda: filled.fetch_inputs(selection, offline=True, workers=workers),
        "aggregate": lambda: filled.aggregate(selection, name="cached", workers=workers),
        "rebuild": lambda: filled.datasets.rebuild("cached", workers=workers),
    }
    for name, call in calls.items():
        with pytest.raises(ValueError, match="workers must be a positive integer, got"):
            pytest.fail(f"{name}: {call()}")


def test_more_workers_than_connections_are_planned_as_many_as_there_are(many: Store) -> None:
    plans = [many.plan_fetch(MANY.experiment_ids, spacing_um=25, workers=workers) for workers in (16, 17, 10**9)]
    assert {(plan.workers, plan.scratch_bytes) for plan in plans} == {(16, 16 * plans[0].scratch_bytes_each)}


def test_ids_given_twice_are_fetched_once_and_unknown_ones_are_named(
    catalog: Store, atlas: SyntheticAtlas, server: SyntheticServer
) -> None:
    first, second = atlas.experiment_ids[:2]
    assert catalog.fetch([second, first, second, first], api_url=server.url).fetched == (first, second)
    assert catalog.sync_unionizes([first, first], api_url=server.url).fetched == (first,)
    assert server.requests.count("grid_data") == 2
    assert server.requests.count("Unionize") == 1
    server.requests.clear()
    for download in (catalog.fetch, catalog.sync_unionizes, catalog.fetch_inputs):
        with pytest.raises(ValueError, match="7"):
            download([first, 7], api_url=server.url)
    assert server.requests.total == 0
