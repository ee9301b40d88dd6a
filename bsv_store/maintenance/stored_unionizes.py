"""The unionize rows of some experiments as one array, for copies of the catalog."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import select

from bsv_store.catalog.database.bulk import read_arrays, table_of
from bsv_store.catalog.database.models import Unionize, UnionizeCoverage

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from sqlalchemy import Connection


@dataclass(frozen=True, slots=True, eq=False)
class StoredUnionizes:
    """The unionize rows of some experiments.

    Attributes
    ----------
    rows : ndarray, shape (n_rows,)
        Structured: the columns of the table ``unionize``, little-endian.
    content : str
        Identifies the rows, from the recorded hashes of the tables of these experiments.
    """

    rows: NDArray[Any]
    content: str


def stored_unionizes(connection: Connection, experiment_ids: Collection[int]) -> StoredUnionizes:
    """See `Catalog.stored_unionizes`."""
    ids = sorted(set(experiment_ids))
    content = unionize_content(connection, ids)
    blocks = []
    if ids:
        with closing(read_arrays(connection, table_of(Unionize), keys=ids)) as arrays:
            blocks = [_records(block) for block in arrays]
    return StoredUnionizes(np.concatenate(blocks) if blocks else np.empty(0, _row_type()), content)


def unionize_content(connection: Connection, experiment_ids: Collection[int]) -> str:
    """A hash of the recorded hashes of the tables of these experiments."""
    table = table_of(UnionizeCoverage)
    query = select(table.c.experiment_id, table.c.part, table.c.row_count, table.c.content_sha256)
    rows = connection.execute(query.where(table.c.experiment_id.in_(experiment_ids))).all()
    halves = sorted(tuple(row) for row in rows)
    return hashlib.sha256(repr((sorted(experiment_ids), halves)).encode()).hexdigest()


def _records(block: dict[str, NDArray[Any]]) -> NDArray[Any]:
    records = np.empty(len(next(iter(block.values()))), _row_type())
    for name, values in block.items():
        records[name] = values
    return records


def _row_type() -> np.dtype[Any]:
    from bsv_store.catalog.records import UNIONIZE_FIELDS

    types = {column: f"<{code}" if code != "?" else code for _, column, code in UNIONIZE_FIELDS}
    return np.dtype([(column.name, types[column.name]) for column in table_of(Unionize).columns])
