"""The history of the schema: every creation, upgrade, downgrade and stamp is recorded."""

from __future__ import annotations

import os
import pwd

import pytest

from bsv_store import Store, __version__, open_store
from bsv_store.catalog.database import schema
from bsv_store.store.opening import upgrade_store
from bsv_store.store.schema_changes import downgrade_store, schema_history, stamp_store

BEFORE = schema.KNOWN_REVISIONS[-2]


def changes(store: Store) -> list[tuple[str, str | None, str | None]]:
    return [(each.action, each.from_revision, each.to_revision) for each in schema_history(store.path)]


def test_creation_and_stamps_are_recorded_with_user_and_release(store: Store) -> None:
    stamp_store(store.path, revision=BEFORE)
    stamp_store(store.path, revision=schema.HEAD)
    assert changes(store) == [
        ("created", None, schema.HEAD),
        ("stamped", schema.HEAD, BEFORE),
        ("stamped", BEFORE, schema.HEAD),
    ]
    frame = store.admin.schema_history()
    assert list(frame["action"]) == ["created", "stamped", "stamped"]
    assert set(frame["release"]) == {__version__}
    assert set(frame["user_name"]) == {pwd.getpwuid(os.getuid()).pw_name}
    assert frame["database_role"].isna().all() == store.database.is_sqlite


def test_upgrades_are_recorded_in_both_records(store: Store) -> None:
    # Revision 0015 and earlier have no history.
    downgrade_store(store.path, revision="0013")
    assert changes(store) == []
    upgrade_store(store.path)
    assert changes(store) == [("upgraded", "0013", schema.HEAD)]
    with open_store(store.path) as again:
        recorded = again.admin.activity(limit=2)
    assert list(recorded["action"]) == ["upgraded", "downgraded"]
    assert recorded["details"][0] == {"from": "0013"}


@pytest.mark.skipif(BEFORE < "0016", reason="the revision before the newest has no history")
def test_downgrades_are_recorded(store: Store) -> None:
    downgrade_store(store.path, revision=BEFORE)
    assert changes(store)[-1] == ("downgraded", schema.HEAD, BEFORE)
