"""Answers that are kept until something in the catalog changes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from bsv_store.server.recent import Recent

if TYPE_CHECKING:
    from bsv_store.store.store import Store

T = TypeVar("T")


def marker_or_current(store: Store, marker: str | None) -> str:
    """The change marker of the catalog: the one that this request has read already, else the current one."""
    return store.catalog.change_marker() if marker is None else marker


class Latest(Generic[T]):
    """A value made from the store, and made again when something was committed. Safe to share between threads.

    Parameters
    ----------
    make : callable
        Makes the value.
    """

    def __init__(self, make: Callable[[Store], T]) -> None:
        self._make = make
        self._found: tuple[str, T] | None = None
        self._lock = threading.Lock()

    def get(self, store: Store, marker: str | None = None) -> T:
        """The value for the current content of the catalog.

        Parameters
        ----------
        store : Store
        marker : str, optional
            The change marker of the catalog, if this request has read it already.
        """
        # Read before the value is made: a value may be newer than its marker, which only makes it again.
        found, marker = self._found, marker_or_current(store, marker)
        if found is not None and found[0] == marker:
            return found[1]
        with self._lock:
            marker = store.catalog.change_marker()
            found = self._found
            if found is None or found[0] != marker:
                found = (marker, self._make(store))
                self._found = found
            return found[1]


class Answers:
    """Answers to questions, the least recently used ones forgotten first. Safe to share between threads.

    Parameters
    ----------
    max_bytes : int
        Total size of the answers.
    on_look_up : callable
        Called by `kept` with whether the answer was known.
    """

    def __init__(self, max_bytes: int, on_look_up: Callable[[bool], None]) -> None:
        self._on_look_up = on_look_up
        self._marker = ""
        self._answers: Recent[object] = Recent(max_bytes, largest_bytes=max_bytes // 4)
        self._lock = threading.Lock()

    def get(self, marker: str, question: Hashable) -> object | None:
        """The answer to a question while the marker was the same; None if it is not known."""
        with self._lock:
            return self._answers.find(question) if marker == self._marker else None

    def kept(
        self,
        store: Store,
        question: Hashable,
        make: Callable[[], T],
        *,
        size_of: Callable[[T], int],
        marker: str | None = None,
    ) -> T:
        """The answer that was made before for the present content of the catalog, or a new one.

        A question must always be asked with answers of one type. ``marker`` is the change marker of the catalog, if
        this request has read it already.
        """
        # Read before the answer is made: it may be newer than its marker, which only makes it again.
        marker = marker_or_current(store, marker)
        found = self.get(marker, question)
        self._on_look_up(found is not None)
        if found is not None:
            return cast(T, found)
        made = make()
        self.put(marker, question, made, size_bytes=size_of(made))
        return made

    def put(self, marker: str, question: Hashable, answer: object, *, size_bytes: int) -> None:
        """Keep an answer; its marker was read before the answer was made."""
        with self._lock:
            if marker != self._marker:
                self._marker = marker
                self._answers.clear()
            self._answers.put(question, answer, size_bytes)
