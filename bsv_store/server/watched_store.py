"""The store of a server: opened again when it was changed from outside, refused while it cannot be used."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from bsv_store.config import CATALOG_FILE, STORE_FILE
from bsv_store.errors import BsvStoreError, StoreMismatchError
from bsv_store.store.opening import open_store

if TYPE_CHECKING:
    from bsv_store.store.store import Store

_INTERVAL_S = 1.0


class WatchedStore:
    """An open store that may be upgraded, restored or replaced while the server runs.

    The identity of its files is compared at each use, its schema once per second. If the catalog or ``store.toml`` was
    replaced, the store is opened again. Safe to share between threads.

    Parameters
    ----------
    store : Store
        Open for reading only.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._store_id = store.config.store_id
        self._path = store.path
        self._was_reopened = False
        self._files = self._identity()
        self._next_check = time.monotonic() + _INTERVAL_S
        self._failure: Callable[[], BsvStoreError] | None = None
        self._lock = threading.Lock()

    def current(self) -> Store:
        """The open store.

        Raises
        ------
        BsvStoreError
            If the store cannot be used now.
        """
        if self._failure is not None or time.monotonic() >= self._next_check or self._identity() != self._files:
            self._check(at_once=False)
        if self._failure is not None:
            raise self._failure()
        return self._store

    def check(self) -> None:
        """Check the store now.

        Raises
        ------
        BsvStoreError
            If the store cannot be used.
        """
        self._check(at_once=True)
        if self._failure is not None:
            raise self._failure()

    def close(self) -> None:
        """Close the store if it was opened again here; otherwise it belongs to the caller."""
        with self._lock:
            if self._was_reopened:
                self._store.close()

    def _check(self, *, at_once: bool) -> None:
        with self._lock:
            files = self._identity()
            is_new = files != self._files
            if not (at_once or is_new or time.monotonic() >= self._next_check):
                return
            try:
                if is_new or self._failure is not None:
                    self._open_again()
                else:
                    self._store.check()
                self._files = files
                self._failure = None
            except BsvStoreError as error:
                self._failure = _maker(error)
            self._next_check = time.monotonic() + _INTERVAL_S

    def _open_again(self) -> None:
        store = open_store(self._path, read_only=True)
        if store.config.store_id != self._store_id:
            store.close()
            raise StoreMismatchError(
                "the folder of the server has another store than when the server was started",
                hint="Restart the server.",
            )
        # Transactions that other threads have begun keep their connections until they end.
        self._store.close()
        self._store, self._was_reopened = store, True

    def _identity(self) -> tuple[object, ...]:
        identity: list[object] = []
        for name in (STORE_FILE, CATALOG_FILE):
            try:
                found = (self._path / name).stat()
            except OSError as error:
                identity.append(error.errno)
            else:
                # The catalog changes all the time; its description does not.
                identity.append((found.st_dev, found.st_ino, found.st_mtime_ns if name == STORE_FILE else None))
        return tuple(identity)


def _maker(error: BsvStoreError) -> Callable[[], BsvStoreError]:
    kind, message, hint = type(error), error.message, error.hint
    # Each request raises its own, because a raised error collects the frames it passes.
    return lambda: kind(message, hint=hint)
