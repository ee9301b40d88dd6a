"""Differences between two comparisons by structure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bsv_store.datasets.result.columns import COLUMNS

if TYPE_CHECKING:
    import h5py

    from bsv_store.datasets.version import DatasetVersion


@dataclass(frozen=True, slots=True)
class ColumnDifference:
    """The difference between a column of the tables of two comparisons by structure.

    Attributes
    ----------
    column : str
        Such as 'difference', 't' or 'p_permutation'.
    rows : int
        Number of structures and hemispheres, of those that both have, whose values differ.
    largest : float
        Largest absolute difference, in the unit of the column; infinite if only one of the two has a value.
    structure, hemisphere : str
        Where it is.
    first, second : float
        The two values there.
    """

    column: str
    rows: int
    largest: float
    structure: str
    hemisphere: str
    first: float
    second: float


def value_differences(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """The absolute difference of each pair of values; infinite if one of the two is NaN, and 0 if both are."""
    found: NDArray[np.float64] = np.abs(first - second)
    one, other = np.isnan(first), np.isnan(second)
    found[one & other] = 0.0
    found[one != other] = np.inf
    return found


def column_differences(first: DatasetVersion, second: DatasetVersion) -> tuple[ColumnDifference, ...]:
    """The differences of each column, over the structures and hemispheres that both comparisons have.

    Raises
    ------
    DamagedFileError
        If a result file differs from what was published.
    """
    with first.open() as one, second.open() as other:
        rows, others = _rows(one), _rows(other)
        shared = [key for key in rows if key in others]
        if not shared:
            return ()
        places = [rows[key] for key in shared], [others[key] for key in shared]
        acronyms = one["structure"].asstr()[:]
        found = []
        for name in COLUMNS:
            values = one[name][:][places[0]], other[name][:][places[1]]
            differences = value_differences(*values)
            at = int(np.argmax(differences))
            found.append(
                ColumnDifference(
                    name,
                    int(np.count_nonzero(differences)),
                    float(differences[at]),
                    str(acronyms[places[0][at]]),
                    shared[at][1],
                    float(values[0][at]),
                    float(values[1][at]),
                )
            )
    return tuple(found)


def _rows(file: h5py.File) -> dict[tuple[int, str], int]:
    """The row of each structure and hemisphere."""
    sides: Any = file["hemisphere"].asstr()[:]
    return {key: row for row, key in enumerate(zip(file["structure_id"][:].tolist(), map(str, sides), strict=True))}
