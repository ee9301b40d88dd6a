"""The record of who changed the store."""

from __future__ import annotations

import os
import pwd

import pytest
from sqlalchemy import text

from bsv_store import Store, __version__
from bsv_store.catalog.activity import record_activity
from bsv_store.errors import BsvStoreError
from bsv_store.vocabulary import ACTIONS

EVERY = (
    *("created", "synced", "ingested", "fetched", "adopted", "computed", "imported", "tagged", "untagged", "deleted"),
    *("excluded", "included", "saved", "trusted", "configured", "upgraded", "downgraded", "stamped", "granted"),
    *("verified", "repaired", "collected", "evicted", "restored", "untrashed", "moved", "attached", "broke"),
)


def test_actions_are_recorded_with_user_host_and_release(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "another-user")
    with store.database.writing() as connection:
        for name in EVERY:
            record_activity(connection, ACTIONS[name].name, "visual@1", {"experiments": 3})
    frame = store.admin.activity(limit=len(EVERY))
    assert list(frame["action"]) == [*reversed(EVERY)]
    assert set(frame["subject"]) == {"visual@1"}
    assert frame["details"][0] == {"experiments": 3}
    assert set(frame["user_name"]) == {pwd.getpwuid(os.getuid()).pw_name}
    assert set(frame["release"]) == {__version__}
    assert frame["database_role"].isna().all() == store.database.is_sqlite
    assert frame["at"][0].tzinfo is not None


@pytest.mark.parametrize("statement", ["UPDATE activity SET user_name = 'x'", "DELETE FROM activity"])
def test_the_database_refuses_to_change_the_record(store: Store, statement: str) -> None:
    with store.database.writing() as connection:
        record_activity(connection, "tagged", "visual@1")
    with pytest.raises(BsvStoreError, match="cannot be changed or deleted"), store.database.writing() as connection:
        connection.execute(text(statement))
    assert len(store.admin.activity(limit=1)) == 1
