"""What the routes of the application share: the open store and the settings of the server."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from bsv_store.server.access.in_progress import in_progress_in
from bsv_store.server.access.tokens import KnownTokens
from bsv_store.server.long_work import LongWork
from bsv_store.server.metrics import ServerMetrics
from bsv_store.server.options import ServerOptions
from bsv_store.server.private import PrivatePaths
from bsv_store.server.watched_store import WatchedStore

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request

    from bsv_store.store.store import Store


T = TypeVar("T")


class Context:
    """The open store, the settings and the counters of one server process.

    Parameters
    ----------
    store : Store
        Open for reading only.
    options : ServerOptions
    metrics : ServerMetrics
    folder : pathlib.Path, optional
        A temporary folder that the workers of a server share.

    Attributes
    ----------
    options : ServerOptions
    metrics : ServerMetrics
    folder : pathlib.Path or None
    in_progress : InProgress
        The number of requests in progress of all workers.
    long_work : LongWork
        The long operations of this process.
    paths : PrivatePaths
        Removes paths of the machine from messages.
    tokens : KnownTokens
        The tokens of clients.
    """

    def __init__(
        self, store: Store, options: ServerOptions, metrics: ServerMetrics, folder: Path | None = None
    ) -> None:
        self._watched = WatchedStore(store)
        self._closing = ExitStack()
        self._closing.callback(self._watched.close)
        self.folder = folder
        self.options = options
        self.metrics = metrics
        self.in_progress = in_progress_in(folder, options.workers)
        self._closing.callback(self.in_progress.close)
        self.long_work = LongWork()
        self.paths = PrivatePaths(store.path)
        self.tokens = KnownTokens(lambda: self.store.admin.tokens())

    @property
    def store(self) -> Store:
        """The open store; safe to share between threads. Get it once in a request.

        Raises
        ------
        BsvStoreError
            If the store cannot be used now, because its schema was changed or it was replaced or removed.
        """
        return self._watched.current()

    def check_store(self) -> None:
        """Check now that the store can be used.

        Raises
        ------
        BsvStoreError
            If it cannot.
        """
        self._watched.check()

    def latest_store(self) -> Store:
        """The store that was opened last, without a check whether it can be used."""
        return self._watched.latest()

    def stop_work(self) -> None:
        """End the queries of clients and the other long operations that are running."""
        # Queries first: they end with an error of their own.
        self.latest_store().database.queries.stop()
        self.long_work.stop()

    def close(self) -> None:
        """Close what the context opened."""
        self._closing.close()

    def at_close(self, close: Callable[[], object]) -> None:
        """Call a function when the context is closed."""
        self._closing.callback(close)


_shared_lock = threading.Lock()


def shared_by_application(app: Starlette, name: str, kind: type[T], make: Callable[[], T]) -> T:
    """What the requests to an application share under a name, made at the first one. Safe in threads.

    Parameters
    ----------
    app : Starlette
    name : str
        Attribute of the application's state.
    kind : type
        Of the value.
    make : callable
        Makes the value.
    """
    state = app.state
    with _shared_lock:
        if not hasattr(state, name):
            setattr(state, name, make())
        found = getattr(state, name)
    assert isinstance(found, kind)
    return found


def context_of(request: Request) -> Context:
    """The context of the application that serves a request."""
    return context_of_application(request.app)


def context_of_application(app: Starlette) -> Context:
    """The context of an application."""
    found = app.state.context
    assert isinstance(found, Context)
    return found
