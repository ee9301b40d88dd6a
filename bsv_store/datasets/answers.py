"""Answers that need no looking into: nothing has changed since the version last answered the same recipe.

To see that a version still is the answer, all inputs must be gathered and hashed, which grows with the experiments.
Triggers in the database note every change of what averages are made from (migration 0005), so the state of the catalog
is one number, and what was found out at a state holds as long as it is the state.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from sqlalchemy import Connection, func, select
from sqlalchemy.dialects import postgresql, sqlite

from bsv_store._version import __version__
from bsv_store.averaging import inputs
from bsv_store.catalog.database.models import CatalogChange, Dataset, DatasetAnswer
from bsv_store.catalog.database.models import DatasetVersion as VersionRow
from bsv_store.errors import BsvStoreError

if TYPE_CHECKING:
    from bsv_store.averaging.recipe import Recipe
    from bsv_store.catalog.database.engine import Database


def catalog_state(connection: Connection) -> int:
    """The number that names the state of the catalog which this transaction sees."""
    return connection.execute(select(func.count()).select_from(CatalogChange)).scalar_one()


def known_answer(connection: Connection, name: str, recipe: Recipe, state: int) -> int | None:
    """The row id of the dataset's version that answers the recipe at this state; None if that is not known."""
    query = (
        select(VersionRow.id)
        .join(Dataset, Dataset.id == VersionRow.dataset_id)
        .join(DatasetAnswer, DatasetAnswer.version_id == VersionRow.id)
        .where(
            Dataset.name == name,
            DatasetAnswer.change_count == state,
            # Another release may select or group otherwise.
            DatasetAnswer.release == __version__,
            VersionRow.recipe == recipe.to_json(),
            VersionRow.algorithm_version == inputs.ALGORITHM_VERSION,
        )
    )
    return connection.scalar(query)


def record_answer(connection: Connection, identifier: int, state: int) -> None:
    """Write down that a version answers its recipe at this state; nothing if it has been deleted."""
    version = select(VersionRow.id).where(VersionRow.id == identifier).with_for_update()
    if connection.scalar(version) is None:
        return
    make = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    row = make(DatasetAnswer).values(version_id=identifier, change_count=state, release=__version__)
    columns = {"change_count": row.excluded.change_count, "release": row.excluded.release}
    connection.execute(row.on_conflict_do_update(index_elements=["version_id"], set_=columns))


def remember_answer(database: Database, identifier: int, state: int) -> None:
    """Record an answer that was looked up, where that costs no waiting and is possible."""
    if database.read_only:
        return
    # It only saves time: whoever may not write, or has no room, has an answer all the same.
    with contextlib.suppress(BsvStoreError), database.writing(patient=False) as connection:
        record_answer(connection, identifier, state)
