"""The rows of a query as a plain value, which is converted to a DataFrame only on request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from bsv_store.text import MAX_ID

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Table:
    """Rows with named columns. Commands print these, since importing pandas takes longer than most queries.

    Attributes
    ----------
    columns : tuple of str
        Names of the columns.
    dtypes : tuple of str
        The pandas dtype that each column gets.
    rows : sequence of sequences
        Values in the order of the columns; None = missing.
    truncated : bool
        Whether a row limit left rows out.
    """

    columns: tuple[str, ...]
    dtypes: tuple[str, ...]
    rows: Sequence[Sequence[Any]]
    truncated: bool = False

    def __len__(self) -> int:
        return len(self.rows)

    def to_dicts(self) -> list[dict[str, Any]]:
        """The rows as dicts."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]

    def to_frame(self) -> pd.DataFrame:
        """The rows as a DataFrame with a RangeIndex."""
        import pandas as pd

        values = list(zip(*self.rows, strict=True)) if self.rows else [()] * len(self.columns)
        series = {
            name: pd.Series(list(column), dtype=dtype)
            for name, dtype, column in zip(self.columns, self.dtypes, values, strict=True)
        }
        return pd.DataFrame(series)


def typed_table(names: Sequence[str], rows: Sequence[Sequence[Any]], *, truncated: bool) -> Table:
    """The rows of a query with unique names, and one dtype for each column."""
    columns = [_typed(values) for values in zip(*rows, strict=True)] if rows else [([], "object")] * len(names)
    typed = list(zip(*(values for values, _ in columns), strict=True))
    return Table(tuple(_unique(names)), tuple(dtype for _, dtype in columns), typed, truncated=truncated)


def _unique(names: Sequence[str]) -> list[str]:
    unique: list[str] = []
    for name in names:
        number, candidate = 1, name
        while candidate in unique:
            number += 1
            candidate = f"{name}_{number}"
        unique.append(candidate)
    return unique


def _typed(values: Sequence[Any]) -> tuple[list[Any], str]:
    """The values of a column, converted to one type if possible, and their dtype."""
    data = [_number(value) if isinstance(value, Decimal) else value for value in values]
    present = [value for value in data if value is not None]
    kinds = {type(value) for value in present}
    complete = len(present) == len(data)
    if present and kinds == {bool}:
        return data, "bool" if complete else "boolean"
    if present and kinds == {int} and all(-MAX_ID - 1 <= value <= MAX_ID for value in present):
        return data, "int64" if complete else "Int64"
    if present and kinds <= {int, float}:
        return [None if value is None else float(value) for value in data], "float64"
    return data, "object"


def _number(value: Decimal) -> int | float:
    # Postgres sums integers as numeric; the sum must be an integer on both databases.
    exponent = value.as_tuple().exponent
    return int(value) if exponent == 0 else float(value)
