"""A cache of arrays and replies with a limit in bytes, whose entries are computed once for all waiting requests."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from starlette.concurrency import run_in_threadpool

T = TypeVar("T")


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
        self.limit_bytes = limit_bytes
        self.size_bytes = 0
        self._size_of = size_of
        self._entries: OrderedDict[Hashable, T] = OrderedDict()
        self._pending: dict[Hashable, asyncio.Task[T]] = {}

    def find(self, key: Hashable) -> T | None:
        """The entry of a key, or None."""
        found = self._entries.get(key)
        if found is not None:
            self._entries.move_to_end(key)
        return found

    async def get(self, key: Hashable, compute: Callable[[], T]) -> T:
        """The entry of a key, computed in a thread if there is none; requests for the same key share the work."""
        found = self.find(key)
        if found is not None:
            return found
        task = self._pending.get(key)
        if task is None:
            task = asyncio.create_task(self._computed(key, compute))
            self._pending[key] = task
        # A client that disconnects must not cancel the work that others wait for.
        return await asyncio.shield(task)

    async def _computed(self, key: Hashable, compute: Callable[[], T]) -> T:
        try:
            entry = await run_in_threadpool(compute)
        finally:
            del self._pending[key]
        self.add(key, entry)
        return entry

    def add(self, key: Hashable, entry: T) -> None:
        """Add an entry; those not used for the longest time are removed. One above the limit is not stored."""
        size = self._size_of(entry)
        if size > self.limit_bytes or key in self._entries:
            return
        self._entries[key] = entry
        self.size_bytes += size
        while self.size_bytes > self.limit_bytes:
            _, oldest = self._entries.popitem(last=False)
            self.size_bytes -= self._size_of(oldest)
