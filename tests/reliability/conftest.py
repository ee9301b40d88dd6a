"""Servers of a synthetic atlas, a process whose file operations are observed, and stores of jobs that are killed."""

from __future__ import annotations

import contextlib
import functools
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from bsv_store import open_store
from bsv_store_synthetic import SyntheticServer
from tests.reliability import disk
from tests.reliability.jobs import Place, averaged
from tests.reliability.killing import Worlds
from tests.reliability.stores import ATLAS
from tests.server.serving import serving
from tests.stores import Templates


@pytest.fixture(autouse=True)
def _migrations_run(tables_by_migrations: None) -> None:
    """Create stores as users do: processes are killed, and operations fail, while migrations run."""


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """Address of a synthetic atlas."""
    with SyntheticServer(ATLAS) as running:
        yield running.url


@pytest.fixture(scope="module")
def server() -> Iterator[SyntheticServer]:
    """A server of the atlas of `tests.reliability.stores`, which must not have failed in the end."""
    with SyntheticServer(ATLAS) as running:
        yield running
        assert running.errors == []


MakeWorlds = Callable[[str], Worlds]


@dataclass(frozen=True)
class Observed:
    """A process whose file operations are observed.

    Attributes
    ----------
    process : ObservedProcess
    place : Place
        Where they are observed.
    """

    process: disk.ObservedProcess
    place: Place


@pytest.fixture(scope="session")
def observed(server_url: str) -> Iterator[Observed]:
    """A process whose file operations are recorded, or fail."""
    if (reason := disk.missing()) is not None:
        pytest.skip(reason)
    with observing(server_url) as made:
        yield made


@contextlib.contextmanager
def observing(server_url: str) -> Iterator[Observed]:
    """See `observed`."""
    folder = Path(tempfile.mkdtemp(prefix="bsv-store-reliability-", dir=disk.memory_folder())).resolve()
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        served = Place(folder / "served", server_url, folder / "templates")
        served.begin(averaged)
        store = stack.enter_context(open_store(served.store, read_only=True))
        address = stack.enter_context(serving(store))
        place = replace(served, folder=folder / "observed", served=address)
        place.folder.mkdir()
        process = stack.enter_context(contextlib.closing(disk.ObservedProcess(place.folder)))
        yield Observed(process, place)


@pytest.fixture(scope="module")
def stack() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as opened:
        yield opened


@pytest.fixture(scope="module")
def make_worlds(
    server: SyntheticServer,
    stack: contextlib.ExitStack,
    templates: Templates,
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> MakeWorlds:
    """A function that returns the stores on a database for all tests of a module."""

    @functools.cache
    def make(database: str) -> Worlds:
        folder = tmp_path_factory.mktemp(f"kills-{database}")
        return Worlds(folder, database, server, templates, request, stack)

    return make
