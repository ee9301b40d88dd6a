"""The store of a server: opened again when it was changed from outside, refused while it cannot be used."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from bsv_store.config import CATALOG_FILE, STORE_FILE
from bsv_store.errors import BsvStoreError, BusyError, StoreMismatchError
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
        busy = None
        if self._identity() != self._files:
            with self._lock:
                busy = self._check()
        elif time.monotonic() >= self._next_check and self._lock.acquire(blocking=False):
            # Other requests do not wait for a check that is in progress.
            try:
                busy = self._check()
            finally:
                self._lock.release()
        # A request that has waited for a locked catalog does not wait for it again.
        if (failure := self._failure or busy) is not None:
            raise failure()
        return self._store

    def check(self) -> None:
        """Check the store now.

        Raises
        ------
        BsvStoreError
            If the store cannot be used.
        """
        with self._lock:
            busy = self._check()
        if (failure := self._failure or busy) is not None:
            raise failure()

    def latest(self) -> Store:
        """The store that was opened last, whether it can be used or not."""
        return self._store

    def close(self) -> None:
        """Close the store if it was opened again here; otherwise it belongs to the caller."""
        with self._lock:
            if self._was_reopened:
                self._store.close()

    def _check(self) -> Callable[[], BsvStoreError] | None:
        """Update the store and the failure; returns what raises the error if the catalog is locked."""
        files = self._identity()
        try:
            if files != self._files or self._failure is not None:
                self._open_again()
            else:
                self._store.check()
            self._files, self._failure = files, None
        except BusyError as error:
            # Says nothing about the store.
            return _maker(error)
        except BsvStoreError as error:
            self._files, self._failure = files, _maker(error)
        finally:
            self._next_check = time.monotonic() + _INTERVAL_S
        return None

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
