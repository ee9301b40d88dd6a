"""What the data routes of one application share: copies of the catalog, the index of files, and kept answers."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

import anyio
import anyio.to_thread

from bsv_store.catalog.selection.selection import Selection
from bsv_store.errors import BsvStoreError, BusyError
from bsv_store.server.context import context_of_application, shared_by_application
from bsv_store.server.data.answers import Answers, Latest, marker_or_current
from bsv_store.server.data.catalog_copies import CatalogCopies
from bsv_store.server.data.kept_answer import KeptAnswer
from bsv_store.server.data.known_experiments import KnownExperiments

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable
    from pathlib import Path

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray
    from starlette.applications import Starlette
    from starlette.requests import Request

    from bsv_store.catalog.selection.selection import SelectionLike
    from bsv_store.errors import BsvStoreWarning
    from bsv_store.server.long_work import LongWork
    from bsv_store.server.metrics import ServerMetrics
    from bsv_store.store.store import Store
    from bsv_store.vocabulary import MissingPolicy
    from bsv_store.volumes.stored_object import StoredObject

T = TypeVar("T")

LOG = logging.getLogger("bsv_store.server")

_ANSWER_BYTES = 64_000_000
_OVERHEAD_BYTES = 1_000

LONG_AT_A_TIME: Final = 4
"""Number of long operations at a time, of all workers together; with more than 4 workers, each runs one."""
_MAX_WAITING = 50


class Shared:
    """See the module.

    Parameters
    ----------
    metrics : ServerMetrics
        Counts the look-ups of answers.
    long_work : LongWork
        Runs the long operations.
    folder : pathlib.Path, optional
        A folder that the workers of the server share.
    clean : callable
        Removes paths of the machine from a cell.

    Attributes
    ----------
    copies : CatalogCopies
    files : Latest of dict
        The files that the catalog names, by hash.
    answers : Answers
    """

    def __init__(
        self,
        metrics: ServerMetrics,
        long_work: LongWork,
        folder: Path | None,
        clean: Callable[[object], object],
        *,
        workers: int,
    ) -> None:
        self.copies = CatalogCopies(None if folder is None else folder / "catalog")
        self.files = Latest(_files_by_hash)
        self._experiments = Latest(lambda store: KnownExperiments(store, clean))
        self.answers = Answers(_ANSWER_BYTES, lambda is_known: metrics.count_cache("answers", hit=is_known))
        self._long_work = long_work
        self._long = anyio.CapacityLimiter(max(1, LONG_AT_A_TIME // workers))
        self._workers = workers

    async def run_long(self, work: Callable[[], T]) -> T:
        """The result of work that may take seconds. Few of these run at a time, and others do not wait for them.

        Raises
        ------
        BusyError
            If many wait already, or the server stops.
        """
        if self._long.statistics().tasks_waiting >= max(1, _MAX_WAITING // self._workers):
            raise BusyError("many long operations, such as queries and exports, are waiting", hint="Try again later.")
        return await anyio.to_thread.run_sync(partial(self._long_work.run, work), limiter=self._long)

    def experiments(
        self,
        store: Store,
        selection: SelectionLike | None = None,
        *,
        missing: MissingPolicy = "leave_out",
        marker: str | None = None,
    ) -> pd.DataFrame:
        """The same as ``store.experiments``, with the rows taken from a table in memory, which is faster."""
        found = self.selected(store, selection, missing=missing, marker=marker)
        if found is None:
            return store.experiments(selection, missing=missing)
        known, places = found
        return known.frame.take(places).reset_index(drop=True)

    def selected(
        self,
        store: Store,
        selection: SelectionLike | None,
        *,
        missing: MissingPolicy = "leave_out",
        marker: str | None = None,
    ) -> tuple[KnownExperiments, NDArray[np.integer[Any]]] | None:
        """All experiments, and the row numbers of the selected ones; None if the catalog has changed in the meantime.

        It is None for a damaged catalog too. After None, discard the warnings: the call that replaces this one issues
        them again.

        Parameters
        ----------
        store : Store
        selection : Selection or experiment ids, optional
        missing : {'leave_out', 'error'}
        marker : str, optional
            The change marker of the catalog, if this request has read it already.
        """
        before = marker_or_current(store, marker)
        known = self._experiments.get(store, before)
        # From the same state of the catalog as the table, even if something is committed now.
        places = known.selected(selection, missing=missing)
        if places is not None:
            return known, places
        ids = store.select(selection, missing=missing)
        if store.catalog.change_marker() != before:
            # The ids may belong to another state of the catalog than the table.
            return None
        numbers = known.places(ids)
        return None if numbers is None else (known, numbers)

    def selected_and_excluded(
        self, store: Store, selection: Selection, *, missing: MissingPolicy = "leave_out", marker: str | None = None
    ) -> tuple[KnownExperiments, NDArray[np.integer[Any]], dict[int, str]] | None:
        """As `selected`, with what the exclusion list removes in the same state of the catalog: reason by id."""
        before = marker_or_current(store, marker)
        found = self.selected(store, selection, missing=missing, marker=before)
        if found is None:
            return None
        excluded = found[0].excluded_from(selection)
        if excluded is None:
            excluded = store.catalog.excluded_from(selection)
            if store.catalog.change_marker() != before:
                return None
        return *found, excluded

    def kept(
        self, store: Store, question: Hashable, make: Callable[[], KeptAnswer], *, marker: str | None = None
    ) -> KeptAnswer:
        """The answer that was made before for the present content of the catalog, or a new one."""
        return self.answers.kept(
            store, question, make, size_of=lambda each: len(each.body) + _OVERHEAD_BYTES, marker=marker
        )

    def kept_frame(self, call: Asked, question: Hashable, make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        """A table of which requests show different parts: kept, with the warnings about it, or made."""
        before = len(call.warnings)

        def made() -> _KeptFrame:
            frame = make()
            return _KeptFrame(frame, tuple(call.warnings[before:]))

        kept = self.answers.kept(
            call.store,
            question,
            made,
            size_of=lambda each: int(each.frame.memory_usage(deep=True).sum()),
            marker=call.marker,
        )
        # Making it has added them already.
        call.warnings[before:] = kept.warnings
        return kept.frame


class Asked(Protocol):
    """What `Shared.kept_frame` needs of a request."""

    @property
    def store(self) -> Store:
        """The store."""
        ...

    @property
    def marker(self) -> str | None:
        """The change marker of the catalog, if this request has read it already."""
        ...

    @property
    def warnings(self) -> list[BsvStoreWarning]:
        """The warnings so far."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class _KeptFrame:
    frame: pd.DataFrame
    warnings: tuple[BsvStoreWarning, ...]


def shared_of(request: Request) -> Shared:
    """What the data routes of the application that serves a request share."""
    return shared_of_application(request.app)


def shared_of_application(app: Starlette) -> Shared:
    """What the data routes of an application share."""

    def make() -> Shared:
        context = context_of_application(app)
        options = context.options
        made = Shared(
            context.metrics, context.long_work, context.folder, context.paths.in_cell, workers=options.workers
        )
        context.at_close(made.copies.close)
        return made

    return shared_by_application(app, "data", Shared, make)


def prepare_answers(app: Starlette) -> None:
    """Prepare what the first search needs. Errors are left to the first search, which raises them again.

    The server of a damaged catalog starts, and answers what does not need the damaged rows.
    """
    try:
        store = context_of_application(app).latest_store()
        if (found := shared_of_application(app).selected(store, Selection())) is not None:
            LOG.debug("answers were prepared: %d columns", len(found[0].rows.names))
    except BsvStoreError as error:
        LOG.debug("answers were not prepared: %s", error.message)
    except Exception:  # such as for a damaged value that its column cannot have
        LOG.exception("the first answers could not be prepared")


def _files_by_hash(store: Store) -> dict[str, StoredObject]:
    return {each.file_sha256: each for each in store.catalog.files()}
