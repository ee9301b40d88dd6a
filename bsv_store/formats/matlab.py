"""The unionize rows in a cache of Brain Street View for MATLAB: the struct array ``injectionInfo`` in a MAT file."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bsv_store.catalog.records import UNIONIZE_FIELDS, UnionizeTable
from bsv_store.errors import FormatError, InputError
from bsv_store.formats.fields import DAMAGED_HINT, quoted
from bsv_store.formats.unionizes import BSV_ID, unionize_table_from_rows

_VARIABLE = "injectionInfo"
_HDF5_MAGIC = b"\x89HDF"
# MATLAB 7.3 files are HDF5 files with a user block.
_HDF5_OFFSET = 512


def read_injection_info(body: bytes, *, what: str) -> UnionizeTable:
    """The unionize rows in an ``injectionSummary_all.mat`` of Brain Street View.

    Parameters
    ----------
    body : bytes
        A MAT file of version 5 to 7.
    what : str
        Name of the file, for errors.

    Raises
    ------
    InputError
        If SciPy, which reads MAT files, is not installed.
    FormatError
        If it is not a valid MAT file, or its rows are not unionize rows.
    """
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise InputError(
            f"{what} cannot be read: MAT files require SciPy, which is not installed",
            hint="Install it: pip install 'bsv-store[matlab]'. Or download the table: bsv-store sync unionizes",
        ) from error
    if body[_HDF5_OFFSET : _HDF5_OFFSET + len(_HDF5_MAGIC)] == _HDF5_MAGIC:
        raise FormatError(
            f"{what} is a MAT file of version 7.3, which is not supported",
            hint="Save it in MATLAB with the option -v7.",
        )
    try:
        content: Mapping[str, Any] = loadmat(io.BytesIO(body), variable_names=[_VARIABLE], simplify_cells=True)
    # SciPy's reader raises many kinds of errors on damaged files.
    except Exception as error:
        raise FormatError(f"{what} is not a readable MAT file: {quoted(str(error))}", hint=DAMAGED_HINT) from error
    if _VARIABLE not in content:
        raise FormatError(f"{what} has no variable {_VARIABLE}", hint=DAMAGED_HINT)
    found = content[_VARIABLE]
    rows = [found] if isinstance(found, Mapping) else list(found) if isinstance(found, (list, np.ndarray)) else None
    if rows is None or not all(isinstance(row, Mapping) for row in rows):
        raise FormatError(f"{what}: {_VARIABLE} is not a struct array", hint=DAMAGED_HINT)
    return unionize_table_from_rows(_plain(rows), what=what)


def _plain(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows with Python's types: in MATLAB all numbers are doubles, and SciPy's are those of NumPy."""
    kinds = {name: kind for name, _, kind in UNIONIZE_FIELDS} | {BSV_ID: "i8"}
    return [{name: _value(value, kinds.get(name, "")) for name, value in row.items()} for row in rows]


def _value(value: Any, kind: str) -> Any:
    number = value.item() if isinstance(value, np.generic) else value
    if kind == "i8" and isinstance(number, float) and number.is_integer():
        return int(number)
    if kind == "?" and number in (0, 1):
        return bool(number)
    return number
