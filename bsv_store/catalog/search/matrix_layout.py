"""Layouts of the projection matrix, and its strongest targets or cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

    from bsv_store.vocabulary import MatrixLayout


def arranged(frame: pd.DataFrame, layout: MatrixLayout, *, limit: int | None, name: str) -> pd.DataFrame:
    """The matrix in a layout.

    Parameters
    ----------
    frame : pandas.DataFrame
        One row for each source or experiment, one column for each target, or hemisphere and target.
    layout : {'wide', 'transposed', 'long'}
    limit : int, optional
        Maximum number of targets (with hemispheres), or of rows of the long layout: those with the largest values.
    name : str
        Of the column with the values in the long layout.
    """
    if layout == "long":
        return _long(frame, limit, name)
    chosen = frame if limit is None else frame.iloc[:, _strongest(frame, limit)]
    chosen.attrs.update(frame.attrs)
    if layout == "wide":
        return chosen
    if layout == "transposed":
        return chosen.T
    assert_never(layout)


def _strongest(frame: pd.DataFrame, limit: int) -> list[int]:
    """The positions of the columns with the largest values, ascending."""
    largest = np.nan_to_num(frame.to_numpy(), nan=-np.inf).max(axis=0, initial=-np.inf)
    return sorted(np.argsort(-largest, kind="stable")[:limit].tolist())


def _long(frame: pd.DataFrame, limit: int | None, name: str) -> pd.DataFrame:
    """One row for each cell that is not NaN, the largest first; ties in the order of the matrix."""
    import pandas as pd

    values = frame.to_numpy()
    row, column = np.nonzero(~np.isnan(values))
    order = np.argsort(-values[row, column], kind="stable")[:limit]
    row, column = row[order], column[order]
    labels = {level: frame.columns.get_level_values(level)[column] for level in frame.columns.names}
    long = pd.DataFrame({frame.index.name: frame.index[row], **labels, name: values[row, column]})
    long.attrs.update(frame.attrs)
    return long
