"""The running queries of users, which a server stops when it shuts down."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class RunningQuery:
    """A running query."""

    def __init__(self) -> None:
        self.is_stopped = False
        self.cancel: Callable[[], object] | None = None

    def stop(self) -> None:
        """Stop it from any thread: the code that runs it checks `is_stopped`, or `cancel` interrupts it."""
        self.is_stopped = True
        if self.cancel is not None:
            self.cancel()


class RunningQueries:
    """The running queries of a database. Thread-safe."""

    def __init__(self) -> None:
        self._queries: set[RunningQuery] = set()
        self._lock = threading.Lock()

    @property
    def count(self) -> int:
        """Number of running queries."""
        return len(self._queries)

    @contextmanager
    def running(self) -> Iterator[RunningQuery]:
        """Register a query for the duration of the block."""
        query = RunningQuery()
        with self._lock:
            self._queries.add(query)
        try:
            yield query
        finally:
            with self._lock:
                self._queries.discard(query)

    def stop(self) -> None:
        """Stop all running queries; each raises BusyError."""
        with self._lock:
            found = list(self._queries)
        for query in found:
            query.stop()
