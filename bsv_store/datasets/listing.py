"""All dataset versions as a table, without importing the modules that read or compute versions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from bsv_store.catalog.tables.table import Table
from bsv_store.catalog.tables.views import view

if TYPE_CHECKING:
    from bsv_store.catalog.database.engine import Database

_DTYPES = {
    "name": "object",
    "number": "int64",
    "group_count": "int64",
    "member_count": "int64",
    "spacing_um": "int64",
    "created_at": "datetime64[us, UTC]",
    "created_by": "object",
    "fingerprint": "object",
    "size_bytes": "int64",
}


def versions_table(database: Database) -> Table:
    """See :meth:`bsv_store.store.datasets.Datasets.versions`."""
    found = view("dataset_versions").c
    with database.reading() as connection:
        # Not sorted in SQL: the databases sort text by different rules.
        rows = sorted(map(tuple, connection.execute(select(*(found[name] for name in _DTYPES)))))
    return Table(tuple(_DTYPES), tuple(_DTYPES.values()), rows)
