"""Damaged rows of versions: either the result is correct, or the catalog is reported as damaged."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from bsv_store import Selection, by_coordinate, crossed
from bsv_store.errors import DamagedCatalogError
from tests.databases import sqlite_first
from tests.datasets.world import FACTS, ask, change_experiments, fill
from tests.stores import store_with

if TYPE_CHECKING:
    from bsv_store import DatasetVersion, Store

filled = store_with(fill)
GROUPED = by_coordinate("AP", edges=[3000, 8200, 9400])


def _changed(store: Store, statement: str) -> None:
    """Change rows as a flipped bit would, without a check of foreign keys."""
    if store.database.is_sqlite:
        with closing(sqlite3.connect(store.path / "catalog.db")) as connection, connection:
            assert connection.execute(statement).rowcount > 0
    else:
        with store.database.writing() as writing:
            assert writing.exec_driver_sql(statement).rowcount > 0


def _few(store: Store, most_mm3: float) -> DatasetVersion:
    return ask(store, Selection(injected_in="VIS", max_injection_volume=most_mm3))


@sqlite_first
def test_a_recipe_that_became_another_one_answers_neither_question(filled: Store) -> None:
    """The digits 2 and 3 differ in one bit."""
    first, second = 0.25, 0.35
    version = _few(filled, first)
    assert _few(filled, first).ref == version.ref
    _changed(filled, f"UPDATE dataset_version SET recipe = replace(recipe, ':{first}', ':{second}')")
    other = _few(filled, second)
    assert (other.number, other.was_computed) == (2, True)
    with pytest.raises(DamagedCatalogError, match=f"members of {version.ref} are not the ones"):
        _few(filled, first)
    with pytest.raises(DamagedCatalogError, match=f"members of {version.ref} are not the ones"):
        filled.dataset(version.ref)
    filled.datasets.delete(version.ref)
    assert _few(filled, first).content_sha256 == version.content_sha256


@sqlite_first
@pytest.mark.parametrize(
    "change",
    [
        "dataset_group SET label = 'other' WHERE number = 0",
        "dataset_group SET lower = lower + 4096 WHERE number = 1",
        "dataset_group SET center = center + 64 WHERE number = 0",
        "dataset_group SET member_count = 3 WHERE number = 0",
        "dataset_group SET number = 7 WHERE number = 1",
        "dataset_member SET divisor = divisor * 2 WHERE experiment_id = 3",
        "dataset_member SET array_sha256 = 'x' WHERE experiment_id = 3",
        "dataset_member SET weight = 1 WHERE experiment_id = 3",
        "dataset_member SET experiment_id = 9 WHERE experiment_id = 3",
        "dataset_version SET fingerprint = 'x'",
        "dataset_version SET algorithm_version = 3",
    ],
)
def test_damaged_rows_of_a_version_are_refused(filled: Store, change: str) -> None:
    version = ask(filled, grouping=GROUPED, normalize="injection_volume")
    if not filled.database.is_sqlite and ("SET experiment_id" in change or "SET number" in change):
        pytest.skip("Postgres enforces foreign keys for every program")
    _changed(filled, f"UPDATE {change}")
    with pytest.raises(DamagedCatalogError, match="are not the ones that were stored"):
        filled.dataset(version.ref)


def test_an_edge_at_minus_zero_is_not_damage(filled: Store) -> None:
    """SQLite stores -0.0 as 0.0; the fingerprint has the sign."""
    crossing = crossed(by_coordinate("AP", edges=[-0.0, 9400]), by_coordinate("ML", edges=[-1.0, -0.0, 11400]))
    for grouping in (by_coordinate("AP", edges=[-0.0, 9400]), crossing):
        version = ask(filled, grouping=grouping)
        assert filled.dataset(version.ref).fingerprint == version.fingerprint
        assert ask(filled, grouping=grouping).ref == version.ref
        assert filled.datasets.rebuild(version.ref).is_identical


@sqlite_first
def test_an_answer_whose_state_was_changed_is_ignored(filled: Store) -> None:
    version = ask(filled)
    change_experiments(filled, [*FACTS[:2], *FACTS[3:]])
    _changed(
        filled,
        "UPDATE dataset_answer SET change_count = (SELECT changes FROM catalog_change_base)"
        " + (SELECT count(*) FROM catalog_change)",
    )
    again = ask(filled)
    assert (again.number, again.was_computed) == (version.number + 1, True)
    assert again.fingerprint != version.fingerprint
