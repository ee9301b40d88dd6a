"""Recorded answers: the versions that are known to answer their recipe in the current state of the catalog.

To check whether a version still answers its recipe, all inputs are gathered and hashed, which takes longer with more
experiments. Triggers in the database count every change of the tables that averages depend on (migration 0005), so the
state of the catalog is one number. A recorded answer is valid as long as the state has not changed. Rows of old changes
may be removed: a trigger adds their number to a base (migration 0015), so that the state never decreases.

Each answer has a seal, because a flipped bit in its state could make an outdated answer look current. An answer
without a valid seal is ignored.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from sqlalchemy import Connection, delete, func, select

from bsv_store._version import __version__
from bsv_store.averaging import inputs
from bsv_store.catalog import seals
from bsv_store.catalog.database.conflicts import insert_into
from bsv_store.catalog.database.models import (
    CatalogChange,
    CatalogChangeBase,
    Dataset,
    DatasetAnswer,
)
from bsv_store.catalog.database.models import DatasetVersion as VersionRow
from bsv_store.datasets.table import ANSWERS, can_answer
from bsv_store.errors import BsvStoreError, DamagedCatalogError

if TYPE_CHECKING:
    from bsv_store.averaging.recipe import Recipe
    from bsv_store.catalog.database.engine import Database


def try_record_answer(database: Database, identifier: int, state: int) -> None:
    """Record an answer, unless the store cannot be written now."""
    if database.read_only:
        return
    # Errors are ignored, because a recorded answer only saves time.
    with contextlib.suppress(BsvStoreError), database.writing(patient=False) as connection:
        record_answer(connection, identifier, state)


def catalog_state(connection: Connection) -> int:
    """A number that identifies the state of the catalog in this transaction.

    Raises
    ------
    DamagedCatalogError
        If the number of removed changes is missing.
    """
    # One statement, so that both numbers are of the same state even if each statement has its own snapshot.
    removed = select(CatalogChangeBase.changes).scalar_subquery()
    rows = select(func.count()).select_from(CatalogChange).scalar_subquery()
    state: int | None = connection.execute(select(removed + rows)).scalar_one()
    if state is None:
        raise DamagedCatalogError(
            "the catalog is damaged: the table catalog_change_base is empty", hint=seals.VERIFY_HINT
        )
    return state


def remove_old_changes(connection: Connection) -> int:
    """Remove the rows of `CatalogChange`, whose number is kept in the base; returns how many there were."""
    # The last one stays, so that SQLite does not give its id to the next one.
    last = select(func.max(CatalogChange.id)).scalar_subquery()
    return connection.execute(delete(CatalogChange).where(CatalogChange.id < last)).rowcount


def find_answer(connection: Connection, name: str, recipe: Recipe, state: int) -> int | None:
    """The row id of the version of a dataset that answers the recipe in this state; None if it is not recorded."""
    query = (
        select(VersionRow.id)
        .join(Dataset)
        .join(DatasetAnswer)
        .where(
            Dataset.name == name,
            DatasetAnswer.change_count == state,
            # Another release may select or group differently.
            DatasetAnswer.release == __version__,
            VersionRow.recipe == recipe.to_json(),
            VersionRow.algorithm_version == inputs.ALGORITHM_VERSION,
        )
    )
    found = list(connection.scalars(query))
    sealed = seals.stored_seals(connection, ANSWERS, [str(each) for each in found]) if found else {}
    # An imported version that is not reproducible must no longer be returned.
    return next(
        (each for each in found if sealed.get(str(each)) == _seal(each, state) and can_answer(connection, each)), None
    )


def _seal(identifier: int, state: int) -> str:
    return seals.hash_of((identifier, state, __version__))


def record_answer(connection: Connection, identifier: int, state: int) -> None:
    """Record that a version answers its recipe in this state, unless it was deleted."""
    version = select(VersionRow.id).where(VersionRow.id == identifier).with_for_update()
    if connection.scalar(version) is None:
        return
    row = insert_into(connection, DatasetAnswer).values(version_id=identifier, change_count=state, release=__version__)
    columns = {"change_count": row.excluded.change_count, "release": row.excluded.release}
    connection.execute(row.on_conflict_do_update(index_elements=["version_id"], set_=columns))
    seals.write(connection, ANSWERS, {str(identifier): _seal(identifier, state)})
