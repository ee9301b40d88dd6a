"""The running queries of users, which a server stops when it shuts down."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LOG = logging.getLogger("bsv_store.catalog")


class RunningQuery:
    """A running query.

    Attributes
    ----------
    is_stopped : bool
        Whether it must stop. The code that runs it checks this while it runs, and after it has set ``cancel``.
    cancel : callable or None
        Interrupts it from any thread.
    """

    def __init__(self) -> None:
        self.is_stopped = False
        self.cancel: Callable[[], object] | None = None


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
        # Mark all of them first, because canceling one may take seconds.
        for query in found:
            query.is_stopped = True
        for query in found:
            if query.cancel is None:
                continue
            try:
                query.cancel()
            except Exception as error:  # noqa: BLE001 (of any driver; the other queries must be stopped too)
                LOG.warning("a query could not be stopped before its timeout: %s", error)
