"""Connections that another thread can abort: otherwise Ctrl-C would wait for a server that hangs."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Any
from weakref import WeakSet

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection


class Connections:
    """The open connections of one client, in any number of threads."""

    def __init__(self) -> None:
        self._open: WeakSet[HTTPConnection] = WeakSet()
        self._lock = threading.Lock()
        self.pool_classes = _pool_classes(self)

    def add(self, connection: HTTPConnection) -> None:
        """Register a connection."""
        with self._lock:
            self._open.add(connection)

    def abort(self) -> None:
        """Shut down all connections: threads that read from them get an error at once."""
        with self._lock:
            for connection in self._open:
                _shut_down(connection.sock)


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


def _pool_classes(connections: Connections) -> dict[str, type[HTTPConnectionPool]]:
    class Plain(HTTPConnection):
        def connect(self) -> None:
            super().connect()
            connections.add(self)

    class Secure(HTTPSConnection):
        def connect(self) -> None:
            super().connect()
            connections.add(self)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}


def _shut_down(sock: Any) -> None:
    if isinstance(sock, socket.socket):
        # The method of the plain socket: that of a TLS socket waits for, or disturbs, the reading thread.
        with contextlib.suppress(OSError):
            socket.socket.shutdown(sock, socket.SHUT_RDWR)
