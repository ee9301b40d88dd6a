"""Datasets, locked until the end of a transaction: their names and the highest number of a version."""

from __future__ import annotations

from sqlalchemy import Connection, func, select, text, update

from bsv_store.catalog.database.conflicts import insert_into
from bsv_store.catalog.database.models import Dataset
from bsv_store.catalog.database.models import DatasetVersion as VersionRow
from bsv_store.catalog.database.models.base import now
from bsv_store.errors import InputError

# An arbitrary number of 32 bits, the same in all processes, for the advisory lock on the name of a dataset.
_ADVISORY_LOCK = 0x6E616D65


def lock_dataset(connection: Connection, name: str) -> int | None:
    """The row id of a dataset, locked until the end of the transaction; None if it does not exist."""
    return connection.scalar(select(Dataset.id).where(Dataset.name == name).with_for_update())


def lock_or_create_dataset(connection: Connection, name: str, created_by: str) -> tuple[int, int]:
    """Row id and last version number of a dataset, created if necessary and locked until the end of the transaction.

    Raises
    ------
    InputError
        If a dataset has the same name except for case.
    """
    if connection.dialect.name != "sqlite":
        # Otherwise two processes could create two datasets that differ only by case.
        words = {"lock": _ADVISORY_LOCK, "name": name.lower()}
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock, hashtext(:name))"), words)
    refuse_case_twin(connection, name)
    values = {"name": name, "created_at": now(), "created_by": created_by, "last_number": 0}
    new = insert_into(connection, Dataset).values(values)
    connection.execute(new.on_conflict_do_nothing(index_elements=["name"]))
    query = select(Dataset.id, Dataset.last_number).where(Dataset.name == name).with_for_update()
    row = connection.execute(query).one()
    return row.id, row.last_number


def raise_last_number(connection: Connection, name: str) -> None:
    """Raise the last version number of a dataset to that of its newest version, if it is lower."""
    dataset_id = lock_dataset(connection, name)
    highest = connection.scalar(select(func.max(VersionRow.number)).where(VersionRow.dataset_id == dataset_id)) or 0
    same = Dataset.id == dataset_id, Dataset.last_number < highest
    connection.execute(update(Dataset).where(*same).values(last_number=highest))


def refuse_case_twin(connection: Connection, name: str) -> None:
    """Raise if a dataset has the same name except for case: on some file systems the two would share a folder.

    Raises
    ------
    InputError
        If there is one.
    """
    query = select(Dataset.name).where(func.lower(Dataset.name) == name.lower(), Dataset.name != name)
    twin = connection.scalar(query)
    if twin is not None:
        raise InputError(
            f"the name {name!r} differs from the dataset {twin!r} only by case", hint=f"Use {twin!r} or another name."
        )
