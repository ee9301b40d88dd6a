"""All experiments of one state of the catalog in memory: as a table, as JSON, and for selections."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from bsv_store import check
from bsv_store.catalog.database.models import Experiment
from bsv_store.catalog.selection.image import ExperimentImage
from bsv_store.catalog.selection.selection import Selection, selection_or_all
from bsv_store.catalog.structure_lookup import rgb
from bsv_store.catalog.tables.frames import experiments_frame
from bsv_store.server.data.prepared_rows import PreparedRows
from bsv_store.server.data.tables import column_values, flat, table_without_paths
from bsv_store.vocabulary import MISSING_POLICIES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from bsv_store.catalog.selection.selection import SelectionLike
    from bsv_store.store.store import Store
    from bsv_store.vocabulary import MissingPolicy


class KnownExperiments:
    """All experiments of one state of the catalog. Safe to share between threads.

    Parameters
    ----------
    store : Store
        Read in one transaction.
    clean : callable
        Removes paths of the server's machine from a cell.

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
            in_table = connection.scalar(select(func.count()).select_from(Experiment))
        # The view lacks an experiment whose structure was damaged.
        self._is_complete = in_table == len(self.frame)
        self._clean = clean
        self._rows: PreparedRows | None = None
        self._columns: dict[str, list[Any]] | None = None
        self._colors: dict[int, tuple[int, int, int]] | None = None
        self._lock = threading.Lock()

    @property
    def rows(self) -> PreparedRows:
        """The table as JSON, made when it is first needed."""
        if self._rows is None:
            with self._lock:
                if self._rows is None:
                    self._rows = PreparedRows(self.frame, self._clean)
        return self._rows

    @property
    def colors(self) -> dict[int, tuple[int, int, int]]:
        """Allen's color of each structure by its id: red, green and blue, 0 to 255."""
        # Only the page needs them: a damaged color must not stop other searches.
        if self._colors is None:
            self._colors = {row.id: rgb(row) for row in self._image.structures}
        return self._colors

    def columns(self, places: NDArray[np.integer[Any]]) -> dict[str, list[Any]]:
        """The columns of the rows with these numbers, as plain values without paths of the machine."""
        if self._columns is None:
            with self._lock:
                if self._columns is None:
                    self._columns = column_values(table_without_paths(flat(self.frame), self._clean))
        numbers: list[int] = places.tolist()
        return {name: [values[number] for number in numbers] for name, values in self._columns.items()}

    def selected(self, selection: SelectionLike | None, *, missing: MissingPolicy) -> NDArray[np.intp] | None:
        """The row numbers of the selected experiments, ascending; None if only the database has the answer.

        Raises
        ------
        InputError, UnknownStructureError, UnknownExperimentError, SelectionError
            See `Store.select`.
        """
        # The policy only matters to criteria that need unionize rows, which the database answers.
        check.choice("missing", missing, MISSING_POLICIES)
        wanted = selection_or_all(selection)
        return self._image.selected(wanted) if self._is_complete else None

    def excluded_from(self, selection: Selection) -> dict[int, str] | None:
        """See `Catalog.excluded_from`; None if only the database has the answer."""
        return self._image.excluded_from(selection) if self._is_complete else None

    def ids(self, places: NDArray[np.integer[Any]]) -> tuple[int, ...]:
        """The ids of the experiments in these rows of the table."""
        return tuple(self._image.ids[places].tolist())

    def places(self, ids: Sequence[int]) -> NDArray[np.integer[Any]] | None:
        """The row numbers of experiments in the table; None if damage keeps some of them out of it."""
        return self._image.ids.searchsorted(ids) if self._is_complete else None
