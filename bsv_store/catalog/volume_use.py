"""The day on which each volume was last read, so that `Admin.enforce_quota` evicts those that are not needed.

At most one row is written for each volume and day, in one statement for many volumes. Nothing depends on it: accounts
that cannot write record nothing, and a busy database is not waited for.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Connection, Date, func, or_, select

from bsv_store.catalog.database.conflicts import insert_into
from bsv_store.catalog.database.id_lists import id_in
from bsv_store.catalog.database.models import StoredVolume, VolumeUse
from bsv_store.errors import BsvStoreError

if TYPE_CHECKING:
    from bsv_store.catalog.database.engine import Database
    from bsv_store.volumes.library import VolumeFile

# What this process has recorded, or tried to: store, day, kind, spacing and experiment. Replaced every day.
_recorded: set[tuple[str, date, str, int, int]] = set()


def record_use(database: Database, volumes: Iterable[VolumeFile]) -> None:
    """Record that volumes are being read today, unless that is recorded already, or the store cannot be written."""
    if database.read_only:
        return
    day, store = datetime.now(UTC).date(), str(database)
    keys = {(store, day, each.kind, each.spacing_um, each.experiment_id) for each in volumes} - _recorded
    if not keys:
        return
    if any(each[1] != day for each in _recorded):
        _recorded.clear()
    grids: dict[tuple[str, int], list[int]] = {}
    for _, _, kind, spacing_um, experiment_id in keys:
        grids.setdefault((kind, spacing_um), []).append(experiment_id)
    # Errors are ignored, because the record only improves the order of evictions.
    with contextlib.suppress(BsvStoreError):
        _record(database, grids)
        _recorded.update(keys)


def _record(database: Database, grids: dict[tuple[str, int], list[int]]) -> None:
    with database.reading() as connection:
        ids = [each for (kind, um), found in grids.items() for each in _unrecorded(connection, kind, um, found)]
    if not ids:
        return
    with database.writing(patient=False) as connection:
        # Selected again: volumes may have been replaced.
        rows = select(StoredVolume.id, _today(connection)).where(id_in(connection, StoredVolume.id, ids))
        new = insert_into(connection, VolumeUse).from_select(["volume_id", "used_on"], rows.order_by(StoredVolume.id))
        connection.execute(
            new.on_conflict_do_update(index_elements=["volume_id"], set_={"used_on": new.excluded.used_on})
        )


def _unrecorded(connection: Connection, kind: str, spacing_um: int, experiments: list[int]) -> list[int]:
    query = (
        select(StoredVolume.id)
        .outerjoin(VolumeUse.__table__, VolumeUse.volume_id == StoredVolume.id)
        .where(
            StoredVolume.kind == kind,
            StoredVolume.spacing_um == spacing_um,
            id_in(connection, StoredVolume.experiment_id, experiments),
            or_(VolumeUse.used_on.is_(None), VolumeUse.used_on < _today(connection)),
        )
    )
    return list(connection.scalars(query))


def _today(connection: Connection) -> ColumnElement[Any]:
    """The current day by the database's clock, UTC."""
    if connection.dialect.name == "sqlite":
        return func.date("now", type_=Date())
    return func.timezone("UTC", func.clock_timestamp()).cast(Date)


def today(connection: Connection) -> date:
    """The current day by the database's clock, UTC."""
    found: date = connection.execute(select(_today(connection))).scalar_one()
    return found
