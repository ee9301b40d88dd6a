"""A local web server that offers a synthetic atlas like Allen's servers, with faults on demand."""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from bsv_store.errors import InputError
from bsv_store.server.allen.messages import Request
from bsv_store_synthetic.atlas import SyntheticAtlas
from bsv_store_synthetic.faults import Fault, FaultList, Rule
from bsv_store_synthetic.replies import Reply, conditional, page
from bsv_store_synthetic.routes import ReplyCache, reply_to

_CLOSE_SECONDS = 5.0


@dataclass
class RequestLog:
    """The requests so far. Safe to share between threads."""

    _requests: list[Request] = field(default_factory=list)
    _now: int = 0
    _peak: int = 0
    _lock: threading.Condition = field(default_factory=threading.Condition)

    def begin(self, request: Request) -> None:
        """Record a received request."""
        with self._lock:
            self._requests.append(request)
            self._now += 1
            self._peak = max(self._peak, self._now)
            self._lock.notify_all()

    def end(self) -> None:
        """Record that a request has ended."""
        with self._lock:
            self._now -= 1

    def clear(self) -> None:
        """Remove all requests."""
        with self._lock:
            self._requests.clear()
            self._peak = self._now

    @property
    def all(self) -> tuple[Request, ...]:
        """All requests, in the order of arrival."""
        with self._lock:
            return tuple(self._requests)

    @property
    def lines(self) -> tuple[str, ...]:
        """Method and target of all requests, in the order of arrival."""
        return tuple(request.line for request in self.all)

    @property
    def counts(self) -> Counter[str]:
        """Number of requests by decoded path, without the query."""
        return Counter(request.path for request in self.all)

    @property
    def total(self) -> int:
        """Number of requests."""
        with self._lock:
            return len(self._requests)

    @property
    def peak(self) -> int:
        """Maximum number of simultaneous requests."""
        with self._lock:
            return self._peak

    def wait_for(self, total: int, *, seconds: float = 20) -> bool:
        """Wait for this number of requests, and return whether they were received in time."""
        with self._lock:
            return self._lock.wait_for(lambda: len(self._requests) >= total, seconds)

    def count(self, part: str) -> int:
        """Number of requests whose line contains this text, percent-encoded or decoded."""
        return sum(part in line or part in unquote(line) for line in self.lines)


class SyntheticServer:
    """Server of a synthetic atlas on the loopback interface; use it as a context manager.

    Parameters
    ----------
    atlas : SyntheticAtlas
    host : str
        A loopback address.
    port : int
        0 means any free port.
    cache : ReplyCache, optional
        A cache to share with other servers of the same atlas. By default a new one.

    Attributes
    ----------
    url : str
        Base address without a trailing slash. It replaces all three of Allen's hosts.
    requests : RequestLog
    faults : FaultList
    errors : list of Exception
        Errors in the server itself (the client gets a 500). Tests should assert that there are none.

    Raises
    ------
    InputError
        If the host is not a loopback address, or the port is not available.
    """

    def __init__(
        self, atlas: SyntheticAtlas, *, host: str = "127.0.0.1", port: int = 0, cache: ReplyCache | None = None
    ) -> None:
        if not _is_loopback(host):
            raise InputError(
                f"the synthetic server cannot listen on {host!r}, which is not a loopback address",
                hint="Use 127.0.0.1: synthetic data must not be mistaken for a service.",
            )
        self.atlas = atlas
        self.requests = RequestLog()
        self.faults = FaultList()
        self.errors: list[Exception] = []
        self._cache = ReplyCache() if cache is None else cache
        self._closing = threading.Event()
        try:
            self._http = _HttpServer((host, port), self)
        except OSError as error:
            raise InputError(
                f"port {port} of {host} is not available: {error}", hint="Use another port, or 0 for any free port."
            ) from error
        self.port = int(self._http.server_address[1])
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{self.port}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True, name="synthetic")

    def start(self) -> Self:
        """Start the server, and return it."""
        self._thread.start()
        return self

    def close(self) -> None:
        """Stop the server: close open connections and free the port. Further calls do nothing."""
        if self._closing.is_set():
            return
        self._closing.set()
        if self._thread.ident is not None:
            self._http.shutdown()
            self._thread.join()
        self._http.server_close()
        self._http.close_connections()

    def fail(self, match: str | Callable[[Request], bool], fault: Fault, times: int | None = 1) -> Rule:
        """Make matching requests fail, and return the rule.

        Parameters
        ----------
        match : str or callable
            Part of the request line, percent-encoded or decoded, or a test of the `Request`.
        fault : Fault
        times : int or None
            Number of faults; None means no limit.
        """
        return self.faults.add(Rule(match, fault, times))

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _reply(self, request: Request) -> Reply:
        def make() -> Reply:
            return self._cache.get(request, lambda: reply_to(self.atlas, request))

        try:
            fault = self.faults.take(request)
            return conditional(request, make() if fault is None else fault.apply(request, make))
        except Exception as error:  # noqa: BLE001
            # Without a reply, the client would wait until its timeout.
            self.errors.append(error)
            return page(500, f"Internal error of the synthetic server: {type(error).__name__}")

    def _wait(self, gate: threading.Event) -> None:
        while not gate.wait(0.05) and not self._closing.is_set():
            continue


class _HttpServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], owner: SyntheticServer) -> None:
        self.owner = owner
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._open: set[socket.socket] = set()
        self._changed = threading.Condition()
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        # The base class looks up the host's name, which may take seconds without a name service.
        socket_address = self.server_address
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(socket_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = "localhost", int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._changed:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        super().shutdown_request(request)
        with self._changed:
            self._open.discard(request)
            self._changed.notify_all()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing: clients may disconnect at any time."""

    def close_connections(self) -> None:
        with self._changed:
            for connection in self._open:
                _shut_down(connection)
            self._changed.wait_for(lambda: not self._open, _CLOSE_SECONDS)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "SyntheticAtlas/1"
    disable_nagle_algorithm = True
    server: _HttpServer

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (name in the base class)
        """Print nothing: see the request log."""

    def _answer(self) -> None:
        owner = self.server.owner
        parts = urlsplit(self.path)
        parameters = dict(parse_qsl(parts.query, keep_blank_values=True))
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, self.path, unquote(parts.path), parameters, headers)
        owner.requests.begin(request)
        self._is_counted = True
        try:
            reply = owner._reply(request)
            if reply.gate is not None:
                owner._wait(reply.gate)
            if owner._closing.is_set():
                self.close_connection = True
                return
            self._send(reply)
        finally:
            self._uncount()

    def _uncount(self) -> None:
        """Record the end of the request, before its last byte: after that, the client may send the next."""
        if self._is_counted:
            self._is_counted = False
            self.server.owner.requests.end()

    def _send_stream(self, pieces: Iterable[bytes], pause_s: float) -> None:
        self.close_connection = True
        for piece in pieces:
            self.wfile.write(piece)
            if self.server.owner._closing.wait(pause_s):
                return

    def _send(self, reply: Reply) -> None:
        if reply.stream is not None:
            self._send_stream(reply.stream(), reply.pause_s)
            return
        self.send_response(reply.status)
        for name, value in reply.headers:
            self.send_header(name, value)
        self.send_header("Content-Type", reply.content_type)
        if reply.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            length = len(reply.body) if reply.declared_length is None else reply.declared_length
            self.send_header("Content-Length", str(length))
        body = reply.body if reply.cut_after is None else reply.body[: reply.cut_after]
        has_body = self.command != "HEAD" and reply.status != 304
        if not has_body or not (body or reply.chunked):
            self._uncount()
        self.end_headers()
        if not has_body:
            return
        whole = not reply.chunked or reply.cut_after is not None or reply.declared_length is not None
        self._send_body(_chunk(body) if reply.chunked else body, reply.bytes_per_second, is_last=whole)
        if reply.cut_after is not None or reply.declared_length is not None:
            self.close_connection = True
        elif reply.chunked:
            self._uncount()
            self.wfile.write(b"0\r\n\r\n")

    def _send_body(self, body: bytes, bytes_per_second: float | None, *, is_last: bool) -> None:
        if bytes_per_second is None:
            self.wfile.write(body[:-1])
            if is_last:
                self._uncount()
            self.wfile.write(body[-1:])
            return
        step = max(1, int(bytes_per_second / 20))
        for start in range(0, len(body), step):
            if is_last and start + step >= len(body):
                self._uncount()
            self.wfile.write(body[start : start + step])
            if self.server.owner._closing.wait(step / bytes_per_second):
                self.close_connection = True
                return


def _chunk(body: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(body), body) if body else b""


def _shut_down(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        # The client has closed the connection already.
        return


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
