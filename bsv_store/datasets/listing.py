"""Lists of datasets and versions. Does not import the modules that read or compute versions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, func, select

from bsv_store.catalog.database.models import Dataset, DatasetTag
from bsv_store.catalog.database.models import DatasetVersion as VersionRow
from bsv_store.catalog.tables.table import Table
from bsv_store.catalog.tables.views import view
from bsv_store.datasets.refs import version_key
from bsv_store.vocabulary import DATASET_STANDINGS
from bsv_store.volumes.stored_object import StoredObject

if TYPE_CHECKING:
    from datetime import datetime

    from bsv_store.catalog.database.engine import Database

_DTYPES = {
    "name": "object",
    "number": "int64",
    "group_count": "int64",
    "member_count": "int64",
    "spacing_um": "Int64",
    "created_at": "datetime64[us, UTC]",
    "created_by": "object",
    "fingerprint": "object",
    "size_bytes": "int64",
    "standing": "object",
    "tags": "object",
    "ref": "object",
}
_SPACING = tuple(_DTYPES).index("spacing_um")
# Those that are columns of the view.
_STORED = tuple(name for name in _DTYPES if name not in ("tags", "ref"))


@dataclass(frozen=True, slots=True)
class DatasetSummary:
    """A dataset: its versions, size and tags.

    Attributes
    ----------
    latest : int
        Number of the latest version.
    versions : int
        Number of versions.
    size_bytes : int
        Total size of the files of all versions.
    changed_at : datetime.datetime
        Creation time of the latest version, aware UTC.
    tags : tuple of str
        'tag@number', sorted.
    unchecked : tuple of int
        Numbers of the imported versions that were not recomputed in this store with the same result.
    """

    name: str
    created_at: datetime
    created_by: str
    latest: int
    versions: int
    size_bytes: int
    changed_at: datetime
    tags: tuple[str, ...]
    unchecked: tuple[int, ...]


def versions_table(database: Database) -> Table:
    """See :meth:`bsv_store.store.datasets.Datasets.versions`."""
    found = view("dataset_versions").c
    with database.reading() as connection:
        # Not sorted in SQL: the databases sort text by different rules.
        columns = [found[name] for name in _STORED]
        rows = sorted(map(tuple, connection.execute(select(*columns))))
        tags = _tags(connection)
    stored = [(*row, ", ".join(tags[row[:2]]) if row[:2] in tags else None, f"{row[0]}@{row[1]}") for row in rows]
    local = [
        tuple({**asdict(each), "number": 0, "standing": "local", "tags": None}[name] for name in _DTYPES)
        for each in sorted(database.local_versions(), key=lambda each: (each.name, each.created_at))
    ]
    return Table(tuple(_DTYPES), tuple(_DTYPES.values()), [_without_zero(row) for row in (*stored, *local)])


def _without_zero(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """The row with None for a spacing of 0: a comparison by structure has no voxels."""
    return (*row[:_SPACING], row[_SPACING] or None, *row[_SPACING + 1 :])


def _tags(connection: Connection) -> dict[tuple[str, int], list[str]]:
    """The sorted tags of each tagged version, by name and number."""
    query = (
        select(Dataset.name, VersionRow.number, DatasetTag.tag)
        .join(Dataset, Dataset.id == DatasetTag.dataset_id)
        .join(VersionRow, VersionRow.id == DatasetTag.version_id)
    )
    tags: dict[tuple[str, int], list[str]] = {}
    for row in sorted(connection.execute(query).all(), key=tuple):
        tags.setdefault((str(row.name), int(row.number)), []).append(str(row.tag))
    return tags


def list_datasets(database: Database) -> tuple[DatasetSummary, ...]:
    """All datasets that have versions, sorted by name."""
    query = (
        select(
            Dataset.id,
            Dataset.name,
            Dataset.created_at,
            Dataset.created_by,
            func.max(VersionRow.number).label("latest"),
            func.count().label("versions"),
            func.sum(VersionRow.size_bytes).label("size_bytes"),
            func.max(VersionRow.created_at).label("changed_at"),
        )
        .join(VersionRow, VersionRow.dataset_id == Dataset.id)
        .group_by(Dataset.id)
    )
    tags: dict[int, list[str]] = {}
    with database.reading() as connection:
        # Sorted in Python, since the databases sort text differently.
        rows = sorted(connection.execute(query).all(), key=lambda row: str(row.name))
        tagged = select(DatasetTag.dataset_id, DatasetTag.tag, VersionRow.number).join(
            VersionRow, VersionRow.id == DatasetTag.version_id
        )
        for dataset_id, tag, number in sorted(connection.execute(tagged).all(), key=lambda row: str(row.tag)):
            tags.setdefault(dataset_id, []).append(f"{tag}@{number}")
        unchecked: dict[str, list[int]] = {}
        versions = view("dataset_versions").c
        doubtful = [row.name for row in DATASET_STANDINGS.values() if not row.can_answer]
        found = select(versions.name, versions.number).where(versions.standing.in_(doubtful))
        for name, number in sorted(map(tuple, connection.execute(found))):
            unchecked.setdefault(name, []).append(number)
    return tuple(
        DatasetSummary(
            row.name,
            row.created_at,
            row.created_by,
            row.latest,
            row.versions,
            int(row.size_bytes),
            row.changed_at,
            tuple(tags.get(row.id, [])),
            tuple(unchecked.get(row.name, [])),
        )
        for row in rows
    )


def version_numbers(connection: Connection, name: str) -> list[int]:
    """The numbers of the versions of a dataset, ascending."""
    query = select(VersionRow.number).join(Dataset, Dataset.id == VersionRow.dataset_id).where(Dataset.name == name)
    return sorted(connection.scalars(query))


def has_version(database: Database, name: str, number: int, fingerprint: str) -> bool:
    """Whether a version still exists."""
    query = select(VersionRow.id).join(Dataset, Dataset.id == VersionRow.dataset_id)
    same = Dataset.name == name, VersionRow.number == number, VersionRow.fingerprint == fingerprint
    with database.reading() as connection:
        return connection.scalar(query.where(*same)) is not None


def stored_results(connection: Connection) -> Iterator[StoredObject]:
    """The result files of all versions, sorted by dataset and number."""
    query = (
        select(
            Dataset.name,
            VersionRow.number,
            VersionRow.path,
            VersionRow.size_bytes,
            VersionRow.file_sha256,
            VersionRow.content_sha256,
            VersionRow.imported_at,
            VersionRow.created_at,
        )
        .join(Dataset.__table__, Dataset.id == VersionRow.dataset_id)
        .order_by(Dataset.id, VersionRow.number)
    )
    for name, number, path, size_bytes, file_sha256, content_sha256, imported_at, created_at in connection.execute(
        query
    ):
        source = None if imported_at is None else "bundle"
        yield StoredObject(
            version_key(name, number), "version", path, size_bytes, file_sha256, content_sha256, source, created_at
        )
