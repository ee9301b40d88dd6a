"""Connections that another thread can cut: without that, Ctrl-C would wait for a server that hangs."""

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
    """All connections that one client has opened, for any number of threads."""

    def __init__(self) -> None:
        self._open: WeakSet[HTTPConnection] = WeakSet()
        self._lock = threading.Lock()
        self.pool_classes = _pool_classes(self)

    def add(self, connection: HTTPConnection) -> None:
        """Note a connection."""
        with self._lock:
            self._open.add(connection)

    def cut(self) -> None:
        """End all connections: who reads from one gets an error at once."""
        with self._lock:
            for connection in self._open:
                _cut(connection.sock)


class CuttableAdapter(HTTPAdapter):
    """A transport of requests whose connections are noted; it retries nothing by itself."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        super().__init__(pool_connections=2, pool_maxsize=2, max_retries=0)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Make the manager of pools, with connections of ours."""
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = self._connections.pool_classes

    def proxy_manager_for(self, *args: Any, **options: Any) -> Any:
        """The manager of pools of a proxy, with connections of ours."""
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


def _cut(sock: Any) -> None:
    if isinstance(sock, socket.socket):
        # The plain socket's method, since that of an encrypted one waits for, or disturbs, the thread that reads.
        with contextlib.suppress(OSError):
            socket.socket.shutdown(sock, socket.SHUT_RDWR)
