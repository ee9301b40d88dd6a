"""A Postgres server whose connections are interrupted at a chosen moment.

The store connects through a proxy, which sees each message of both directions.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import FunctionType
from typing import Literal, assert_never, get_args

from sqlalchemy import make_url

from bsv_store.errors import InputError
from tests.postgres import OWNER, PostgresServer
from tests.reliability.jobs import Place
from tests.stores import rename_database

Kind = Literal[
    "commit lost",
    "answer lost",
    "cut while sending",
    "cut while receiving",
    "connections terminated",
    "connection process killed",
    "server killed",
]
KINDS: tuple[Kind, ...] = get_args(Kind)

_COMMIT = b"Q\0\0\0\x0bCOMMIT\0"
_PORT = 5432


@dataclass(frozen=True)
class Interruption:
    """An interruption, and its moment.

    Attributes
    ----------
    kind : Kind
        "commit lost" closes the connection instead of sending COMMIT, "answer lost" after the server has committed.
    number : int
        From 1: which commit, byte or message, as `Counts.of` says.
    """

    kind: Kind
    number: int


@dataclass
class Counts:
    """Numbers of commits, bytes and messages that have passed the proxy."""

    commits: int = 0
    messages: int = 0
    sent_bytes: int = 0
    received_bytes: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))

    def of(self, kind: Kind) -> int:
        """Number of moments at which an interruption is possible."""
        if kind in ("commit lost", "answer lost"):
            return self.commits
        if kind == "cut while sending":
            return self.sent_bytes
        if kind == "cut while receiving":
            return self.received_bytes
        return self.messages


class _Connection:
    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client, self.server = client, server
        self.is_answer_lost = False
        self._lock = threading.Lock()
        self._directions = 2

    def end(self) -> None:
        """One direction has ended: end the other one, too. The last one closes the sockets."""
        for each in (self.client, self.server):
            # The other side may have closed it.
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        with self._lock:
            self._directions -= 1
            if self._directions == 0:
                self.client.close()
                self.server.close()


class InterruptedPostgres:
    """The server and its proxy. Close it."""

    def __init__(self) -> None:
        self.server = PostgresServer(survives_kills=True)
        self.folder = Path(tempfile.mkdtemp(prefix="bsv-proxy-"))
        self._lock = threading.Lock()
        self._plan: Interruption | None = None
        # Set unless the server is being killed or started again.
        self._broken = threading.Event()
        self._broken.set()
        self.counts = Counts()
        self.is_done = False
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.folder / f".s.PGSQL.{_PORT}"))
        self._listener.listen(50)
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, database: str) -> str:
        """The URL of a database through the proxy."""
        return f"postgresql+psycopg://{OWNER}@/{database}?host={self.folder}&port={_PORT}"

    def begin(self, plan: Interruption | None) -> None:
        """Count from now, and interrupt once."""
        with self._lock:
            self.counts = Counts()
            self._plan, self.is_done = plan, False

    def end(self) -> Counts:
        """Stop interrupting, wait until the server runs, and return the counts."""
        assert self._broken.wait(120)
        with self._lock:
            self._plan = None
            return self.counts

    def close(self) -> None:
        """Stop the server."""
        self._listener.close()
        self.server.close()
        shutil.rmtree(self.folder)

    def _accept(self) -> None:
        path = Path(str(make_url(self.server.url()).query["host"])) / f".s.PGSQL.{_PORT}"
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            try:
                server.connect(str(path))
            except OSError:
                # As a server that is down.
                client.close()
                server.close()
                continue
            connection = _Connection(client, server)
            for target in (self._send, self._receive):
                threading.Thread(target=target, args=(connection,), daemon=True).start()

    def _send(self, connection: _Connection) -> None:
        with contextlib.suppress(OSError):
            while data := connection.client.recv(1 << 16):
                left = self._before_sending(connection, data)
                connection.server.sendall(left)
                if len(left) < len(data):
                    break
        connection.end()

    def _receive(self, connection: _Connection) -> None:
        with contextlib.suppress(OSError):
            while data := connection.server.recv(1 << 16):
                if connection.is_answer_lost:
                    break
                left = self._before_receiving(data)
                connection.client.sendall(left)
                if len(left) < len(data):
                    break
        connection.end()

    def _before_sending(self, connection: _Connection, data: bytes) -> bytes:
        """What of a message is sent."""
        with self._lock:
            counts, plan = self.counts, self._plan
            before = counts.sent_bytes
            counts.sent_bytes += len(data)
            counts.messages += 1
            is_commit = _COMMIT in data
            counts.commits += is_commit
            if plan is None or self.is_done:
                return data
            kind = plan.kind
            if kind == "cut while sending":
                self.is_done = counts.sent_bytes >= plan.number
                return data[: plan.number - 1 - before] if self.is_done else data
            if kind == "cut while receiving":
                return data
            if kind in ("commit lost", "answer lost"):
                if not is_commit or counts.commits != plan.number:
                    return data
                self.is_done = True
                if kind == "commit lost":
                    return b""
                connection.is_answer_lost = True
                return data
            if counts.messages != plan.number:
                return data
            self.is_done = True
            self._broken.clear()
        try:
            self._break(kind)
        finally:
            self._broken.set()
        return data

    def _before_receiving(self, data: bytes) -> bytes:
        with self._lock:
            before = self.counts.received_bytes
            self.counts.received_bytes += len(data)
            plan = self._plan
            if plan is None or self.is_done or plan.kind != "cut while receiving":
                return data
            self.is_done = self.counts.received_bytes >= plan.number
            return data[: plan.number - 1 - before] if self.is_done else data

    def _break(self, kind: Kind) -> None:
        if kind == "connections terminated":
            with self.server.connect() as administration:
                administration.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'lab'")
        elif kind == "connection process killed":
            with self.server.connect() as administration:
                found = administration.execute("SELECT pid FROM pg_stat_activity WHERE usename = 'lab'").fetchall()
            # Postgres then ends all connections, and recovers from its log.
            for (pid,) in found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            # Until it has noticed, it accepts connections.
            self._wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for (pid,) in found))
            self._wait_until_running()
        elif kind == "server killed":
            postmaster = int((self.server.folder / "data" / "postmaster.pid").read_text().split()[0])
            children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
            for pid in (postmaster, *map(int, children)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._wait_until(lambda: not any(map(_is_running, (postmaster, *map(int, children)))))
            # Else a process id that is used again, or is not waited for, looks like a running server.
            for name in ("postmaster.pid", f".s.PGSQL.{_PORT}.lock"):
                (self.server.folder / "data" / name).unlink(missing_ok=True)
            self.server.start()
            self._wait_until_running()
        elif (
            kind == "commit lost"
            or kind == "answer lost"
            or kind == "cut while sending"
            or kind == "cut while receiving"
        ):
            raise ValueError(kind)
        else:
            assert_never(kind)

    def _wait_until(self, is_reached: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not is_reached():
            assert time.monotonic() < deadline, "Postgres did not end"
            time.sleep(0.01)

    def _wait_until_running(self) -> None:
        import psycopg

        self.server.forget_administration()
        deadline = time.monotonic() + 60
        while True:
            try:
                self.server.connect().close()
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
            else:
                return


def _is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


@dataclass(frozen=True)
class PostgresPlace(Place):
    """A place whose store is on Postgres.

    Attributes
    ----------
    server : PostgresServer
    name : str
        Of the database.
    """

    server: PostgresServer | None = None
    name: str = ""

    @property
    def _server(self) -> PostgresServer:
        assert self.server is not None
        return self.server

    def database_url(self, database: str) -> str:
        """The URL of a database of the server."""
        return self._server.url(database)

    def begin(self, prepare: object) -> None:
        """See `Place.begin`; the database is copied, too."""
        assert isinstance(prepare, FunctionType)
        template, source = self.templates / prepare.__name__, f"template{prepare.__name__}"
        if not template.exists():
            template.mkdir(parents=True)
            self._server.create_database(source)
            prepare(replace(self, folder=template, name=source, database=self.database_url(source)))
        shutil.copytree(template, self.folder, dirs_exist_ok=True)
        self._server.drop_database(self.name)
        self._server.create_database(self.name, template=source)
        if (self.store / "store.toml").exists():
            # An old schema has no table for the link.
            with contextlib.suppress(InputError):
                rename_database(self.store, source, self.name)

    def forget_store(self) -> None:
        """See `Place.forget_store`."""
        super().forget_store()
        self._server.drop_database(self.name)
        self._server.create_database(self.name)


@dataclass(frozen=True)
class InterruptedPlace(PostgresPlace):
    """A place whose store is on Postgres, behind the proxy.

    Attributes
    ----------
    postgres : InterruptedPostgres
    """

    postgres: InterruptedPostgres | None = None

    def database_url(self, database: str) -> str:
        """The URL of a database through the proxy."""
        assert self.postgres is not None
        return self.postgres.url(database)
