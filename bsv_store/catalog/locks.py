"""Locks on rows of the catalog that writers of other tables take, too."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, select

from bsv_store.catalog.database.id_lists import id_in
from bsv_store.catalog.database.models import Experiment


def lock_experiments(connection: Connection, experiment_ids: Collection[int]) -> set[int]:
    """Lock the rows of experiments until the transaction ends, and return the ids that the catalog has.

    Postgres locks them in ascending order, so that two writers cannot deadlock. Rows that refer to an experiment can
    still be written. On SQLite the writing transaction is the lock.
    """
    query = select(Experiment.id).where(id_in(connection, Experiment.id, experiment_ids)).order_by(Experiment.id)
    return set(connection.execute(query.with_for_update(key_share=True)).scalars())
