"""All experiments of one state of the catalog in memory: as a table, as JSON, and for selections."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from bsv_store import check
from bsv_store.catalog.selection.image import ExperimentImage
from bsv_store.catalog.selection.selection import Selection, selection_or_all
from bsv_store.catalog.tables.frames import experiments_frame
from bsv_store.server.data.prepared_rows import PreparedRows
from bsv_store.vocabulary import MISSING_POLICIES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from bsv_store.catalog.selection.selection import SelectionLike
    from bsv_store.store.store import Store
    from bsv_store.vocabulary import MissingPolicy


class KnownExperiments:
    """See the module. Safe to share between threads.

    Parameters
    ----------
    store : Store
        Read in one transaction.
    clean : callable
        Removes paths of the machine from a cell.

    Attributes
    ----------
    frame : pandas.DataFrame
        Ascending by id, withdrawn and excluded experiments included.
    """

    def __init__(self, store: Store, clean: Callable[[object], object]) -> None:
        everything = Selection(include_withdrawn=True, include_excluded=True)
        with store.database.reading() as connection:
            self.frame = experiments_frame(connection, everything)
            self._image = ExperimentImage(connection)
        self._clean = clean
        self._rows: PreparedRows | None = None
        self._lock = threading.Lock()

    @property
    def rows(self) -> PreparedRows:
        """The table as JSON, made when it is first needed."""
        if self._rows is None:
            with self._lock:
                if self._rows is None:
                    self._rows = PreparedRows(self.frame, self._clean)
        return self._rows

    def selected(self, selection: SelectionLike | None, *, missing: MissingPolicy) -> NDArray[np.intp] | None:
        """The places of the selected experiments in the table, ascending; None if only the database has the answer.

        Raises
        ------
        InputError, UnknownStructureError, UnknownExperimentError, SelectionError
            See `Store.select`.
        """
        # Experiments that may match, and for which something is missing, are only known to the database.
        check.choice("missing", missing, MISSING_POLICIES)
        return self._image.selected(selection_or_all(selection))

    def places(self, ids: Sequence[int]) -> NDArray[np.integer[Any]]:
        """The places of experiments in the table."""
        return self._image.ids.searchsorted(ids)
