"""All dataset versions as a table, without importing the modules that read or compute versions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Connection, select

from bsv_store.catalog.database.models import Dataset, DatasetTag, DatasetVersion
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
    "tags": "object",
}


def versions_table(database: Database) -> Table:
    """See :meth:`bsv_store.store.datasets.Datasets.versions`."""
    found = view("dataset_versions").c
    with database.reading() as connection:
        # Not sorted in SQL: the databases sort text by different rules.
        columns = [found[name] for name in _DTYPES if name != "tags"]
        rows = sorted(map(tuple, connection.execute(select(*columns))))
        tags = _tags(connection)
    tagged = [(*row, ", ".join(tags[row[:2]]) if row[:2] in tags else None) for row in rows]
    return Table(tuple(_DTYPES), tuple(_DTYPES.values()), tagged)


def _tags(connection: Connection) -> dict[tuple[str, int], list[str]]:
    """The tags of each version that has some, sorted, by name and number."""
    query = (
        select(Dataset.name, DatasetVersion.number, DatasetTag.tag)
        .join(Dataset, Dataset.id == DatasetTag.dataset_id)
        .join(DatasetVersion, DatasetVersion.id == DatasetTag.version_id)
    )
    tags: dict[tuple[str, int], list[str]] = {}
    for row in sorted(connection.execute(query).all(), key=tuple):
        tags.setdefault((str(row.name), int(row.number)), []).append(str(row.tag))
    return tags
