"""Run a server: bind the address, start the workers, and stop them when a signal asks for it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import multiprocessing
import multiprocessing.connection
import os
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType

import uvicorn

from bsv_store.errors import BsvStoreError, InputError, StoreError
from bsv_store.server import worker_logs
from bsv_store.server.access.in_progress import forget_in_progress
from bsv_store.server.application import application
from bsv_store.server.connection import ClientConnection
from bsv_store.server.context import Context
from bsv_store.server.metrics import forget_requests
from bsv_store.server.options import ServerOptions
from bsv_store.store.opening import open_store
from bsv_store.store.store import Store
from bsv_store.temporary import TemporaryFolder
from bsv_store.text import masked, printable

LOG = logging.getLogger("bsv_store.server")
_LIBRARY_LOG = logging.getLogger("bsv_store")

_BACKLOG = 2048
# Long, because restarts must also succeed on a computer that is overloaded.
_START_S = 300.0
# A worker that ends sooner than this after its start is not replaced at once.
_SHORT_LIFE_S = 5.0
# Time to end the long operations that are running, after the time for requests in progress.
_STOP_S = 9.0
_STOP_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


def serve(folder: Path | None, options: ServerOptions, *, on_start: Callable[[str], None]) -> None:
    """Serve a store until SIGTERM, SIGINT or SIGHUP. Requests in progress are finished first.

    Parameters
    ----------
    folder : path or None
        See `open_store`.
    options : ServerOptions
    on_start : callable
        Called with the address of the server once it accepts requests.

    Raises
    ------
    InputError
        If the server requires a token, but the store has no valid one; the address cannot be used; or the
        certificate is not valid.
    StoreError, SchemaError
        If the store cannot be opened, or the workers do not start.
    """
    with _log_on_standard_error(), open_store(folder, read_only=True) as store:
        if options.requires_token:
            _require_token(store)
        _check_certificate(options)
        with _listening(options) as listening:
            url = _url(options, listening)
            if options.workers == 1:
                _serve_here(store, options, listening, lambda: on_start(url))
                return
            path = store.path
            # Workers open the store themselves.
            store.close()
            _Supervisor(path, options, listening).run(lambda: on_start(url))


@contextmanager
def _log_on_standard_error() -> Iterator[None]:
    """Write warnings and errors of the library to standard error, unless a log is configured."""
    if any(not isinstance(each, logging.NullHandler) for each in (*logging.root.handlers, *_LIBRARY_LOG.handlers)):
        yield
        return
    handler = logging.StreamHandler()
    handler.setLevel(logging.WARNING)
    handler.setFormatter(_SafeFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    _LIBRARY_LOG.addHandler(handler)
    try:
        yield
    finally:
        _LIBRARY_LOG.removeHandler(handler)


class _SafeFormatter(logging.Formatter):
    """Without passwords, and without characters that could control a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """The lines of a record."""
        return printable(masked(super().format(record)), keep="\n\t")


def _require_token(store: Store) -> None:
    if not any(token.is_valid(datetime.now(UTC)) for token in store.admin.tokens()):
        raise InputError(
            "the server would require a token, but the store has no valid token",
            hint="Add one: bsv-store serve token add NAME --scope read",
        )


def _check_certificate(options: ServerOptions) -> None:
    if options.tls_certificate is None:
        return
    try:
        # A service cannot answer a password prompt.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
            options.tls_certificate, options.tls_key, password=lambda: b""
        )
    except (ssl.SSLError, OSError, ValueError) as error:
        raise InputError(
            f"the certificate {options.tls_certificate} and its key cannot be used: {error}",
            hint="Both must be PEM files; the key must belong to the certificate and have no password.",
        ) from error


@contextmanager
def _listening(options: ServerOptions) -> Iterator[socket.socket]:
    try:
        found = socket.getaddrinfo(options.host, options.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        listening = socket.create_server(address[:2], family=family, backlog=_BACKLOG)
    except OSError as error:
        raise InputError(
            f"the server cannot listen on {options.host} port {options.port}: {error.strerror or error}",
            hint="Choose another address or port, for example --port 0 for a free one.",
        ) from error
    with listening:
        listening.set_inheritable(True)
        yield listening


def _url(options: ServerOptions, listening: socket.socket) -> str:
    scheme = "http" if options.tls_certificate is None else "https"
    host = f"[{options.host}]" if ":" in options.host else options.host
    return f"{scheme}://{host}:{listening.getsockname()[1]}{options.root_path}/"


class _Server(uvicorn.Server):
    """A server that exits normally after a signal, and reports when it accepts requests.

    Parameters
    ----------
    config : uvicorn.Config
    on_start : callable
        Called when it accepts requests.
    stop_work : callable
        Stops the running queries and other long operations. Called when the time for requests in progress is over.
    shutdown_s : float
        Time for requests in progress, in seconds.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        on_start: Callable[[], None],
        *,
        stop_work: Callable[[], None],
        shutdown_s: float,
    ) -> None:
        super().__init__(config)
        self._on_start = on_start
        self._stop_work = stop_work
        self._shutdown_s = shutdown_s

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and not self.should_exit:
            self._on_start()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        def stop() -> threading.Thread:
            # In a thread, because stopping a Postgres query needs the network.
            thread = threading.Thread(target=self._stop_work, name="bsv-store-stop", daemon=True)
            thread.start()
            return thread

        timer = asyncio.get_running_loop().call_later(self._shutdown_s, stop)
        try:
            await super().shutdown(sockets)
        finally:
            timer.cancel()
            # Also stops work that waited in the queue. Queries that the caller starts later must not be stopped.
            stop().join(_STOP_S)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        # uvicorn raises the signal again at the end, so that the process ends by it.
        with _handling(self.handle_exit):
            yield


@contextmanager
def _handling(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in _STOP_SIGNALS}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)


def server_of(
    store: Store, options: ServerOptions, on_start: Callable[[], None], *, shared: Path | None = None
) -> uvicorn.Server:
    """The server of one process over a store, which is not running yet."""
    app = application(store, options=options, folder=shared)
    context: Context = app.state.context
    config = uvicorn.Config(
        app,
        http=ClientConnection,
        ws="none",
        log_config=None,
        access_log=False,
        lifespan="on",
        server_header=False,
        proxy_headers=bool(options.trusted_proxy),
        forwarded_allow_ips=list(options.trusted_proxy),
        timeout_graceful_shutdown=max(1, round(options.shutdown_s)),
        ssl_certfile=options.tls_certificate,
        ssl_keyfile=options.tls_key,
    )
    return _Server(config, on_start, stop_work=context.stop_work, shutdown_s=options.shutdown_s)


def _serve_here(
    store: Store,
    options: ServerOptions,
    listening: socket.socket,
    on_start: Callable[[], None],
    *,
    shared: Path | None = None,
) -> None:
    server_of(store, options, on_start, shared=shared).run(sockets=[listening])


# -- several workers --------------------------------------------------------------------------------------------------


class _Supervisor:
    """Starts the workers, replaces those that end, and stops them."""

    def __init__(self, folder: Path, options: ServerOptions, listening: socket.socket) -> None:
        self._folder = folder
        self._options = options
        self._listening = listening
        self._context: SpawnContext = multiprocessing.get_context("spawn")
        self._workers: list[_Worker] = []
        self._stopping = False

    def run(self, on_start: Callable[[], None]) -> None:
        # A file descriptor wakes the loop, because a signal does not interrupt a wait in Python.
        waking, wake = socket.socketpair()
        with TemporaryFolder() as shared, waking, wake:
            wake.setblocking(False)

            def stop(_number: int, _frame: FrameType | None) -> None:
                self._stopping = True
                with contextlib.suppress(BlockingIOError):
                    wake.send(b"x")

            with _handling(stop):
                try:
                    self._workers = [self._started(shared) for _ in range(self._options.workers)]
                    if self._wait_for_start(waking):
                        on_start()
                        self._replace_until_stopped(waking, shared)
                finally:
                    self._stop()

    def _started(self, shared: Path) -> _Worker:
        reading, writing = self._context.Pipe(duplex=False)
        level = worker_logs.LIBRARY.getEffectiveLevel()
        arguments = (self._folder, self._options, self._listening, shared, writing, level)
        process = self._context.Process(target=_work, args=arguments, name="bsv-store serve")
        process.start()
        writing.close()
        return _Worker(process, reading, time.monotonic())

    def _wait_for_start(self, waking: socket.socket) -> bool:
        """Whether all workers accept requests; False if the server is to stop."""
        deadline = time.monotonic() + _START_S
        for worker in self._workers:
            while True:
                is_alive = worker.process.is_alive()
                worker.receive()
                if worker.failure is not None:
                    raise worker.failure
                if worker.is_ready:
                    break
                if not is_alive:
                    raise StoreError(
                        f"a worker of the server exited with code {worker.process.exitcode} while it started"
                    )
                left = deadline - time.monotonic()
                if left <= 0:
                    raise StoreError(f"the workers of the server did not start within {_START_S:.0f} s")
                multiprocessing.connection.wait([*worker.pipes, worker.process.sentinel, waking], left)
                if self._stopping:
                    return False
        return True

    def _replace_until_stopped(self, waking: socket.socket, shared: Path) -> None:
        while not self._stopping:
            pipes = [pipe for worker in self._workers for pipe in worker.pipes]
            multiprocessing.connection.wait([waking, *pipes, *(worker.process.sentinel for worker in self._workers)])
            for position, worker in enumerate(self._workers):
                worker.receive()
                if worker.process.is_alive():
                    continue
                reason = "" if worker.failure is None else f": {worker.failure.message}"
                LOG.error("a worker ended with %s and is replaced%s", worker.process.exitcode, reason)
                forget_requests(shared, worker.process.pid)
                forget_in_progress(shared, worker.process.pid)
                if time.monotonic() - worker.started_at < _SHORT_LIFE_S:
                    multiprocessing.connection.wait([waking], 1.0)
                if not self._stopping:
                    worker.close()
                    self._workers[position] = self._started(shared)

    def _stop(self) -> None:
        for worker in self._workers:
            if worker.process.is_alive():
                worker.process.terminate()
        deadline = time.monotonic() + self._options.shutdown_s + _STOP_S
        for worker in self._workers:
            worker.join(deadline)
            if worker.process.is_alive():
                LOG.error("a worker did not stop in time and is killed")
                worker.process.kill()
                worker.process.join()
            worker.close()


class _Worker:
    """A worker process, and the pipe through which it reports that it accepts requests and sends log records."""

    def __init__(self, process: BaseProcess, pipe: Connection, started_at: float) -> None:
        self.process = process
        self.started_at = started_at
        self.is_ready = False
        self.failure: BsvStoreError | None = None
        self._pipe: Connection | None = pipe

    @property
    def pipes(self) -> list[Connection]:
        """The pipe to wait for; empty when the worker has closed it."""
        return [] if self._pipe is None else [self._pipe]

    def receive(self) -> None:
        """Receive all messages that the worker has sent."""
        try:
            while self._pipe is not None and self._pipe.poll(0):
                message = self._pipe.recv()
                if isinstance(message, logging.LogRecord):
                    worker_logs.handle(message)
                elif message is None:
                    self.is_ready = True
                else:
                    self.failure = message
        except (EOFError, OSError):
            # The worker has ended; its last message may be incomplete.
            self._close_pipe()

    def join(self, deadline: float) -> None:
        """Wait for the worker to exit, until a deadline, and receive its messages meanwhile."""
        while self.process.is_alive() and (left := deadline - time.monotonic()) > 0:
            multiprocessing.connection.wait([*self.pipes, self.process.sentinel], left)
            self.receive()
        self.process.join(0)
        self.receive()

    def close(self) -> None:
        self._close_pipe()
        if not self.process.is_alive():
            self.process.close()

    def _close_pipe(self) -> None:
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None


def _work(
    folder: Path, options: ServerOptions, listening: socket.socket, shared: Path, pipe: Connection, level: int
) -> None:
    """Serve in a worker process."""
    _end_with_parent()
    sender = worker_logs.Sender(pipe)
    worker_logs.send_records(sender, level)
    try:
        with open_store(folder, read_only=True) as store:
            _serve_here(store, options, listening, lambda: sender.send(None), shared=shared)
    except BsvStoreError as error:
        # Of the start; the supervisor raises it.
        sender.send(error)


def _end_with_parent() -> None:
    """Stop when the supervisor was killed; its address would stay in use otherwise."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()
