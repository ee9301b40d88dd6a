from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from bsv_store import Selection, by_coordinate
from bsv_store.averaging import inputs as inputs_module
from bsv_store.datasets.history import stale as stale_module
from bsv_store.datasets.history.changes import MemberChanges
from bsv_store.errors import StoreError
from tests.counting import counted
from tests.datasets.world import (
    FACTS,
    add_unionizes,
    add_volume,
    ask,
    change_experiments,
    fill,
    forget_listed_volumes,
    remove_volume,
)

if TYPE_CHECKING:
    from bsv_store import Store
    from bsv_store.datasets.history.changes import MemberChange


def listed(changes: Iterable[MemberChange]) -> list[tuple[int, str]]:
    return [(change.experiment_id, change.reason) for change in changes]


def test_a_version_is_fresh_as_long_as_nothing_changes(filled: Store) -> None:
    ask(filled, grouping=by_coordinate("AP", bins=2), normalize="injection_volume")
    with counted() as work:
        (report,) = filled.datasets.stale("test")
    assert work.opened == []
    assert (report.is_stale, report.state, report.standing) == (False, "current", "computed")
    assert report.members == MemberChanges((), (), ())
    assert report.reasons == ()


def test_changed_inputs_are_named(filled: Store) -> None:
    ask(filled, normalize="injection_volume")
    add_volume(filled, 2, seed=1)
    change_experiments(filled, [replace(fact, structure=985) if fact.id == 3 else fact for fact in FACTS])
    (report,) = filled.datasets.stale("test@1")
    assert report.is_stale
    assert listed(report.members.changed) == [(2, "another volume")]
    assert listed(report.members.left) == [(3, "is not selected")]


def test_data_that_came_later_make_a_version_stale(store: Store) -> None:
    fill(store, volumes=(1, 2), unionizes=(1, 2))
    forget_listed_volumes(store)
    ask(store, missing="leave_out", normalize="injection_volume")
    add_volume(store, 4)
    (report,) = store.datasets.stale("test")
    assert not report.members
    assert report.reasons == ("left out now, or for another reason: 4",)
    add_unionizes(store, [4])
    (report,) = store.datasets.stale("test")
    assert listed(report.members.entered) == [(4, "was left out: the projection_density at 100 um is not in the store")]


def test_data_that_went_are_named_whatever_the_policy(filled: Store) -> None:
    ask(filled)
    remove_volume(filled, 5)
    (report,) = filled.datasets.stale("test")
    assert listed(report.members.left) == [(5, "is left out: the projection_density at 100 um is not in the store")]


def test_another_algorithm_makes_a_version_stale(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    ask(filled)
    for module in (inputs_module, stale_module):
        monkeypatch.setattr(module, "ALGORITHM_VERSION", 999)
    (report,) = filled.datasets.stale("test")
    assert report.reasons == ("the algorithm was version 2, now it is 999",)


def test_a_question_without_an_answer_is_stale(filled: Store) -> None:
    ask(filled, Selection(injected_in="VISpm"))
    change_experiments(filled, [fact for fact in FACTS if fact.id != 5])
    (report,) = filled.datasets.stale("test")
    assert (report.is_stale, report.state, report.members) == (True, "stale", MemberChanges((), (), ()))
    assert "no result now: no experiment matches" in report.reasons[0]


def test_a_version_that_names_an_experiment_that_was_excluded_since_is_stale(filled: Store) -> None:
    made = ask(filled, Selection(ids=[1, 2, 3]))
    filled.catalog.exclude([2], "tissue torn")
    (report,) = filled.datasets.stale("test")
    assert report.is_stale
    assert report.reasons == ("no result now: experiment 2 is on the exclusion list: tissue torn",)
    assert [each.is_stale for each in filled.datasets.stale()] == [True]
    # A rebuild uses the recorded inputs.
    assert filled.datasets.rebuild(made.ref, check_only=True).is_identical


def test_moved_edges_are_noticed(filled: Store) -> None:
    ask(filled, Selection(ids=[1, 2, 3]), by_coordinate("AP", bins=1))
    change_experiments(filled, [replace(fact, ap=8010) if fact.id == 1 else fact for fact in FACTS])
    (report,) = filled.datasets.stale("test")
    assert report.is_stale
    assert not report.members
    assert "centers" in report.reasons[0]


def test_all_latest_versions_are_reported_by_name(filled: Store) -> None:
    ask(filled, Selection(ids=[1]), name="b")
    ask(filled, Selection(ids=[2]), name="b")
    ask(filled, Selection(ids=[1]), name="a")
    add_volume(filled, 1, seed=1)
    reports = filled.datasets.stale()
    assert [(report.ref, report.is_stale) for report in reports] == [("a@1", True), ("b@2", False)]


def test_a_recipe_that_cannot_be_read_is_an_error_that_says_what_to_do(filled: Store) -> None:
    ask(filled, name="old")
    ask(filled, name="new")
    with filled.database.writing() as connection:
        named = connection.execute(
            text(
                "SELECT v.id, v.recipe FROM dataset_version AS v JOIN dataset AS d ON d.id = v.dataset_id"
                " WHERE d.name = 'old'"
            )
        ).one()
        changed = {"id": named.id, "recipe": named.recipe.replace("hemisphere_rule", "hemisphere")}
        connection.execute(
            text("UPDATE dataset_version SET recipe = :recipe, fingerprint = 'old' WHERE id = :id"), changed
        )
    problem = r"cannot read the recipe of old@1: a recipe has no part 'hemisphere'"
    calls = (filled.dataset, filled.datasets.stale, filled.datasets.lineage, filled.datasets.rebuild)
    for call in calls:
        with pytest.raises(StoreError, match=problem) as caught:
            call("old")
        assert "bsv-store aggregate" in str(caught.value.hint)
    new, old = filled.datasets.stale()
    assert (new.ref, new.is_stale) == ("new@1", False)
    assert (old.ref, old.is_stale) == ("old@1", True)
    assert (old.state, old.standing, old.members) == ("stale", None, MemberChanges((), (), ()))
    assert re.search(problem, old.reasons[0])
    assert filled.datasets.versions()["name"].tolist() == ["new", "old"]
    again = ask(filled, name="old")
    assert (again.ref, again.was_computed) == ("old@2", True)
    assert not any(report.is_stale for report in filled.datasets.stale())


def test_a_version_with_a_damaged_recipe_can_be_computed_again_after_it_was_deleted(filled: Store) -> None:
    made = ask(filled, name="old")
    with filled.database.writing() as connection:
        connection.execute(text("UPDATE dataset_version SET recipe = '{'"))
    with pytest.raises(StoreError, match="cannot read the recipe of old@1") as caught:
        ask(filled, name="old")
    hint = str(caught.value.hint)
    assert filled.sql(hint.split('"')[1])["recipe"].tolist() == ["{"]
    assert hint.endswith("bsv-store dataset delete old@1")
    filled.datasets.delete("old@1")
    again = ask(filled, name="old")
    assert (again.ref, again.fingerprint) == ("old@2", made.fingerprint)
