"""The running queries of users, which a server stops when it shuts down."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LOG = logging.getLogger("bsv_store.catalog")

# How long queries may take to end after they were canceled, and the interval at which they are canceled again.
_STOP_S = 4.0
_REPEAT_S = 0.25


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
        self._lock = threading.Condition()

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
                self._lock.notify_all()

    def stop(self) -> None:
        """Stop all running queries; each raises BusyError. Returns when they have ended, or after a few seconds."""
        with self._lock:
            found = set(self._queries)
        # Mark all of them first, because canceling one may take seconds.
        for query in found:
            query.is_stopped = True
        deadline = time.monotonic() + _STOP_S
        left = found
        while left and time.monotonic() < deadline:
            for query in left:
                _cancel(query)
            with self._lock:
                # Canceled again, because a database ignores this between two statements of a query.
                self._lock.wait_for(lambda: not found & self._queries, timeout=_REPEAT_S)
                left = found & self._queries


def _cancel(query: RunningQuery) -> None:
    if query.cancel is None:
        return
    try:
        query.cancel()
    except Exception as error:  # noqa: BLE001 (of any driver; the other queries must be stopped too)
        LOG.warning("a query could not be stopped before its timeout: %s", error)
