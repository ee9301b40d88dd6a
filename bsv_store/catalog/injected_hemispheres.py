"""The injected hemispheres of experiments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from bsv_store.catalog.database.id_lists import id_in
from bsv_store.catalog.database.models import Experiment

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

    from bsv_store.vocabulary import Hemisphere


def injected_hemispheres(connection: Connection, experiment_ids: Iterable[int]) -> dict[int, Hemisphere | None]:
    """The injected hemisphere of these experiments by id; None where it is not known."""
    query = select(Experiment.id, Experiment.injected_hemisphere)
    rows: Iterable[Any] = connection.execute(query.where(id_in(connection, Experiment.id, experiment_ids)))
    return dict(tuple(row) for row in rows)
