"""A cache of arrays and replies with a limit in bytes, whose entries are computed once for all waiting requests."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, Protocol, TypeVar

from starlette.concurrency import run_in_threadpool

from bsv_store.server.recent import Recent

T = TypeVar("T")


class Run(Protocol):
    """Calls a function in a thread."""

    def __call__(self, work: Callable[[], T], /) -> Awaitable[T]:
        """The result of the function."""
        ...


class Memory(Generic[T]):
    """The entries used last, up to a total size.

    Used in the event loop of one application only, so it needs no lock.

    Parameters
    ----------
    limit_bytes : int
    size_of : callable
        The size of an entry in bytes.
    """

    def __init__(self, limit_bytes: int, size_of: Callable[[T], int]) -> None:
        self._size_of = size_of
        self._recent: Recent[T] = Recent(limit_bytes)
        self._pending: dict[Hashable, asyncio.Task[T]] = {}

    def find(self, key: Hashable) -> T | None:
        """The entry of a key, or None."""
        return self._recent.find(key)

    @property
    def size_bytes(self) -> int:
        """Size of all entries."""
        return self._recent.size_bytes

    async def get(self, key: Hashable, compute: Callable[[], T], *, run: Run = run_in_threadpool) -> T:
        """The entry of a key, computed in a thread if there is none; requests for the same key share the work.

        Parameters
        ----------
        run : callable, optional
            Calls ``compute`` in a thread; by default in one of the thread pool that all requests share.
        """
        found = self.find(key)
        if found is not None:
            return found
        task = self._pending.get(key)
        if task is None:
            task = asyncio.create_task(self._computed(key, compute, run))
            self._pending[key] = task
        # A client that disconnects must not cancel the work that others wait for.
        return await asyncio.shield(task)

    async def _computed(self, key: Hashable, compute: Callable[[], T], run: Run) -> T:
        try:
            entry = await run(compute)
        finally:
            del self._pending[key]
        self.add(key, entry)
        return entry

    def add(self, key: Hashable, entry: T) -> None:
        """Add an entry; those not used for the longest time are removed. One above the limit is not stored."""
        self._recent.put(key, entry, self._size_of(entry))
