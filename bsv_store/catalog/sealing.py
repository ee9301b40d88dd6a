"""Seal all rows as they are stored: for a new store, and after a change of the schema."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bsv_store.catalog import seals
from bsv_store.catalog.unionize_seals import reseal_unionizes

if TYPE_CHECKING:
    from sqlalchemy import Connection


def seal_everything(connection: Connection, revision: str) -> None:
    """Seal all rows as they are, and record the time and the revision of the schema.

    Earlier damage cannot be detected afterwards, so only code that changes many rows, such as a migration, should call
    this.
    """
    seals.write(connection, "experiment", seals.hashes_of_experiments(connection), only_these=True)
    seals.seal_lines(connection)
    seals.seal_ontology(connection)
    for model in seals.SEALED_BY_ID:
        seals.reseal_rows(connection, model)
    seals.write(connection, "volume", seals.hashes_of_volumes(connection), only_these=True)
    reseal_unionizes(connection)
    seals.seal_schema(connection)
    seals.set_epoch(connection, revision)
