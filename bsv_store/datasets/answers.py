"""Recorded answers: the versions that are known to answer their recipe in the current state of the catalog.

To check whether a version still answers its recipe, all inputs are gathered and hashed, which takes longer with more
experiments. Triggers in the database count every change of the tables that averages depend on (migration 0005), so the
state of the catalog is one number. A recorded answer is valid as long as the state has not changed.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from bsv_store.datasets.table import record_answer
from bsv_store.errors import BsvStoreError

if TYPE_CHECKING:
    from bsv_store.catalog.database.engine import Database


def try_record_answer(database: Database, identifier: int, state: int) -> None:
    """Record an answer, unless the store cannot be written now."""
    if database.read_only:
        return
    # Errors are ignored, because a recorded answer only saves time.
    with contextlib.suppress(BsvStoreError), database.writing(patient=False) as connection:
        record_answer(connection, identifier, state)
