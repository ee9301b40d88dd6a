"""Processes that stop wherever they can interfere with others, and continue or die when a scheduler says so.

An actor is a forked process. It stops at the checkpoints of the library, before and after each transaction, whenever it
would wait for others, and before each request to the Allen API. It reports its position through a socket, and waits.
At most one actor runs at a time, so that a schedule depends only on the choices of the scheduler:

- The clocks of the databases and of the processes are one shared number, which only the scheduler changes.
- A wait returns at once, after the scheduler has let others run.
- The work of threads is done by the calling thread.
- Random names come from a seeded generator.
- Replies of the Allen API are values in memory. Requests are reported.
"""

from __future__ import annotations

import gc
import itertools
import mmap
import os
import pickle
import random
import secrets
import signal
import socket
import struct
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

from sqlalchemy import Engine, event

import bsv_store.owner
from bsv_store import checkpoints
from bsv_store.acquisition import presence
from bsv_store.acquisition.tasks.volumes import VolumeTask
from bsv_store.acquisition.work import sharing
from bsv_store.acquisition.work.task import RunControl
from bsv_store.catalog.database import sqlite as sqlite_module
from bsv_store.catalog.database.engine import Database
from bsv_store.catalog.tables import sql as sql_module
from bsv_store.errors import BusyError
from bsv_store.maintenance import verify
from bsv_store.sources.allen import AllenClient
from bsv_store.sources.allen.client import Reply
from bsv_store.volumes import batches, library
from bsv_store.volumes.files import StoreFiles
from tests.compiled_sql import share_compiled_sql

# The time of the clock at the start of each schedule; a Saturday, at noon.
_EPOCH = datetime(2026, 8, 1, 12, tzinfo=UTC)
_SQLITE_TIME = "%Y-%m-%d %H:%M:%f000"
_MESSAGE_BYTES = 1 << 20
# The number of stops that an actor may pass.
_WORD = struct.Struct("H")


class Shared:
    """Numbers that all processes of a schedule share.

    Attributes
    ----------
    seconds : float
        Since the start of the schedule, by all clocks.
    edition : int
        Which of the two volumes of each experiment the Allen API offers.
    """

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, mmap.PAGESIZE)

    @property
    def seconds(self) -> float:
        """The time of all clocks."""
        return float(struct.unpack_from("d", self._memory, 0)[0])

    @seconds.setter
    def seconds(self, value: float) -> None:
        struct.pack_into("d", self._memory, 0, value)

    @property
    def edition(self) -> int:
        """Of the volumes upstream."""
        return int(struct.unpack_from("q", self._memory, 8)[0])

    @edition.setter
    def edition(self, value: int) -> None:
        struct.pack_into("q", self._memory, 8, value)

    def now(self) -> datetime:
        """The time as a date."""
        return _EPOCH + timedelta(seconds=self.seconds)


class NumberedFuture(Future[Any]):
    """A future whose place in a set does not depend on its address."""

    numbers = itertools.count()

    def __init__(self) -> None:
        super().__init__()
        self._number = next(self.numbers)

    def __hash__(self) -> int:
        return self._number

    def __eq__(self, other: object) -> bool:
        return self is other


class InlineExecutor(Executor):
    """Calls each function when it is submitted."""

    def __init__(self, *_arguments: object, **_options: object) -> None:
        pass

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **options: Any) -> Future[Any]:
        """Call the function; the future has its result or error."""
        future = NumberedFuture()
        future.set_running_or_notify_cancel()
        try:
            result = function(*arguments, **options)
        except BaseException as error:  # noqa: BLE001 (raised by the future)
            future.set_exception(error)
        else:
            future.set_result(result)
        return future


@dataclass(frozen=True)
class Upstream:
    """The data that the Allen API offers, in memory.

    Attributes
    ----------
    url : str
        Address that the store records.
    volumes : mapping
        Replies by experiment and edition.
    unionizes : mapping
        Replies by the ids that are asked for.
    experiments : Reply
    """

    url: str
    volumes: Mapping[tuple[int, int], Reply[Any]]
    unionizes: Mapping[tuple[int, ...], Reply[Any]]
    experiments: Reply[Any]


@dataclass(frozen=True)
class Settings:
    """How one schedule runs.

    Attributes
    ----------
    seed : int
    hosts : bool
        Each actor is on a separate host, so that none can know whether another one is alive.
    transactions : bool
        Also stop between the start of a transaction and what it does.
    hold : str
        The stop at which the first actor that reaches it waits until the others end or wait.
    """

    seed: int
    hosts: bool
    transactions: bool
    hold: str


@dataclass(frozen=True)
class Message:
    """A message of an actor.

    Attributes
    ----------
    kind : {"stop", "pass", "note", "result"}
        It waits for the scheduler at a stop, unless it may pass, and after a result.
    name : str
    value : object
    """

    kind: str
    name: str
    value: Any = None


# -- in every process of the stage ------------------------------------------------------------------------------------


def prepare(shared: Shared) -> None:
    """Replace slow functions, clocks, waits and threads in this process and in those forked from it."""
    for module in (batches, presence, sharing, verify):
        vars(module)["ThreadPoolExecutor"] = InlineExecutor
    # It fills 32 MiB.
    sharing._keep_freed_memory = lambda: None
    os.fsync = lambda _descriptor: None  # type: ignore[assignment]
    time.monotonic = lambda: 1000.0 + shared.seconds
    StoreFiles.server_time = lambda _files: datetime.fromtimestamp(  # type: ignore[assignment, method-assign]
        time.time() + 1 + shared.seconds, UTC
    )
    event.listen(Engine, "connect", _new_connection(shared))
    _use_test_clock()
    share_compiled_sql()
    _remember_encoded_volumes()


def _new_connection(shared: Shared) -> Callable[[Any, object], None]:
    def strftime(form: str, start: str, change: str) -> str:
        if form != _SQLITE_TIME or start != "now":
            raise ValueError(f"the clock of the tests does not know strftime({form!r}, {start!r})")
        return f"{shared.now() + timedelta(seconds=float(change.removesuffix(' seconds'))):%Y-%m-%d %H:%M:%S.%f}"

    def prepare_connection(connection: Any, _record: object) -> None:
        if isinstance(connection, sqlite_module.CatalogConnection):
            connection.execute("PRAGMA synchronous = OFF")
            connection.create_function("strftime", 3, strftime)
            connection.create_function("current_timestamp", 0, lambda: f"{shared.now():%Y-%m-%d %H:%M:%S}")

    return prepare_connection


def _use_test_clock() -> None:
    """On Postgres, let statements use the clock of `CLOCK_SQL`."""

    def rewrite(
        connection: Any, _cursor: object, statement: str, parameters: Any, _context: object, _many: bool
    ) -> tuple[str, Any]:
        if connection.dialect.name != "sqlite":
            statement = statement.replace("clock_timestamp()", f"{CLOCK_SCHEMA}.clock_timestamp()")
        return statement, parameters

    event.listen(Engine, "before_cursor_execute", rewrite, retval=True)


CLOCK_SCHEMA = "test_clock"
# A sequence, since a transaction sees its value at once, whatever its snapshot is.
CLOCK_SQL = f"""
CREATE SCHEMA {CLOCK_SCHEMA};
CREATE SEQUENCE {CLOCK_SCHEMA}.seconds MINVALUE 0 START 0;
CREATE FUNCTION {CLOCK_SCHEMA}.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS $$
    SELECT pg_catalog.clock_timestamp() + (SELECT last_value FROM {CLOCK_SCHEMA}.seconds) * interval '1 second'
$$;
"""


def _remember_encoded_volumes() -> None:
    original, encoded = library.encode, {}  # type: ignore[attr-defined]

    def encode(volume: Any, *, experiment_id: int, source: str) -> Any:
        key = id(volume), experiment_id, source
        if key not in encoded:
            # The volume is kept, so that its id is not used again.
            encoded[key] = volume, original(volume, experiment_id=experiment_id, source=source)
        return encoded[key][1]

    library.encode = encode  # type: ignore[attr-defined]


def replace_upstream(upstream: Upstream, shared: Shared, requested: Callable[[str, object], None]) -> None:
    """Serve the requests of this process from memory.

    Parameters
    ----------
    requested : callable
        Called with each request before it is answered.
    """

    def volume(_client: AllenClient, experiment_id: int, **_options: object) -> Reply[Any]:
        requested(f"volume/{experiment_id}", shared.edition)
        return upstream.volumes[experiment_id, shared.edition]

    def unionizes(_client: AllenClient, experiment_ids: Any, **_options: object) -> Reply[Any]:
        requested(f"unionizes/{','.join(map(str, experiment_ids))}", None)
        return upstream.unionizes[tuple(sorted(experiment_ids))]

    def experiments(_client: AllenClient, **_options: object) -> Reply[Any]:
        requested("experiments", None)
        return upstream.experiments

    AllenClient.volume, AllenClient.unionizes = volume, unionizes  # type: ignore[method-assign,assignment]
    AllenClient.experiments = experiments  # type: ignore[method-assign,assignment]


# -- in an actor ------------------------------------------------------------------------------------------------------


class Stopping:
    """An actor's end of its socket."""

    def __init__(self, connection: socket.socket, settings: Settings) -> None:
        self._connection = connection
        self._settings = settings
        # Stops at which the scheduler need not be asked.
        self._passes = 0

    def note(self, name: str, value: object = None) -> None:
        """Send a message to the scheduler, and continue."""
        self._connection.send(pickle.dumps(Message("note", name, value)))

    def stop(self, name: str, value: object = None, *, kind: str = "stop") -> None:
        """Send a message to the scheduler, and wait for its answer, unless this stop may be passed."""
        if kind == "stop" and self._passes and name != self._settings.hold and not name.startswith("wait:"):
            self._passes -= 1
            self._connection.send(pickle.dumps(Message("pass", name)))
            return
        self._connection.send(pickle.dumps(Message(kind, name, value)))
        word = self._connection.recv(_WORD.size)
        if not word:
            # The scheduler has ended.
            os._exit(1)
        (self._passes,) = _WORD.unpack(word)

    def install(self, number: int, upstream: Upstream, shared: Shared) -> None:
        """Stop this process at all points from now on."""
        checkpoints.set_hook(self.stop)
        NumberedFuture.numbers = itertools.count()
        sqlite_module._STEP_S = 0.0
        time.sleep = lambda _seconds: self.stop("wait:lock")
        self._stop_where_sqlite_waits(shared)
        RunControl.wait = lambda _control, _seconds: self.stop("wait:claims")  # type: ignore[assignment, method-assign]
        generator = random.Random(f"{self._settings.seed}/{number}")
        secrets.token_hex = lambda nbytes=None: generator.randbytes(16 if nbytes is None else nbytes).hex()
        os.environ["PGAPPNAME"] = f"actor {number}"
        if self._settings.hosts:
            bsv_store.owner._place = lambda: f"{number:016x}"

        def requested(name: str, value: object) -> None:
            self.stop(f"request:{name}")
            self.note("requested", (name, value))

        replace_upstream(upstream, shared, requested)
        self._stop_at_transactions()
        self._report_stored()

    def _stop_where_sqlite_waits(self, shared: Shared) -> None:
        """Queries of users let SQLite wait, by a clock that cannot be set."""
        original, wait_s = sql_module._run_sqlite, vars(sql_module)["BUSY_TIMEOUT_S"]
        vars(sql_module)["BUSY_TIMEOUT_S"] = 0.0

        def run(*arguments: Any) -> Any:
            start = shared.seconds
            while True:
                try:
                    return original(*arguments)
                except BusyError:
                    if shared.seconds - start > wait_s:
                        raise
                self.stop("wait:lock")

        vars(sql_module)["_run_sqlite"] = run

    def _stop_at_transactions(self) -> None:
        original = Database._transaction

        @contextmanager
        def transaction(database: Database, options: dict[str, Any]) -> Iterator[Any]:
            reads = options.get("bsv_begin") == "DEFERRED" or options.get("postgresql_readonly", False)
            kind = "read" if reads else "write"
            self.stop(f"{kind}:begin")
            with original(database, options) as connection:
                if self._settings.transactions:
                    self.stop(f"{kind}:begun")
                yield connection
            if kind == "write" or self._settings.transactions:
                self.stop(f"{kind}:ended")

        Database._transaction = transaction  # type: ignore[assignment, method-assign]

    def _report_stored(self) -> None:
        original = VolumeTask.commit

        def commit(task: VolumeTask, downloads: Any, ids: Any, claims: Any) -> Any:
            result = original(task, downloads, ids, claims)
            stored = [(each.experiment_id, each.layout.array_sha256) for each in downloads]
            self.note("stored", [each for each in stored if each[0] not in result.lost])
            return result

        VolumeTask.commit = commit  # type: ignore[assignment, method-assign]


class Actor:
    """The scheduler's view of an actor.

    Parameters
    ----------
    number : int
        Unique in a schedule.
    body : callable
        What the process does, with its `Stopping`.
    """

    def __init__(
        self, number: int, settings: Settings, upstream: Upstream, shared: Shared, body: Callable[[Stopping], None]
    ) -> None:
        self.number = number
        self.at = "start"
        self.is_alive = True
        self._connection, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._connection.settimeout(60)
        self.pid = os.fork()
        if self.pid == 0:
            self._connection.close()
            _run(Stopping(theirs, settings), number, upstream, shared, body)
        theirs.close()

    def wait(self, timeout: float | None = 60.0) -> Message | None:
        """The next message; None if the process has ended.

        Raises
        ------
        TimeoutError
            If there is no message.
        """
        self._connection.settimeout(timeout)
        data = self._connection.recv(_MESSAGE_BYTES)
        if not data:
            self._reap()
            return None
        message: Message = pickle.loads(data)
        return message

    def go_on(self, passes: int) -> None:
        """Let the process continue, and pass some stops; `wait` for its next message."""
        self._connection.send(_WORD.pack(passes))

    def kill(self) -> None:
        """Kill the process with SIGKILL."""
        os.kill(self.pid, signal.SIGKILL)
        self._reap()

    def _reap(self) -> None:
        if self.is_alive:
            os.waitpid(self.pid, 0)
            self.is_alive = False
            self._connection.close()


def _run(stopping: Stopping, number: int, upstream: Upstream, shared: Shared, body: Callable[[Stopping], None]) -> None:
    """Answer calls, in the forked process; never returns."""
    status = 1
    try:
        # A warning shows nothing that the tests need.
        warnings.simplefilter("ignore")
        stopping.install(number, upstream, shared)
        stopping.stop("start")
        body(stopping)
        status = 0
    except BaseException:  # noqa: BLE001 (reported)
        stopping.note("crashed", traceback.format_exc())
    finally:
        os._exit(status)


def in_child(call: Callable[[], Any]) -> Any:
    """The result of a call in a forked process, so that this one has no connections; raises if the call does."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reading)
            warnings.simplefilter("ignore")
            try:
                answer = True, call()
            except BaseException:  # noqa: BLE001 (raised by the caller)
                answer = False, traceback.format_exc()
            with os.fdopen(writing, "wb") as stream:
                stream.write(pickle.dumps(answer))
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        data = stream.read()
    os.waitpid(pid, 0)
    if not data:
        raise AssertionError("the process that checks the store ended without an answer")
    is_done, value = pickle.loads(data)
    if not is_done:
        raise AssertionError(value)
    return value


class Helper:
    """A forked process that makes calls, one after the other, so that this one has no connections. Close it.

    It is faster than `in_child`: after a fork, each page that a process writes to is copied first.
    """

    def __init__(self) -> None:
        self._pid: int | None = None
        self._pipe: Connection | None = None

    def call(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """The result of a call of a function of a module.

        Raises
        ------
        AssertionError
            If the call raises, or the process ends.
        """
        if self._pipe is None:
            self._pipe = self._started()
        self._pipe.send((function, arguments, options))
        try:
            is_done, value = self._pipe.recv()
        except EOFError as error:
            self.close()
            raise AssertionError("the process that checks the store ended without an answer") from error
        if not is_done:
            raise AssertionError(value)
        return value

    def _started(self) -> Connection:
        ours, theirs = Pipe()
        self._pid = os.fork()
        if self._pid == 0:
            ours.close()
            _serve(theirs)
        theirs.close()
        return ours

    def close(self) -> None:
        """End the process."""
        if self._pipe is not None and self._pid is not None:
            self._pipe.close()
            os.waitpid(self._pid, 0)
            self._pipe = self._pid = None


# The garbage collector is disabled.
_CALLS_PER_COLLECTION = 10


def _serve(pipe: Connection) -> None:
    """In the process; never returns."""
    try:
        warnings.simplefilter("ignore")
        for number in itertools.count(1):
            function, arguments, options = pipe.recv()
            try:
                answer = True, function(*arguments, **options)
            except BaseException:  # noqa: BLE001 (raised by the caller)
                answer = False, traceback.format_exc()
            signal.alarm(0)
            pipe.send(answer)
            if number % _CALLS_PER_COLLECTION == 0:
                gc.collect()
    finally:
        os._exit(0)
