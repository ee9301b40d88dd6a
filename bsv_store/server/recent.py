"""Values by key up to a total size; those that were not used for the longest time are forgotten first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Recent(Generic[T]):
    """The values that were used last. Not safe to share between threads by itself.

    Parameters
    ----------
    limit_bytes : int
    largest_bytes : int, optional
        Size of the largest value that is kept; by default all that fit.

    Attributes
    ----------
    size_bytes : int
        Of all values.
    """

    def __init__(self, limit_bytes: int, *, largest_bytes: int | None = None) -> None:
        self.size_bytes = 0
        self._limit = limit_bytes
        self._largest = limit_bytes if largest_bytes is None else largest_bytes
        self._entries: OrderedDict[Hashable, tuple[T, int]] = OrderedDict()

    def find(self, key: Hashable) -> T | None:
        """The value of a key, which counts as used; None if there is none."""
        found = self._entries.get(key)
        if found is None:
            return None
        self._entries.move_to_end(key)
        return found[0]

    def put(self, key: Hashable, value: T, size_bytes: int) -> None:
        """Keep a value, in place of the one that the key had."""
        if size_bytes > self._largest:
            return
        before = self._entries.pop(key, None)
        self._entries[key] = value, size_bytes
        self.size_bytes += size_bytes - (0 if before is None else before[1])
        while self.size_bytes > self._limit:
            _, (_, size) = self._entries.popitem(last=False)
            self.size_bytes -= size

    def clear(self) -> None:
        """Forget all values."""
        self._entries.clear()
        self.size_bytes = 0
