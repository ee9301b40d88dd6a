"""A network between a client and a server on the loopback interface, which loses connections and flips bits."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_PIECE = 16 * 1024


@dataclass
class Wire:
    """The network; its faults can be changed at any time.

    Attributes
    ----------
    url : str
        The address of the server, through this network.
    cuts, flips : float
        Probability that a connection is lost, or a bit is flipped, in 16 KiB from the server.
    received : int
        Number of bytes from the server.
    """

    url: str = ""
    cuts: float = 0.0
    flips: float = 0.0
    received: int = 0
    chance: random.Random = field(default_factory=lambda: random.Random(11))
    lost: int = 0
    flipped: int = 0

    def relay(self, client: socket.socket, server: socket.socket) -> None:
        """Pass on what the server sends, with faults."""
        while data := bytearray(server.recv(_PIECE)):
            self.received += len(data)
            part = len(data) / _PIECE
            if self.chance.random() < self.flips * part:
                data[self.chance.randrange(len(data))] ^= 1 << self.chance.randrange(8)
                self.flipped += 1
            if self.chance.random() < self.cuts * part:
                client.sendall(data[: self.chance.randrange(len(data))])
                self.lost += 1
                return
            client.sendall(data)


@contextmanager
def wire_to(url: str) -> Iterator[Wire]:
    """A network to the server at an address."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    target = parts.hostname, parts.port
    listening = socket.create_server(("127.0.0.1", 0))
    wire = Wire(f"http://127.0.0.1:{listening.getsockname()[1]}")
    opened: list[socket.socket] = []

    def serve() -> None:
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            server = socket.create_connection(target)
            opened.extend((client, server))
            threading.Thread(target=_pass_on, args=(client, server), daemon=True).start()
            threading.Thread(target=_answer, args=(wire, client, server), daemon=True).start()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield wire
    finally:
        # On Linux, closing alone does not wake the thread that accepts.
        with contextlib.suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        for each in opened:
            _close(each)
        thread.join(timeout=5)


def _pass_on(client: socket.socket, server: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := client.recv(_PIECE):
            server.sendall(data)
    _close(server)


def _answer(wire: Wire, client: socket.socket, server: socket.socket) -> None:
    with contextlib.suppress(OSError):
        wire.relay(client, server)
    _close(client)
    _close(server)


def _close(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()
