"""A table whose rows are encoded as JSON once, for replies with a subset of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bsv_store.server.data.plain import json_bytes
from bsv_store.server.data.tables import ColumnType, flat, table_values, table_without_paths, type_of, values_of

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray


class PreparedRows:
    """The rows of a table, encoded as JSON once. A reply with any of them equals that of `table_reply`.

    Parameters
    ----------
    frame : pandas.DataFrame
    clean : callable
        Removes paths of the machine from a cell.
    """

    def __init__(self, frame: pd.DataFrame, clean: Callable[[Any], Any]) -> None:
        cleaned = table_without_paths(flat(frame), clean)
        values = table_values(cleaned)
        self.names: list[str] = [each["name"] for each in values["columns"]]
        self._rows = [json_bytes(row) for row in values["rows"]]
        self._types: list[ColumnType] = [each["type"] for each in values["columns"]]
        # The type of a column of objects other than texts depends on the values in the reply.
        self._values: dict[int, list[Any]] = {}
        for place, dtype in enumerate(cleaned.dtypes):
            found = values_of(cleaned.iloc[:, place]) if dtype.kind == "O" else []
            if not {type(each) for each in found} <= {str, type(None)}:
                self._values[place] = found

    def answer(self, rows: NDArray[np.integer[Any]], *, more: Mapping[str, Any]) -> bytes:
        """The JSON of the rows with these numbers, in this order, and of further members of the object."""
        numbers: Sequence[int] = rows.tolist()
        types = list(self._types)
        for place, values in self._values.items():
            types[place] = type_of([values[number] for number in numbers])
        columns = [{"name": name, "type": kind} for name, kind in zip(self.names, types, strict=True)]
        lines = b",".join([self._rows[number] for number in numbers])
        return b'{"columns":%b,"rows":[%b],%b' % (json_bytes(columns), lines, json_bytes(more)[1:])
