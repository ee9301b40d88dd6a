"""A cache with a maximum size in bytes, which removes the least recently used values first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Recent(Generic[T]):
    """Values by key, up to a total size. Not thread-safe.

    Parameters
    ----------
    limit_bytes : int
    largest_bytes : int, optional
        Maximum size of a value; larger ones are not stored. By default ``limit_bytes``.

    Attributes
    ----------
    size_bytes : int
        Total size of all values.
    """

    def __init__(self, limit_bytes: int, *, largest_bytes: int | None = None) -> None:
        self.size_bytes = 0
        self._limit = limit_bytes
        self._largest = limit_bytes if largest_bytes is None else largest_bytes
        self._entries: OrderedDict[Hashable, tuple[T, int]] = OrderedDict()

    def find(self, key: Hashable) -> T | None:
        """The value of a key, which becomes the most recently used one; None if there is none."""
        found = self._entries.get(key)
        if found is None:
            return None
        self._entries.move_to_end(key)
        return found[0]

    def put(self, key: Hashable, value: T, size_bytes: int) -> None:
        """Store a value, replacing the one with the same key."""
        if size_bytes > self._largest:
            return
        before = self._entries.pop(key, None)
        self._entries[key] = value, size_bytes
        self.size_bytes += size_bytes - (0 if before is None else before[1])
        while self.size_bytes > self._limit:
            _, (_, size) = self._entries.popitem(last=False)
            self.size_bytes -= size

    def clear(self) -> None:
        """Remove all values."""
        self._entries.clear()
        self.size_bytes = 0
