"""The rows of a query as a plain value, which is converted to a DataFrame only on request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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
