"""Connections that another thread can shut down: at the deadline of a request, or if the user interrupts.

Socket timeouts limit only the time between two packets: a server that sends headers, chunk sizes or trailers byte by
byte could block a thread for days. A timer therefore shuts down the socket at the deadline. Names are resolved in a
thread of its own, because the resolver of the operating system has no timeout that a program can set.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError
from urllib3.util.connection import allowed_gai_family

from bsv_store.sources.allen import credentials

# The timer shuts down again after this time, because the thread may open a connection just after the deadline.
_REPEAT_S = 0.1


_clients: WeakSet[Connections] = WeakSet()


class Connections:
    """The open connections of one client, in any number of threads. Each connection is used by a single thread."""

    def __init__(self) -> None:
        self._forget()
        self.pool_classes = _pool_classes(self)
        _clients.add(self)

    def _forget(self) -> None:
        self._threads: WeakKeyDictionary[HTTPConnection, int] = WeakKeyDictionary()
        self._lock = threading.Lock()

    def add(self, connection: HTTPConnection) -> None:
        """Register a connection of the current thread."""
        with self._lock:
            self._threads[connection] = threading.get_ident()

    def abort(self, thread: int | None = None) -> None:
        """Shut down all connections, or those of one thread. Threads that read from them get an error immediately."""
        with self._lock:
            for connection, owner in self._threads.items():
                if thread in (None, owner):
                    _shut_down(connection.sock)

    @contextlib.contextmanager
    def limited(self, seconds: float) -> Iterator[None]:
        """Shut down the connections of the current thread if the block takes longer than this many seconds."""
        ended = threading.Event()
        timer = threading.Thread(
            target=self._abort_after, args=(seconds, ended, threading.get_ident()), name="bsv-store-timer", daemon=True
        )
        timer.start()
        try:
            yield
        finally:
            ended.set()
            # After that, the thread may use its connections for another request.
            timer.join()

    def _abort_after(self, seconds: float, ended: threading.Event, thread: int) -> None:
        wait_s = seconds
        while not ended.wait(wait_s):
            self.abort(thread)
            wait_s = _REPEAT_S


class AbortableAdapter(HTTPAdapter):
    """A transport adapter of requests that registers its connections; it does not retry."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        super().__init__(pool_connections=2, pool_maxsize=2, max_retries=0)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Create the pool manager, with registered connections."""
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = self._connections.pool_classes

    def proxy_manager_for(self, *args: Any, **options: Any) -> Any:
        """The pool manager of a proxy, with registered connections."""
        manager = super().proxy_manager_for(*args, **options)
        manager.pool_classes_by_scheme = self._connections.pool_classes
        return manager


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> str | None:
        # Otherwise requests reads the body of a redirect into memory, even if it does not follow it.
        return None


def plain_session(user_agent: str) -> requests.Session:
    """A session that ignores the environment and does not follow redirects."""
    session = _Session()
    # True would send entries of ~/.netrc to any host, including the default entry.
    session.trust_env = False
    session.verify = credentials.certificates()
    session.headers["User-Agent"] = user_agent
    return session


def _pool_classes(connections: Connections) -> dict[str, type[HTTPConnectionPool]]:
    class Plain(HTTPConnection):
        def connect(self) -> None:
            # Registered before connecting, because a proxy may respond while the connection is being established.
            connections.add(self)
            super().connect()

        def _new_conn(self) -> socket.socket:
            return _connected(self, super()._new_conn)

    class Secure(HTTPSConnection):
        def connect(self) -> None:
            connections.add(self)
            super().connect()

        def _new_conn(self) -> socket.socket:
            return _connected(self, super()._new_conn)

    # The names of the classes appear in logs and in errors of urllib3.
    Plain.__name__, Secure.__name__ = HTTPConnection.__name__, HTTPSConnection.__name__

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}


def _connected(connection: HTTPConnection, connect: Callable[[], socket.socket]) -> socket.socket:
    """Connect to the first address of the host that accepts; the name is resolved within the timeout for connecting."""
    name = connection._dns_host
    *others, last = _addresses(connection)
    try:
        for address in others:
            connection._dns_host = address
            # Also the base class of the error for a refused connection.
            with contextlib.suppress(ConnectTimeoutError):
                return connect()
        connection._dns_host = last
        return connect()
    finally:
        connection._dns_host = name


def _addresses(connection: HTTPConnection) -> list[str]:
    seconds = connection.timeout if isinstance(connection.timeout, int | float) else None
    resolved: Future[list[str]] = Future()
    # The address of a proxy may have brackets, as in a URL.
    arguments = (connection._dns_host.strip("[]"), connection.port, resolved)
    # A daemon, so that a resolver that does not answer delays neither this thread nor the end of the process.
    threading.Thread(target=_resolve, args=arguments, name="bsv-store-resolver", daemon=True).start()
    try:
        return resolved.result(seconds)
    except TimeoutError as error:
        reason = socket.gaierror(socket.EAI_AGAIN, f"no answer within {seconds:g} s")
        raise NameResolutionError(connection.host, connection, reason) from error
    except socket.gaierror as error:
        raise NameResolutionError(connection.host, connection, error) from error
    except UnicodeError:
        # urllib3 has its own error for names that are not valid.
        return [connection._dns_host]


def _resolve(host: str, port: int, resolved: Future[list[str]]) -> None:
    try:
        found = socket.getaddrinfo(host, port, allowed_gai_family(), socket.SOCK_STREAM)
        resolved.set_result(list(dict.fromkeys(_with_scope(*address[4]) for address in found)))
    except BaseException as error:  # noqa: BLE001 (raised in the waiting thread)
        resolved.set_exception(error)


def _with_scope(address: str, _port: int = 0, _flow: int = 0, scope: int = 0) -> str:
    # A link-local address of IPv6 is not complete without the number of the network interface.
    return f"{address}%{scope}" if scope else address


def _shut_down(sock: Any) -> None:
    if isinstance(sock, socket.socket):
        # The method of the plain socket: that of a TLS socket waits for, or disturbs, the reading thread.
        with contextlib.suppress(OSError):
            socket.socket.shutdown(sock, socket.SHUT_RDWR)


def _forget_inherited_connections() -> None:
    # The sockets belong to the parent, in which the thread of the fork has the same number: shutting them down in the
    # child would end the parent's transfers. A lock may be held by a thread that the child does not have.
    for connections in list(_clients):
        connections._forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_inherited_connections)
