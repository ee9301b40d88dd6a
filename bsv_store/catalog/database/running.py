"""The queries of users that are running, so that a server that stops can end them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class RunningQuery:
    """One query that is running."""

    def __init__(self) -> None:
        self.is_stopped = False
        self.cancel: Callable[[], object] | None = None

    def stop(self) -> None:
        """End it. What runs it looks at `is_stopped`, or `cancel` interrupts it from any thread."""
        self.is_stopped = True
        if self.cancel is not None:
            self.cancel()


class RunningQueries:
    """The queries that are running on a database. Safe to share between threads."""

    def __init__(self) -> None:
        self._queries: set[RunningQuery] = set()
        self._lock = threading.Lock()

    @property
    def count(self) -> int:
        """Their number."""
        return len(self._queries)

    @contextmanager
    def running(self) -> Iterator[RunningQuery]:
        """A query that is running during the block."""
        query = RunningQuery()
        with self._lock:
            self._queries.add(query)
        try:
            yield query
        finally:
            with self._lock:
                self._queries.discard(query)

    def stop(self) -> None:
        """End the queries that are running now; each raises BusyError."""
        with self._lock:
            found = list(self._queries)
        for query in found:
            query.stop()
