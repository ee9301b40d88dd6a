"""What a store holds after the work, for tests to compare."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Connection, select

from bsv_store.catalog.database.models import StoredVolume
from bsv_store.catalog.volumes import find_volumes
from bsv_store.volumes.library import VolumeFile

if TYPE_CHECKING:
    from bsv_store import Store


def count(store: Store, table: str) -> int:
    """Number of rows of a table or view."""
    return int(store.sql(f"SELECT count(*) AS n FROM {table}")["n"].item())


def all_volumes(connection: Connection) -> list[VolumeFile]:
    """Every volume of the store, by kind, spacing and experiment."""
    rows = connection.execute(select(StoredVolume.kind, StoredVolume.spacing_um, StoredVolume.experiment_id))
    found = []
    for kind, spacing_um, experiment_id in sorted(tuple(row) for row in rows):
        (file,) = find_volumes(connection, [experiment_id], kind=kind, spacing_um=spacing_um).values()
        found.append(file)
    return found
