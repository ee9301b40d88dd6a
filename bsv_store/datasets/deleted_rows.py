"""The rows of a version as JSON values, kept in the trash with its file, and restored from there."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, insert, select, update

from bsv_store.averaging.recipe import Recipe
from bsv_store.catalog.database.bulk import table_of
from bsv_store.catalog.database.models import (
    Base,
    Dataset,
    DatasetCheck,
    DatasetGroup,
    DatasetMember,
    DatasetTag,
    DatasetVersion,
    Experiment,
)
from bsv_store.catalog.database.models.base import UtcDateTime
from bsv_store.datasets import locks
from bsv_store.datasets.refs import version_key
from bsv_store.datasets.result.file import EncodedResult
from bsv_store.errors import InputError
from bsv_store.text import listed, listed_ids

if TYPE_CHECKING:
    from pathlib import Path

    from bsv_store.datasets.table import VersionRecord

# Parents before children. Recorded answers are not kept.
_CHILDREN: tuple[type[Base], ...] = (DatasetGroup, DatasetMember, DatasetCheck)
_IDS = {"id", "version_id", "dataset_id"}


def deleted_rows(connection: Connection, identifier: int, version: VersionRecord) -> dict[str, Any]:
    """All rows of a version as JSON values, for `restore_rows`."""
    of_version = _rows(connection, DatasetVersion, DatasetVersion.id == identifier)
    models: tuple[type[Base], ...] = (*_CHILDREN, DatasetTag)
    children = {
        model.__tablename__: _rows(connection, model, table_of(model).c.version_id == identifier) for model in models
    }
    return {
        "key": version_key(version.name, version.number),
        "name": version.name,
        "number": version.number,
        "fingerprint": version.fingerprint,
        "path": version.relative_path,
        "version": of_version[0],
        **children,
    }


def _rows(connection: Connection, model: type[Base], condition: Any) -> list[dict[str, Any]]:
    columns = [column for column in table_of(model).columns if column.name not in _IDS]
    found = connection.execute(select(*columns).where(condition).order_by(*table_of(model).primary_key.columns))
    return [{name: _plain(value) for name, value in row._mapping.items()} for row in found]


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def restore_rows(connection: Connection, rows: Mapping[str, Any], file: Path, *, restored_by: str) -> list[str]:
    """Write the rows of a deleted version again, with its number; returns the tags that another version has by now.

    Parameters
    ----------
    rows : mapping
        From `deleted_rows`.
    file : pathlib.Path
        Its result file.

    Raises
    ------
    InputError
        If the number was given to another version, the dataset has a version with the same result, or experiments are
        no longer in the catalog.
    """
    name, number = rows["name"], rows["number"]
    dataset_id, last_number = locks.lock_or_create_dataset(connection, name, restored_by)
    ref = f"{name}@{number}"
    same_number = DatasetVersion.dataset_id == dataset_id, DatasetVersion.number == number
    if connection.scalar(select(DatasetVersion.id).where(*same_number)) is not None:
        raise InputError(f"{ref} cannot be restored: another version has its number")
    twin = _same_result(connection, rows, file)
    if twin is not None:
        raise InputError(f"{ref} cannot be restored: {name}@{twin} has the same recipe, inputs and result")
    _check_experiments(connection, rows, ref)
    connection.execute(update(Dataset).where(Dataset.id == dataset_id).values(last_number=max(number, last_number)))
    values = {**_values(DatasetVersion, rows["version"], ref), "dataset_id": dataset_id}
    identifier = connection.execute(insert(DatasetVersion).values(values).returning(DatasetVersion.id)).scalar_one()
    for model in _CHILDREN:
        if found := [{**_values(model, row, ref), "version_id": identifier} for row in rows[model.__tablename__]]:
            connection.execute(insert(table_of(model)), found)
    return _restore_tags(connection, rows, dataset_id, identifier, ref)


def _same_result(connection: Connection, rows: Mapping[str, Any], file: Path) -> int | None:
    """The number of the first version of the dataset with the same recipe, inputs and result."""
    row = rows["version"]
    result = EncodedResult(file, row["size_bytes"], row["file_sha256"], row["content_sha256"])
    query = select(DatasetVersion.number, DatasetVersion.content_sha256).join(
        table_of(Dataset), Dataset.id == DatasetVersion.dataset_id
    )
    same = Dataset.name == rows["name"], DatasetVersion.fingerprint == rows["fingerprint"]
    for number, content_sha256 in connection.execute(query.where(*same).order_by(DatasetVersion.number)):
        if result.has_content(Recipe.from_json(row["recipe"]), content_sha256):
            return int(number)
    return None


def _restore_tags(
    connection: Connection, rows: Mapping[str, Any], dataset_id: int, identifier: int, ref: str
) -> list[str]:
    taken = set(connection.scalars(select(DatasetTag.tag).where(DatasetTag.dataset_id == dataset_id)))
    found = [_values(DatasetTag, row, ref) for row in rows[DatasetTag.__tablename__]]
    new = [{**row, "dataset_id": dataset_id, "version_id": identifier} for row in found if row["tag"] not in taken]
    if new:
        connection.execute(insert(table_of(DatasetTag)), new)
    return sorted(row["tag"] for row in found if row["tag"] in taken)


def _check_experiments(connection: Connection, rows: Mapping[str, Any], ref: str) -> None:
    ids = {row["experiment_id"] for row in rows[DatasetMember.__tablename__]}
    unknown = ids - set(connection.scalars(select(Experiment.id)))
    if unknown:
        raise InputError(
            f"{ref} cannot be restored: the catalog does not have its experiments {listed_ids(unknown)}",
            hint="Update the experiment list: bsv-store sync experiments",
        )


def _values(model: type[Base], row: Mapping[str, Any], ref: str) -> dict[str, Any]:
    """The values of a row in the types of its columns."""
    columns = table_of(model).columns
    unknown = sorted(set(row) - {column.name for column in columns})
    if unknown:
        raise InputError(
            f"{ref} cannot be restored: it was deleted by another release, with the columns {listed(unknown)}",
            hint="Restore it with that release, or upgrade: pip install --upgrade bsv-store",
        )
    return {
        name: datetime.fromisoformat(value) if isinstance(columns[name].type, UtcDateTime) and value else value
        for name, value in row.items()
    }
