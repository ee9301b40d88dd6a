"""What a selection names and the catalog does not have: each error with its hint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from bsv_store import Selection
from bsv_store.catalog.selection.names import check_experiments, known_experiments, mistaken_lines, unknown_experiments
from bsv_store.errors import SelectionError, UnknownExperimentError
from tests.catalog.small_catalog import CURRENT_IDS

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from bsv_store import Store


@pytest.mark.parametrize(
    ("criteria", "message"),
    [
        ({"near": (8, 1.5, 8.5), "radius_um": 500}, "near: (8, 1.5, 8.5) seems to be in mm"),
        ({"box": ((7, 8), None, (4, 9))}, "box: its sides seem to be in mm"),
    ],
)
def test_coordinates_in_mm_are_refused(small_store: Store, criteria: dict[str, Any], message: str) -> None:
    with pytest.raises(SelectionError) as caught:
        small_store.select(Selection(**criteria))
    assert caught.value.message == message


@pytest.mark.parametrize(
    "criteria",
    [
        # The sphere reaches the brain.
        {"near": (8, 1.5, 8.5), "radius_um": 8000},
        {"near": (8000, 1500, 8500), "radius_um": 1},
        {"box": ((0, 9000), None, (0, 5))},
        {"box": ((7000, 8000), None, None)},
    ],
    ids=str,
)
def test_coordinates_in_um_are_not_taken_for_mm(small_store: Store, criteria: dict[str, Any]) -> None:
    assert set(small_store.select(Selection(**criteria))) <= set(CURRENT_IDS)


@pytest.mark.parametrize(
    "name", ["0", "wt", "W-T", "wild", "wildtypes", "none", "No", "control", "C57BL/6J", "c57bl6", "black-6", "Black 6"]
)
def test_common_names_of_wild_type_are_recognized(small_store: Store, name: str) -> None:
    if name == "wt":
        # The catalog has a line of this name, of mice that carry a Cre line too.
        assert small_store.select(Selection(line=name)) == (204, 205)
        return
    with pytest.raises(SelectionError, match="the catalog has no transgenic line") as caught:
        small_store.select(Selection(line=name))
    assert caught.value.hint == "Did you mean wild-type?"


def test_unknown_lines_are_named(small_store: Store) -> None:
    with pytest.raises(SelectionError) as caught:
        small_store.select(Selection(line=["zzz", "qqq", "wild-type", "any-cre"]))
    assert caught.value.message == "the catalog has no transgenic line 'qqq', 'zzz'"
    assert caught.value.hint == "Use the exact name of a line, 'wild-type' or 'any-cre'."


def test_lines_that_are_mistaken_for_wild_type() -> None:
    both = Selection(line=["WT", "Emx1"]) | Selection(line="wt") | Selection(sex="M")
    assert mistaken_lines(both) == ("WT", "wt")
    assert mistaken_lines(Selection(line="wild-type")) == ()


@pytest.mark.parametrize(
    ("criteria", "message", "hint"),
    [
        (
            {"strain": ["C57BL", "unlikely"]},
            "no experiment of the catalog has the strain 'C57BL', 'unlikely'",
            "Did you mean C57BL/6J? The catalog has 'C57BL/6J', 'FVB.CD1(ICR)'.",
        ),
        (
            {"strain": "unlikely"},
            "no experiment of the catalog has the strain 'unlikely'",
            "The catalog has 'C57BL/6J', 'FVB.CD1(ICR)'.",
        ),
        # No near names of numbers.
        ({"product": 3}, "no experiment of the catalog has the product 3", "The catalog has 5, 31, 35."),
    ],
)
def test_values_that_no_experiment_has_are_answered_with_those_of_the_catalog(
    small_store: Store, criteria: dict[str, Any], message: str, hint: str
) -> None:
    with pytest.raises(SelectionError) as caught:
        small_store.select(Selection(**criteria))
    assert (caught.value.message, caught.value.hint) == (message, hint)


def test_known_experiments_include_withdrawn_ones(reading: Connection) -> None:
    assert known_experiments(reading, [301, 101, 7]) == {101, 301}
    check_experiments(reading, [301, 101])
    check_experiments(reading, [])
    with pytest.raises(UnknownExperimentError, match="the catalog has no experiments 7, 8"):
        check_experiments(reading, [8, 101, 7])


def test_unknown_experiments_in_words() -> None:
    one, two = unknown_experiments([7]), unknown_experiments([7, 8])
    assert (one.message, two.message) == ("the catalog has no experiment 7", "the catalog has no experiments 7, 8")
    assert str(one.hint).startswith("Check the id, ")
    assert str(two.hint).startswith("Check the ids, ")


def test_structures_are_named_by_acronym_or_id(small_store: Store) -> None:
    by_both = small_store.select(Selection(injected_in=[385, "VISl"]))
    assert by_both == small_store.select(Selection(injected_in=["VISp", "VISl"])) != ()


def test_a_catalog_without_experiments_has_no_values(store: Store) -> None:
    with pytest.raises(SelectionError) as caught:
        store.select(Selection(strain="C57BL/6J"))
    assert caught.value.hint == "The catalog has none at all."
