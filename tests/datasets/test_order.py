"""Names come in code-point order on both databases, whatever the collation of a Postgres server."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sqlalchemy import event

from bsv_store import Selection
from tests.datasets.world import ask

if TYPE_CHECKING:
    from bsv_store import Store

# An English collation would give a_, ab, B and a_, A, b, B.
NAMES = ["B", "a_", "ab"]
TAGS = ("A", "B", "a_", "b")


def test_names_and_tags_are_sorted_by_code_point(filled: Store) -> None:
    for name in reversed(NAMES):
        ask(filled, Selection(ids=[1]), name=name)
    for tag in reversed(TAGS):
        filled.datasets.tag("B", tag)
    # The servers of the tests sort like Python, so that the answers alone would not tell.
    asked: list[str] = []

    @event.listens_for(filled.database.engine, "before_cursor_execute")
    def listen(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        asked.append(statement)

    assert [dataset.name for dataset in filled.datasets.list()] == NAMES
    assert [report.ref for report in filled.datasets.stale()] == [f"{name}@1" for name in NAMES]
    assert filled.dataset("B").tags == TAGS
    assert filled.datasets.list()[0].tags == tuple(f"{tag}@1" for tag in TAGS)
    assert filled.datasets.versions()["name"].tolist() == NAMES
    assert len(asked) > 5
    assert not [statement for statement in asked if re.search(r"ORDER BY [^)]*\b(name|tag|acronym)\b", statement)]
