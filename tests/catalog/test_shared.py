"""Named selections and exclusions: what they mean now, what they meant, and who is told."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from html import unescape
from typing import Any

import pytest
from sqlalchemy import event, insert
from sqlalchemy.exc import IntegrityError

from bsv_store import Selection, Store, open_store
from bsv_store.catalog import seals
from bsv_store.catalog.database.models import Dataset, Exclusion, NamedSelection
from bsv_store.errors import (
    BusyError,
    DamagedCatalogError,
    EmptySelectionError,
    ExcludedExperimentError,
    InputError,
    SelectionError,
    UnknownExperimentError,
    UnknownStructureError,
)
from bsv_store.owner import current_user
from tests.catalog.small_catalog import CURRENT_IDS, fill
from tests.stores import store_with

VISUAL = Selection(injected_in="VIS", line="wild-type")


def fill_small(store: Store) -> None:
    with store.database.writing() as connection:
        fill(connection)


filled = store_with(fill_small)


def last_activity(store: Store) -> tuple[str, str, dict[str, Any]]:
    record = store.admin.activity().iloc[0]
    return record["action"], record["subject"], record["details"]


# -- named selections -------------------------------------------------------------------------------------------------


def test_a_name_means_what_was_saved(filled: Store) -> None:
    before = datetime.now(UTC)
    saved = filled.catalog.save_selection("visual", VISUAL, note="for the paper")
    assert (saved.name, saved.number, saved.selection, saved.note, saved.saved_by) == (
        "visual",
        1,
        VISUAL,
        "for the paper",
        current_user(),
    )
    assert abs((saved.saved_at - before).total_seconds()) < 60
    assert filled.catalog.selection("visual") == VISUAL
    assert filled.catalog.selections() == [saved]


def test_a_new_meaning_needs_replace_and_keeps_the_old(filled: Store) -> None:
    filled.catalog.save_selection("visual", VISUAL)
    other = Selection(injected_in="VISp")
    with pytest.raises(InputError, match=f"'visual' is in use .* {current_user()}"):
        filled.catalog.save_selection("visual", other)
    assert filled.catalog.selection("visual") == VISUAL
    assert filled.catalog.save_selection("visual", other, replace=True).number == 2
    assert filled.catalog.selection("visual") == filled.catalog.selection("visual@2") == other
    assert filled.catalog.selection("visual@1") == VISUAL
    assert [saved.number for saved in filled.catalog.selections(history="visual")] == [1, 2]
    assert [saved.number for saved in filled.catalog.selections()] == [2]


def test_saving_the_same_again_changes_nothing(filled: Store) -> None:
    first = filled.catalog.save_selection("visual", VISUAL, note="why")
    assert filled.catalog.save_selection("visual", VISUAL) == first
    assert filled.catalog.save_selection("visual", VISUAL, note="why") == first
    with pytest.raises(InputError, match="is in use for"):
        filled.catalog.save_selection("visual", VISUAL, note="another reason")


def test_names_come_sorted_alike_on_both_databases(filled: Store) -> None:
    for name in ("b", "B", "a.1", "a-2", "9"):
        filled.catalog.save_selection(name, VISUAL)
    assert [saved.name for saved in filled.catalog.selections()] == ["9", "B", "a-2", "a.1", "b"]


def test_unknown_names_are_errors_with_near_ones(filled: Store) -> None:
    with pytest.raises(InputError, match="None is saved yet"):
        filled.catalog.selection("visual")
    filled.catalog.save_selection("visual", VISUAL)
    with pytest.raises(InputError, match="Saved selections: visual"):
        filled.catalog.selection("visaul")
    with pytest.raises(InputError, match=r"'2'[^0-9]* 1 to 1"):
        filled.catalog.selection("visual@2")
    for hostile in ("", "@", "visual@", "visual@-1", "visual@1'; --", "x" * 10_000, "a\nb", "visual@99999999999999"):
        with pytest.raises(InputError):
            filled.catalog.selection(hostile)


def test_an_unknown_name_is_answered_with_all_saved_selections(filled: Store) -> None:
    for name in ("lateral", "visual"):
        filled.catalog.save_selection(name, VISUAL)
    with pytest.raises(InputError, match="no selection is saved as 'visal'") as caught:
        filled.catalog.selection("visal")
    assert caught.value.hint == "Did you mean visual? Saved selections: lateral, visual."


@pytest.mark.parametrize("name", ["", "-x", "a b", "a@1", "../x", "x" * 101, "a\n", "ä", "'; DROP TABLE structure"])
def test_what_cannot_be_a_name(filled: Store, name: str) -> None:
    with pytest.raises(InputError, match="not a valid name"):
        filled.catalog.save_selection(name, VISUAL)
    assert filled.catalog.selections() == []


def test_a_selection_that_names_nothing_known_is_not_saved(filled: Store) -> None:
    with pytest.raises(UnknownStructureError):
        filled.catalog.save_selection("visual", Selection(injected_in="VISP"))
    with pytest.raises(InputError, match="the note must be one line of text"):
        filled.catalog.save_selection("visual", VISUAL, note="two\nlines")
    assert filled.catalog.selections() == []


def test_a_saved_selection_is_recorded_and_shown_with_its_note(filled: Store) -> None:
    saved = filled.catalog.save_selection("visual", VISUAL, note="for the paper")
    assert last_activity(filled) == ("saved", "selection visual@1", {"note": "for the paper"})
    text = unescape(saved._repr_html_())
    assert '"bsv-title">visual@1</span><span class="bsv-kind">saved selection</span>' in text
    assert "<dt>Note</dt><dd>for the paper</dd>" in text
    assert f"<dt>Saved</dt><dd>{saved.saved_at:%Y-%m-%d %H:%M} UTC by {current_user()}</dd>" in text
    assert f"<pre>{VISUAL!r}</pre>" in text
    count = len(filled.admin.activity())
    filled.catalog.save_selection("visual", VISUAL)
    assert len(filled.admin.activity()) == count
    filled.catalog.save_selection("visual", Selection(injected_in="CP"), replace=True)
    assert last_activity(filled) == ("saved", "selection visual@2", {})


def test_a_damaged_selection_is_not_hidden_by_another(filled: Store) -> None:
    filled.catalog.save_selection("visual", VISUAL)
    filled.catalog.save_selection("other", VISUAL)
    with filled.database.reading() as connection:
        seals.check_rows(connection, NamedSelection)
    with filled.database.writing() as connection:
        connection.exec_driver_sql("UPDATE named_selection SET note = 'other' WHERE name = 'visual'")
    for call in (
        lambda: filled.catalog.save_selection("third", VISUAL),
        lambda: filled.catalog.selection("other"),
        lambda: filled.catalog.selections(history="other"),
    ):
        with pytest.raises(DamagedCatalogError):
            call()


def test_a_dataset_in_place_of_a_selection_is_recognized(filled: Store) -> None:
    filled.catalog.save_selection("visual", VISUAL)
    with filled.database.writing() as connection:
        connection.execute(
            insert(Dataset).values(name="visual-mean", created_at=datetime.now(UTC), created_by="x", last_number=1)
        )
    with pytest.raises(InputError) as caught:
        filled.catalog.selection("visual-mean")
    assert str(caught.value.hint).startswith("visual-mean is a dataset.")
    with pytest.raises(InputError) as caught:
        filled.catalog.selection("nothing-like-it")
    assert caught.value.hint == "Saved selections: visual."


def test_a_name_has_at_most_100_characters(filled: Store) -> None:
    name = "9" + "a" * 99
    assert filled.catalog.save_selection(name, VISUAL).name == name
    assert filled.catalog.selection(f"{name}@1") == VISUAL
    with pytest.raises(InputError, match="has no number '999999999'") as caught:
        filled.catalog.selection(f"{name}@999999999")
    assert caught.value.hint == "Numbers are 1 to 1."
    with pytest.raises(InputError) as caught:
        filled.catalog.save_selection("a b", VISUAL)
    assert str(caught.value.hint).startswith("A name has at most 100 letters")


def test_two_savers_at_once_do_not_overwrite_each_other(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    filled.catalog.save_selection("visual", VISUAL)
    # Simulate a second process that read the name before the first one saved it.
    monkeypatch.setattr("bsv_store.catalog.selection.saved._current", lambda *_: None)
    with pytest.raises(BusyError, match=r"another process .*'visual'") as caught:
        filled.catalog.save_selection("visual", Selection(injected_in="CP"))
    assert isinstance(caught.value.__cause__, IntegrityError)


def test_selections_that_others_save_meanwhile_are_not_taken_for_damage(filled: Store) -> None:
    if filled.database.is_sqlite:
        pytest.skip("SQLite has one writer at a time")
    others = iter(range(100))
    with open_store(filled.path) as other:

        def save_another(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            if statement.startswith("SELECT") and "seal" in statement:
                other.catalog.save_selection(f"other-{next(others)}", VISUAL)

        event.listen(filled.database.engine, "after_cursor_execute", save_another)
        try:
            assert filled.catalog.save_selection("visual", VISUAL).selection == VISUAL
        finally:
            event.remove(filled.database.engine, "after_cursor_execute", save_another)
    saved = next(others)
    assert saved
    assert len(filled.catalog.selections()) == saved + 1


# -- exclusions -------------------------------------------------------------------------------------------------------


def test_selections_leave_excluded_experiments_out(filled: Store) -> None:
    assert filled.catalog.exclude([101, 103], "bad section") == (101, 103)
    rest = tuple(id_ for id_ in CURRENT_IDS if id_ not in (101, 103))
    assert filled.select() == rest
    assert filled.select(Selection(include_excluded=True)) == CURRENT_IDS
    assert 101 not in filled.experiments(Selection(injected_in="VISp"))["experiment_id"].tolist()
    assert filled.catalog.summary().total == len(rest)


NAMING: tuple[Callable[[Store], object], ...] = (
    lambda store: store.select([101, 102]),
    lambda store: store.experiments([101]),
    lambda store: store.catalog.summary([101]),
    lambda store: store.catalog.unionizes([101]),
    lambda store: store.catalog.matrix([101], targets=["CP"]),
    lambda store: store.catalog.matrix_sql([101], targets=["CP"]),
    lambda store: store.catalog.rank_structures([101], is_injection=False, structures=["CP"]),
    lambda store: store.catalog.excluded_from([101]),
    lambda store: store.catalog.save_selection("one", [101]),
    lambda store: store.search.sources("VISp", selection=[101]),
    lambda store: store.search.targets("CP", selection=[101]),
    lambda store: store.search.injections((8000, 1500, 8500), selection=[101]),
    lambda store: store.search.correlation(102, selection=[101], structure_set=184527634),
    lambda store: store.search.correlation(101, structure_set=184527634),
    lambda store: store.search.point((8000, 1500, 8500), selection=[101]),
    lambda store: store.aggregate([101], name="one"),
    lambda store: store.fetch([101]),
    lambda store: store.sync_unionizes([101]),
    lambda store: store.atlas.signal([101], "CP"),
    lambda store: store.select(Selection(ids=[101], injected_in="CM")),
    lambda store: store.select(Selection(injected_in="CM") | Selection(ids=[101])),
    lambda store: store.select(Selection(ids=[101]) & Selection(injected_in="CM")),
    lambda store: store.select(Selection(ids=[101]) - Selection(ids=[101])),
)


@pytest.mark.parametrize("call", NAMING, ids=range(len(NAMING)))
def test_naming_an_excluded_experiment_by_id_is_an_error_in_every_call(
    filled: Store, call: Callable[[Store], object]
) -> None:
    filled.catalog.exclude([101], "bad section")
    with pytest.raises(ExcludedExperimentError) as caught:
        call(filled)
    assert caught.value.message == "experiment 101 is on the exclusion list: bad section"
    assert "include_excluded=True" in str(caught.value.hint)
    assert "bsv-store exclude remove 101" in str(caught.value.hint)


def test_several_excluded_experiments_are_named_with_their_reasons(filled: Store) -> None:
    filled.catalog.exclude([101], "bad section")
    filled.catalog.exclude([103], "tissue torn")
    with pytest.raises(ExcludedExperimentError, match=r"101 \(bad section\), 103 \(tissue torn\)"):
        filled.select([101, 102, 103])


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (Selection(ids=[101, 102], include_excluded=True), (101, 102)),
        (Selection(ids=[101, 102], exclude_ids=[101]), (102,)),
        (Selection(ids=[102]) - Selection(ids=[101]), (102,)),
        (Selection(ids=[102]) - (Selection(ids=[101, 103]) - Selection(ids=[103])), (102,)),
        (Selection(ids=[101, 102], include_excluded=True) - Selection(ids=[101]), (102,)),
        (
            Selection(injected_in="VISp", include_excluded=True)
            & Selection(ids=[101, 102], include_excluded=True) - Selection(ids=[101]),
            (102,),
        ),
        # Withdrawn experiments that are named are selected.
        (Selection(ids=[102, 301]), (102, 301)),
    ],
)
def test_naming_an_excluded_experiment_is_fine_where_it_is_not_asked_for(
    filled: Store, selection: Selection, expected: tuple[int, ...]
) -> None:
    filled.catalog.exclude([101], "bad section")
    assert filled.select(selection) == expected


def test_the_exclusion_list_explains_an_empty_selection(filled: Store) -> None:
    filled.catalog.exclude([106], "bad section")
    with pytest.raises(EmptySelectionError, match=r"106 \(bad section\). include_excluded=True"):
        filled.catalog.matrix(Selection(injected_in="CM"), targets=["CP"])
    assert filled.catalog.excluded_from(Selection(injected_in="CM")) == {106: "bad section"}


def test_an_empty_difference_that_takes_away_an_excluded_experiment_says_why(filled: Store) -> None:
    filled.catalog.exclude([101], "bad section")
    with pytest.raises(EmptySelectionError, match=r"1 match Selection\(ids=\[101\]\)"):
        filled.catalog.matrix(Selection(ids=[102]) - Selection(ids=[101]) - Selection(ids=[102]), targets=["CP"])


def test_combinations_leave_them_out_in_every_part(filled: Store) -> None:
    visp, right = Selection(injected_in="VISp"), Selection(injected_hemisphere="right")
    whole = {text: filled.select(value) for text, value in _combined(visp, right).items()}
    filled.catalog.exclude([101], "bad section")
    for text, value in _combined(visp, right).items():
        assert filled.select(value) == tuple(id_ for id_ in whole[text] if id_ != 101), text
        lost = {101: "bad section"} if 101 in whole[text] else {}
        assert filled.catalog.excluded_from(value) == lost, text


def _combined(a: Selection, b: Selection) -> dict[str, Selection]:
    return {"and": a & b, "or": a | b, "minus": b - a, "plain": a}


def test_include_excluded_is_part_of_the_canonical_form() -> None:
    asked = Selection(injected_in="VISp", include_excluded=True)
    assert asked.to_json() == '{"include_excluded":true,"injected_in":["VISp"],"version":1}'
    assert Selection.from_json(asked.to_json()) == asked
    assert "include_excluded" not in Selection(injected_in="VISp").to_json()
    with pytest.raises(SelectionError, match="include_excluded"):
        Selection(include_excluded="yes")  # type: ignore[arg-type]


def test_lifting_ends_an_exclusion_and_keeps_it_on_record(filled: Store) -> None:
    filled.catalog.exclude([101], "bad section")
    assert filled.catalog.lift_exclusion([101]) == (101,)
    assert filled.select() == CURRENT_IDS
    assert filled.catalog.exclusions() == []
    filled.catalog.exclude([101], "again")
    (first, second) = filled.catalog.exclusions(history=True)
    assert (first.reason, first.lifted_by, second.reason, second.lifted_by) == (
        "bad section",
        current_user(),
        "again",
        None,
    )
    assert first.lifted_at is not None
    assert first.lifted_at.tzinfo is not None
    assert filled.catalog.exclusions() == [second]


def test_another_reason_needs_replace(filled: Store) -> None:
    filled.catalog.exclude([101], "bad section")
    assert filled.catalog.exclude([101], "bad section") == ()
    with pytest.raises(InputError, match=r"101 .* another reason: bad section"):
        filled.catalog.exclude([101, 102], "no fluorescence")
    assert [item.experiment_id for item in filled.catalog.exclusions()] == [101]
    assert filled.catalog.exclude([101, 102], "no fluorescence", replace=True) == (101, 102)
    assert {item.reason for item in filled.catalog.exclusions()} == {"no fluorescence"}


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda catalog: catalog.exclude([101, 7], "x"), UnknownExperimentError),
        (lambda catalog: catalog.exclude([], "x"), InputError),
        (lambda catalog: catalog.exclude([0], "x"), SelectionError),
        (lambda catalog: catalog.exclude([2**63], "x"), SelectionError),
        (lambda catalog: catalog.exclude([101], " "), InputError),
        (lambda catalog: catalog.exclude([101], "a\x1b[31mb"), InputError),
        (lambda catalog: catalog.lift_exclusion([101]), InputError),
    ],
)
def test_what_cannot_be_excluded_or_lifted(
    filled: Store, change: Callable[[object], object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        change(filled.catalog)
    assert filled.catalog.exclusions(history=True) == []


def test_a_reason_is_one_line_of_text(filled: Store) -> None:
    with pytest.raises(InputError, match="the reason must be one line of text"):
        filled.catalog.exclude([101], "two\nlines")


def test_exclusions_are_listed_by_id_and_their_history_by_time(filled: Store) -> None:
    for identifier in (103, 101, 102):
        filled.catalog.exclude([identifier], "bad section")
    assert [item.experiment_id for item in filled.catalog.exclusions()] == [101, 102, 103]
    assert [item.experiment_id for item in filled.catalog.exclusions(history=True)] == [103, 101, 102]
    assert list(filled.catalog.excluded_from()) == [101, 102, 103]


def test_changes_of_the_exclusion_list_are_recorded(filled: Store) -> None:
    filled.catalog.exclude([102, 101], "bad section")
    excluded = ("excluded", "experiments 101, 102", {"experiments": 2, "reason": "bad section"})
    assert last_activity(filled) == excluded
    count = len(filled.admin.activity())
    filled.catalog.exclude([101], "bad section")
    assert len(filled.admin.activity()) == count
    filled.catalog.lift_exclusion([102])
    assert last_activity(filled) == ("included", "experiments 102", {"experiments": 1})
    with filled.database.reading() as connection:
        seals.check_rows(connection, Exclusion)


def test_a_change_of_the_exclusion_list_does_not_hide_damage_of_another_row(filled: Store) -> None:
    filled.catalog.exclude([101, 102], "bad section")
    with filled.database.writing() as connection:
        connection.exec_driver_sql("UPDATE exclusion SET reason = 'other' WHERE experiment_id = 101")
    filled.catalog.exclude([103], "bad section")
    filled.catalog.lift_exclusion([102])
    with pytest.raises(DamagedCatalogError):
        filled.catalog.lift_exclusion([101])


def test_reasons_of_some_experiments(filled: Store) -> None:
    reason = "it's 100% bad; --"
    filled.catalog.exclude([103, 101], reason)
    assert {item.experiment_id: item.reason for item in filled.catalog.exclusions()} == {101: reason, 103: reason}
    assert filled.catalog.excluded_from(Selection(injected_in="VISp")) == {101: reason}
    assert filled.catalog.excluded_from(Selection(injected_in="CP")) == {}


def test_one_id_of_a_frame_is_a_selection(filled: Store) -> None:
    one = filled.experiments([102])["experiment_id"].to_numpy()[0]
    assert not isinstance(one, int)
    assert filled.select(one) == (102,)
    with pytest.raises(SelectionError, match="selection must be"):
        filled.select(102.0)  # type: ignore[arg-type]
