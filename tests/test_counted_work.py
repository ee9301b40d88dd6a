"""How much work the paths that must be fast do: counted, so that a slow machine fails no test and a slow change does.

The limits are the current counts. State the reason when raising one; docs/performance.md has the costs.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bsv_store import Selection, Store, by_coordinate, open_store
from bsv_store.compat import fetch_connectivity_data
from bsv_store.volumes.grid import Grid
from tests.counting import Work, counted
from tests.datasets.world import VISL, VISP, Fact, fill_with

FEW, MANY = 4, 24
FACTS = tuple(
    Fact(1000 + number, VISP if number % 2 else VISL, 5000 + 100 * number, 0.0, 0.1 + number / 100)
    for number in range(MANY)
)
ALL = [fact.id for fact in FACTS]


@pytest.fixture
def many(store: Store) -> Store:
    fill_with(store, FACTS)
    return store


def ask(store: Store, ids: list[int]) -> Any:
    selection = Selection(ids=ids)
    return store.aggregate(selection, name="test", group_by=by_coordinate("AP", bins=3), normalize="injection_volume")


def compat(store: Store, ids: list[int], **options: Any) -> Any:
    arguments: dict[str, Any] = {"export_metadata": False, "offline": True, "store": store, **options}
    return fetch_connectivity_data(ids, "", "", "injectionVolume", False, "AP", **arguments)


def work_of(call: Callable[[Store, list[int]], Any], store: Store, ids: list[int]) -> Work:
    with counted() as work:
        call(store, ids)
    return work


def compat_with_volumes(store: Store, ids: list[int]) -> Any:
    return compat(store, ids, load_all=True)


@pytest.mark.parametrize("call", [ask, compat, compat_with_volumes])
def test_averaging_reads_each_volume_once_and_opens_nothing_else(
    many: Store, call: Callable[[Store, list[int]], Any]
) -> None:
    work = work_of(call, many, ALL)
    names = many.sql("select path, size_bytes from volume")
    assert sorted(work.read) == sorted(Path(path).name for path in names.path)
    assert set(work.opened) == set(work.read)
    assert work.bytes_read == names.size_bytes.sum()


# A version records its use of volumes, and the activity, in three statements, and the seal of the answer in one. On
# Postgres, a transaction has one more, the name of the dataset is locked, and the seal is copied in three.
@pytest.mark.parametrize(("call", "limit"), [(ask, 55), (compat, 37)])
def test_the_number_of_statements_does_not_grow_with_the_experiments(
    many: Store, call: Callable[[Store, list[int]], Any], limit: int
) -> None:
    # Asks whether the account may write, once.
    many.database.require_writable()
    few, all_of_them = work_of(call, many, ALL[:FEW]), work_of(call, many, ALL)
    allowed = limit if many.database.is_sqlite else limit + 9
    assert len(few.statements) == len(all_of_them.statements) <= allowed


def test_the_same_question_again_opens_no_file(many: Store) -> None:
    ask(many, ALL)
    work = work_of(ask, many, ALL)
    assert work.opened == []
    assert work.bytes_read == 0
    # One reads the seal of the answer. On Postgres, one sets the settings of the transaction.
    assert len(work.statements) <= 13


def test_the_injection_rows_of_brain_street_view_are_read_when_looked_at(many: Store) -> None:
    with counted() as work:
        pooled = compat(many, ALL)[1]
    # The check of the divisors reads whole rows, but only those of the root.
    assert len([statement for statement in work.statements if "max_voxel_density" in statement]) == 1
    with counted() as work:
        assert len(pooled["experimentID"]) == len(pooled["projection_volume"]) == 2 * MANY
    assert len([statement for statement in work.statements if "max_voxel_density" in statement]) == 1


def test_opening_a_store_runs_few_statements_and_opens_no_volume(many: Store) -> None:
    with counted() as work, open_store(many.path):
        pass
    assert len(work.statements) <= 4
    assert work.opened == []


def test_selecting_is_a_fixed_number_of_statements(many: Store) -> None:
    selection = Selection(injected_in="VISp", injected_hemisphere="right", min_injection_volume=0.1)
    with counted() as work:
        found = many.select(selection)
    assert len(found) == MANY // 2
    # The structure, the experiments; on Postgres, also the settings of the transaction.
    assert len(work.statements) <= (2 if many.database.is_sqlite else 3)


def test_memory_does_not_grow_with_the_experiments(many: Store) -> None:
    """Three more volumes' worth would already be more than the difference allowed."""
    ask(many, ALL[:2])
    few, all_of_them = peak(many, ALL[:FEW]), peak(many, ALL)
    assert all_of_them - few < 3 * 4 * Grid(100).size


def peak(store: Store, ids: list[int]) -> int:
    tracemalloc.start()
    try:
        store.aggregate(Selection(ids=ids), name="peak")
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
