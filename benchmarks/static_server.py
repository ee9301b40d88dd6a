"""A server of prepared density downloads that takes almost no CPU time, for benchmarks of clients.

``python -m benchmarks.static_server BODIES MB_PER_SECOND`` prints its address and runs until its standard input is
closed. An experiment gets the body with the number of its id modulo BODIES. The rate is that of all connections
together; 0 means no limit.
"""

from __future__ import annotations

import hashlib
import re
import socket
import socketserver
import sys
import threading
import time
from typing import Any

import numpy as np

from benchmarks.generate import Volumes
from bsv_store_synthetic.wire_volumes import grid_zip

_PIECE = 65_536
_TARGET = re.compile(rb"GET /grid_data/download/(\d+)\?include=density HTTP/1\.1\r\n")


class _Generated:
    """The part of the interface of a synthetic atlas that the zip writer uses."""

    def __init__(self) -> None:
        self._volumes = Volumes()

    def volume(self, number: int, _kind: str) -> np.ndarray[Any, np.dtype[np.float32]]:
        return self._volumes.volume(number)


def bodies(count: int) -> list[bytes]:
    """Complete replies, header and body."""
    atlas: Any = _Generated()
    return [_reply(grid_zip(atlas, number)) for number in range(count)]


def _reply(body: bytes) -> bytes:
    etag = hashlib.sha256(body).hexdigest()[:32]
    header = (
        "HTTP/1.1 200 OK\r\nContent-Type: application/zip\r\n"
        f'Content-Length: {len(body)}\r\nETag: "{etag}"\r\nAccept-Ranges: bytes\r\n\r\n'
    )
    return header.encode() + body


class _Line:
    """A bandwidth limit that all connections share."""

    def __init__(self, bytes_per_second: float) -> None:
        self._rate = bytes_per_second
        self._free_at = 0.0
        self._lock = threading.Lock()

    def send(self, connection: socket.socket, data: bytes) -> None:
        """Send at the limited rate."""
        if not self._rate:
            connection.sendall(data)
            return
        for start in range(0, len(data), _PIECE):
            piece = data[start : start + _PIECE]
            with self._lock:
                self._free_at = max(self._free_at, time.monotonic()) + len(piece) / self._rate
                pause = self._free_at - time.monotonic()
            time.sleep(max(0.0, pause))
            connection.sendall(piece)


class _Handler(socketserver.BaseRequestHandler):
    replies: list[bytes]
    line: _Line

    def handle(self) -> None:
        pending = b""
        while True:
            while b"\r\n\r\n" not in pending:
                if not (received := self.request.recv(65536)):
                    return
                pending += received
            request, _, pending = pending.partition(b"\r\n\r\n")
            match = _TARGET.match(request + b"\r\n")
            if match is None:
                self.request.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
                continue
            self.line.send(self.request, self.replies[int(match[1]) % len(self.replies)])


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64


def main() -> None:
    _Handler.replies = bodies(int(sys.argv[1]))
    _Handler.line = _Line(1e6 * float(sys.argv[2]))
    with _Server(("127.0.0.1", 0), _Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
        sys.stdin.read()
        server.shutdown()


if __name__ == "__main__":
    main()
