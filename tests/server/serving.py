"""The application as a server on the loopback interface, on a free port, in a thread of the test."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bsv_store.server.options import ServerOptions
from bsv_store.server.run import server_of

if TYPE_CHECKING:
    from bsv_store import Store


@contextmanager
def serving(store: Store, options: ServerOptions | None = None) -> Iterator[str]:
    """Serve a store; yields the base address, without a slash at the end and without the root path of the options."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
    server = server_of(store, options or ServerOptions(shutdown_s=2), lambda: None)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listening.close()
