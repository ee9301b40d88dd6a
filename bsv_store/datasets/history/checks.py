"""The record of checks: which version was computed again, by whom, with what software, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Literal

from sqlalchemy import Connection, insert, select

from bsv_store.catalog.database.models import Dataset, DatasetCheck
from bsv_store.catalog.database.models import DatasetVersion as VersionRow
from bsv_store.catalog.database.models.base import now
from bsv_store.checkpoints import checkpoint
from bsv_store.errors import StoreError

if TYPE_CHECKING:
    from datetime import datetime

    from bsv_store.catalog.database.engine import Database
    from bsv_store.datasets.stored import StoredVersion

FileState = Literal["intact", "damaged"]
CheckOutcome = Literal["identical", "different", "inputs missing", "inputs damaged"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCheck:
    """What came of computing a version again, before it is recorded.

    Attributes
    ----------
    software : str
        Versions that computed it again.
    outcome : {'identical', 'different', 'inputs missing', 'inputs damaged'}
    file_state : {'intact', 'damaged'}
        Of the stored result at that time; 'damaged' includes missing.
    largest_difference : float or None
        Largest absolute difference of a mean, in the unit of the mean; None where nothing could be compared.
    voxels : int or None
        Voxels of all groups whose mean differs.
    was_restored : bool
        Whether a damaged file was replaced by an identical one.
    note : str or None
        What was missing or damaged.
    """

    software: str
    outcome: CheckOutcome
    file_state: FileState
    largest_difference: float | None = None
    voxels: int | None = None
    was_restored: bool = False
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionCheck(NewCheck):
    """A recorded check; its facts are those of :class:`NewCheck`.

    Attributes
    ----------
    checked_at : datetime.datetime
        Aware UTC.
    checked_by : str
    """

    checked_at: datetime
    checked_by: str


_COLUMNS = tuple(field.name for field in fields(NewCheck))


def record_check(database: Database, version: StoredVersion, check: NewCheck, *, checked_by: str) -> None:
    """Record what came of computing a version again.

    Raises
    ------
    StoreError
        If somebody has deleted the version in the meantime.
    """
    mine = VersionRow.number == version.number, VersionRow.fingerprint == version.fingerprint
    with database.writing() as connection:
        # The lock on the dataset keeps the version from being deleted at the same time.
        dataset_id = connection.scalar(select(Dataset.id).where(Dataset.name == version.name).with_for_update())
        identifier = connection.scalar(select(VersionRow.id).where(VersionRow.dataset_id == dataset_id, *mine))
        if identifier is None:
            raise StoreError(f"{version.ref} was deleted by somebody else in the meantime; the check is not recorded")
        values = {name: getattr(check, name) for name in _COLUMNS}
        values |= {"version_id": identifier, "checked_at": now(), "checked_by": checked_by}
        connection.execute(insert(DatasetCheck).values(values))
    checkpoint("rebuild:checked")


def checks_of(connection: Connection, version_id: int) -> tuple[VersionCheck, ...]:
    """The checks of a version, the oldest first."""
    query = select(DatasetCheck.__table__).where(DatasetCheck.version_id == version_id).order_by(DatasetCheck.id)
    return tuple(
        VersionCheck(
            checked_at=row.checked_at,
            checked_by=row.checked_by,
            **{name: getattr(row, name) for name in _COLUMNS},
        )
        for row in connection.execute(query)
    )
