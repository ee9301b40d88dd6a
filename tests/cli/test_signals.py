"""SIGTERM and SIGHUP end a command as Ctrl-C does: workers stop, and claims and temporary files are removed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bsv_store_synthetic import SyntheticServer, wire_volumes
from bsv_store_synthetic.faults import Hang
from tests.cli.conftest import ATLAS
from tests.cli.interrupted import command, serve
from tests.cli.running import Runner, child_environment
from tests.databases import both_databases, sqlite_first
from tests.processes import Child

if TYPE_CHECKING:
    from bsv_store import Store

pytestmark = both_databases

# The first line ends that of a terminal on which Ctrl-C was pressed.
WORDS = "\nTerminated. Finished work is stored, and the next run continues from there.\n"
END_S = 30


@pytest.fixture
def catalog(store: Store, server: SyntheticServer) -> Store:
    """A store with the catalog of the synthetic atlas; the server's request log starts empty."""
    store.sync_structures(api_url=server.url)
    store.sync_experiments(api_url=server.url)
    server.requests.clear()
    return store


@pytest.fixture
def children() -> Iterator[list[Child]]:
    """Processes that are killed at the end of the test, if they still run."""
    started: list[Child] = []
    yield started
    for child in started:
        with child:
            child.kill()


def check_clean(store: Store) -> None:
    assert not len(store.admin.claims())
    assert list((store.path / "tmp").iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_fetch_ends_and_leaves_nothing(
    catalog: Store, server: SyntheticServer, children: list[Child], number: signal.Signals
) -> None:
    first = ATLAS.experiment_ids[0]
    server.fail(lambda request: f"download/{first}" not in request.path, Hang(), times=None)
    child = Child(command, ("--store", catalog.path, "fetch", "--all"), {})
    children.append(child)
    assert server.requests.wait_for(3, seconds=60)
    child.send_signal(number)
    _, errors = child.communicate(timeout=END_S)
    assert child.returncode == 128 + number
    assert errors == (WORDS if number != signal.SIGINT else WORDS.replace("Terminated", "Interrupted"))
    check_clean(catalog)


@sqlite_first
def test_a_sync_ends_and_leaves_nothing(catalog: Store, server: SyntheticServer, children: list[Child]) -> None:
    server.fail("Unionize", Hang(), times=None)
    child = Child(command, ("--store", catalog.path, "sync", "unionizes", "--all"), {})
    children.append(child)
    assert server.requests.wait_for(1, seconds=60)
    assert len(catalog.admin.claims())
    child.send_signal(signal.SIGTERM)
    _, errors = child.communicate(timeout=END_S)
    assert (child.returncode, errors) == (143, WORDS)
    check_clean(catalog)


@sqlite_first
@pytest.mark.parametrize("point", ["spool:block@2", "fetch:downloaded", "publish:written"])
def test_a_fetch_with_temporary_files_ends_and_leaves_nothing(
    catalog: Store, children: list[Child], point: str
) -> None:
    # A worker thread is at the checkpoint, and goes on until it notices.
    variables = {"BSV_STORE_KILL_WITH": "SIGTERM", "TEST_LARGE": "1"}
    arguments = ("--store", catalog.path, "fetch", "--all", "--kind", "injection-density")
    child = Child(command, arguments, variables, kill_at=point)
    children.append(child)
    _, errors = child.communicate(timeout=60)
    assert (child.returncode, errors) == (143, WORDS)
    check_clean(catalog)


@sqlite_first
@pytest.mark.parametrize("point", ["publish:written", "atlas-file:published"])
def test_an_ingest_ends_and_leaves_nothing(catalog: Store, children: list[Child], tmp_path: Path, point: str) -> None:
    file = tmp_path / "annotation_100.nrrd"
    file.write_bytes(wire_volumes.annotation_nrrd(100))
    arguments = ("--store", catalog.path, "ingest", "annotation", file)
    child = Child(command, arguments, {"BSV_STORE_KILL_WITH": "SIGTERM"}, kill_at=point)
    children.append(child)
    output, errors = child.communicate(timeout=60)
    assert (child.returncode, output, errors) == (143, "", WORDS)
    check_clean(catalog)
    assert not len(catalog.sql("SELECT spacing_um FROM annotation"))


# -- worker processes ----------------------------------------------------------------------------------------------


@pytest.fixture
def held(tmp_path: Path) -> Path:
    """A folder in which each process that is held up makes a file named by its id."""
    folder = tmp_path / "held"
    folder.mkdir()
    return folder


def wait_for_files(folder: Path, count: int) -> list[int]:
    for _ in range(1200):
        found = [int(path.name) for path in folder.iterdir()]
        if len(found) >= count:
            return found
        time.sleep(0.05)
    raise AssertionError(f"only {found}")


def wait_until_gone(processes: list[int]) -> None:
    for _ in range(400):
        if not any(Path(f"/proc/{each}").exists() for each in processes):
            return
        time.sleep(0.05)
    raise AssertionError(f"of {processes} some still run")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no /proc on this system")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@sqlite_first
def test_the_workers_of_an_average_end_with_it(
    own_filled: Path, held: Path, number: signal.Signals, children: list[Child], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each worker is a new process, in the middle of a pass of ten minutes."""
    monkeypatch.setenv("TEST_HELD", str(held))
    arguments = ("aggregate", "--injected-in", "VISp", "--group-by", "AP", "--name", "test", "--workers", "2")
    child = Child(serve, ("--store", own_filled, *arguments))
    children.append(child)
    workers = wait_for_files(held, 2)
    child.send_signal(number)
    _, errors = child.communicate(timeout=END_S)
    if number == signal.SIGTERM:
        assert (child.returncode, errors) == (143, WORDS)
        assert list((own_filled / "tmp").iterdir()) == []
    else:
        assert child.returncode == -signal.SIGKILL
    assert child.pid not in workers
    wait_until_gone(workers)


def test_a_second_signal_ends_the_process_at_once(
    catalog: Store, server: SyntheticServer, children: list[Child], held: Path
) -> None:
    """The first one has made it clean up, which hangs."""
    server.fail(lambda request: "download" in request.path, Hang(), times=None)
    child = Child(command, ("--store", catalog.path, "fetch", "--all"), {"TEST_HELD": str(held)})
    children.append(child)
    assert server.requests.wait_for(2, seconds=60)
    child.send_signal(signal.SIGTERM)
    wait_for_files(held, 1)
    # A terminal that is closed sends several.
    child.send_signal(signal.SIGHUP)
    child.send_signal(signal.SIGTERM)
    child.communicate(timeout=END_S)
    assert child.returncode == -signal.SIGTERM
    # What it left does not block the next run.
    assert set(catalog.admin.claims()["state"]) == {"ended"}
    server.faults.clear()
    assert catalog.fetch(ATLAS.experiment_ids[:2], api_url=server.url).fetched == ATLAS.experiment_ids[:2]


@sqlite_first
def test_signals_are_as_before_after_a_command(run: Runner, filled: Path) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    run("status", store=filled).succeeded()
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before


@sqlite_first
def test_an_ignored_signal_stays_ignored(catalog: Store, server: SyntheticServer) -> None:
    """As under nohup."""
    server.fail("Unionize", Hang(), times=None)
    with subprocess.Popen(
        [
            "nohup",
            sys.executable,
            "-m",
            "bsv_store_cli.main",
            "--store",
            str(catalog.path),
            "sync",
            "unionizes",
            "--all",
        ],
        env=child_environment(BSV_STORE_API_URL=os.environ["BSV_STORE_API_URL"]),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert server.requests.wait_for(1, seconds=60)
            process.send_signal(signal.SIGHUP)
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=END_S)
        finally:
            process.kill()
    assert (process.returncode, errors.endswith(WORDS)) == (143, True)
