"""The queries of users that are running, so that a server that stops can end them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LOG = logging.getLogger("bsv_store.catalog")


class RunningQuery:
    """One query that is running.

    Attributes
    ----------
    is_stopped : bool
        Whether it is to end. What runs it checks this while it runs, and after it has set ``cancel``.
    cancel : callable or None
        Interrupts it from any thread.
    """

    def __init__(self) -> None:
        self.is_stopped = False
        self.cancel: Callable[[], object] | None = None


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
        # All at once: to cancel one may take seconds.
        for query in found:
            query.is_stopped = True
        for query in found:
            if query.cancel is None:
                continue
            try:
                query.cancel()
            except Exception as error:  # noqa: BLE001 (of any driver; the other queries are still to be ended)
                LOG.warning("a query could not be ended before its timeout: %s", error)
