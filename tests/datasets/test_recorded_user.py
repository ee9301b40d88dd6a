"""Who is recorded as the author of a version and of a check: the current user, or the one that a caller names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bsv_store.averaging.recipe import Recipe
from bsv_store.datasets.aggregate import aggregate
from bsv_store.datasets.history.rebuild import rebuild_version
from bsv_store.owner import current_user
from tests.databases import both_databases

from .world import VISUAL

if TYPE_CHECKING:
    from bsv_store import Store

pytestmark = both_databases


def authors(store: Store, table: str, column: str) -> list[str]:
    return list(store.sql(f"SELECT {column} FROM {table} ORDER BY id")[column])


def test_the_current_user_is_recorded_by_default(filled: Store) -> None:
    version = filled.aggregate(VISUAL, name="visual")
    filled.datasets.rebuild(version)
    assert version.created_by == current_user()
    assert [check.checked_by for check in filled.dataset("visual").checks] == [current_user()]


def test_a_user_that_is_named_is_recorded_instead(filled: Store) -> None:
    recipe = Recipe(selection=VISUAL)
    version = aggregate(filled.database, filled.files, recipe, name="visual", created_by="ana")
    assert version.created_by == "ana"
    assert authors(filled, "dataset_version", "created_by") == ["ana"]
    # The version that exists keeps its author.
    assert aggregate(filled.database, filled.files, recipe, name="visual", created_by="ben").created_by == "ana"
    rebuild_version(filled.database, filled.files, "visual@1", checked_by="cleo")
    assert [check.checked_by for check in filled.dataset("visual").checks] == ["cleo"]
