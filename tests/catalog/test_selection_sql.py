"""Selections against the small catalog, on both databases: who is selected, and what is refused."""

from __future__ import annotations

import functools
import operator
from typing import Any

import pytest
from sqlalchemy import event

from bsv_store import Selection, Store
from bsv_store.catalog.selection.selection import MAX_DEPTH, MAX_PARTS
from bsv_store.errors import EmptySelectionError, SelectionError, UnknownExperimentError, UnknownStructureError
from tests.catalog.small_catalog import ALL_IDS, CURRENT_IDS
from tests.catalog.undecided import unmeasured

# What is left out is tested in test_without_unionizes.py.
pytestmark = pytest.mark.filterwarnings("ignore::bsv_store.errors.MissingUnionizesWarning")


def ids(store: Store, **criteria: Any) -> tuple[int, ...]:
    return store.select(Selection(**criteria))


def test_everything_is_all_that_is_not_withdrawn(small_store: Store) -> None:
    assert ids(small_store) == CURRENT_IDS
    assert ids(small_store, include_withdrawn=True) == ALL_IDS


@pytest.mark.parametrize(
    ("criteria", "expected"),
    [
        ({"injected_in": "VISp"}, (1, 101, 102, 201, 204)),
        ({"injected_in": 385}, (1, 101, 102, 201, 204)),
        ({"injected_in": "VISp1"}, (102,)),
        ({"injected_in": "VISpm"}, (103,)),
        ({"injected_in": "VIS"}, (1, 101, 102, 103, 104, 201, 202, 204)),
        ({"injected_in": ["VISC", "VISl"]}, (104, 105, 202, 203)),
        ({"injected_in": "CM"}, (106,)),
        ({"injected_in": "cm"}, (107,)),
        ({"injected_in": "CUL4, 5"}, (108,)),
        ({"injected_in": 1}, (110,)),
        ({"injected_in": "retina"}, (109,)),
        # The retina lies under the root but not under grey.
        ({"injected_in": "grey", "product": 31}, ()),
        ({"injected_in": "root", "product": 31}, (109,)),
        ({"injected_in": "VISpm", "injection": "any"}, (1, 103)),
        ({"injected_in": "VISp", "injection": "any"}, (1, 101, 102, 105, 201, 204)),
    ],
)
def test_injected_in_follows_the_ontology(
    small_store: Store, criteria: dict[str, Any], expected: tuple[int, ...]
) -> None:
    assert ids(small_store, **criteria) == expected


def test_wild_type_and_any_cre_share_the_experiments_out(small_store: Store) -> None:
    wild, cre = ids(small_store, line="wild-type"), ids(small_store, line="any-cre")
    assert cre == (201, 202, 203, 204, 206)
    assert sorted(wild + cre) == sorted(CURRENT_IDS)
    assert ids(small_store, line=["wild-type", "any-cre"]) == CURRENT_IDS
    # A mouse with nothing but a line of the type wild type is one.
    assert 205 in wild


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("Rbp4-Cre_KL100", (201, 202, 206)),
        ("Ai75(RCL-nt)", (203, 206)),
        ("wt", (204, 205)),
        (["Ai75(RCL-nt)", "Slc17a8-IRES2-Cre"], (203, 204, 206)),
    ],
)
def test_line_matches_by_name_among_several(
    small_store: Store, line: str | list[str], expected: tuple[int, ...]
) -> None:
    assert ids(small_store, line=line) == expected


def test_line_or_wild_type(small_store: Store) -> None:
    assert ids(small_store, line=["wild-type", "Rbp4-Cre_KL100"], injected_in=["CP", "VISp"]) == (
        1,
        101,
        102,
        201,
        205,
        206,
    )


@pytest.mark.parametrize(
    ("criteria", "expected"),
    [
        ({"sex": "F"}, (1, 109)),
        ({"product": [31, 35]}, (109, 203)),
        ({"strain": "FVB.CD1(ICR)"}, (206,)),
        ({"injected_hemisphere": "left"}, (103, 202, 303)),
        ({"bilateral": True}, (102,)),
        ({"bilateral": False}, (101, 103, 105)),
        ({"min_injection_volume": 0.206}, (206, 303)),
        ({"max_injection_volume": 0.102}, (1, 101, 102)),
        ({"min_injection_volume": 0.102, "max_injection_volume": 0.103}, (102, 103)),
        ({"box": ((8100, 9000), None, None)}, (101,)),
        ({"box": ((0, 8000), (1500, 1500), (2500, 3000))}, (103, 202)),
        ({"box": ((1000, 1000), None, None)}, (303,)),
        ({"near": (8000, 1500, 3000), "radius_um": 0}, (103,)),
        ({"near": (8000, 1500, 3000), "radius_um": 499.9}, (103,)),
        ({"near": (8000, 1500, 3000), "radius_um": 500}, (103, 202)),
        (
            {"near": (8060, 1420, 8500), "radius_um": 100},
            (1, 102, 105, 106, 107, 108, 109, 110, 201, 203, 204, 205, 206, 101),
        ),
        ({"near": (0, 0, 0), "radius_um": 1733}, (303,)),
        ({"ids": [102, 1]}, (1, 102)),
        ({"ids": [102, 301], "injected_in": "VISp"}, (102, 301)),
        ({"exclude_ids": [102, 1], "injected_in": "VISp"}, (101, 201, 204)),
    ],
)
def test_criteria_of_the_experiment(small_store: Store, criteria: dict[str, Any], expected: tuple[int, ...]) -> None:
    assert ids(small_store, **criteria) == tuple(sorted(expected))


def test_point_whose_square_is_too_small_for_the_database(small_store: Store) -> None:
    assert ids(small_store, near=(1e-200, 0, 5e-324), radius_um=1733) == (303,)
    assert ids(small_store, near=(1000, 1000, 1000), radius_um=1e-300) == (303,)


def test_unknown_values_never_match(small_store: Store) -> None:
    everywhere = {"box": ((0, 13200), (0, 8000), (0, 11400))}
    assert 104 not in ids(small_store, **everywhere)
    assert 104 not in ids(small_store, near=(0, 0, 0), radius_um=1e9)
    assert not {104} & {*ids(small_store, injected_hemisphere="left"), *ids(small_store, injected_hemisphere="right")}
    assert 110 not in ids(small_store, min_injection_volume=0)
    assert 110 not in ids(small_store, max_injection_volume=1e9)


def test_what_is_taken_away_may_be_unknown(small_store: Store) -> None:
    # NOT NULL is NULL: a careless negation would lose those whose hemisphere or volume is not known.
    left = small_store.select(Selection() - Selection(injected_hemisphere="right"))
    assert left == (103, 104, 109, 202, 303)
    assert 110 in small_store.select(Selection() - Selection(min_injection_volume=0))


@pytest.mark.parametrize(
    ("criteria", "expected"),
    [
        ({}, (101, 102, 103)),
        ({"target_hemisphere": "left"}, (101, 102, 103)),
        ({"target_hemisphere": "right"}, (101, 103)),
        # 102 projects to the left only, and was injected on the right.
        ({"target_hemisphere": "ipsilateral"}, (101, 103)),
        ({"target_hemisphere": "contralateral"}, (101, 102, 103)),
        ({"target_hemisphere": "ipsilateral", "target_threshold": 0.3}, (101,)),
        ({"target_threshold": 0.3}, (101, 103)),
        ({"target_threshold": 0.5}, ()),
        ({"target_measure": "normalized_projection_volume", "target_threshold": 3.2}, (101,)),
        ({"target_measure": "projection_density", "target_threshold": 0.04}, (101,)),
        ({"injected_in": "VISp"}, (101, 102)),
        ({"include_withdrawn": True, "target_threshold": 1.5}, (301,)),
    ],
)
def test_projecting_to(small_store: Store, criteria: dict[str, Any], expected: tuple[int, ...]) -> None:
    assert ids(small_store, projecting_to="CP", **criteria) == expected


def test_threshold_must_be_exceeded(small_store: Store) -> None:
    assert ids(small_store, projecting_to="VISpm", target_threshold=0.3) == (201,)
    assert ids(small_store, projecting_to="VISpm", target_threshold=0.29) == (101, 201)


def test_projecting_to_any_of_several_targets(small_store: Store) -> None:
    assert ids(small_store, projecting_to=["CM", "VISpm"]) == (101, 103, 201)


def test_injection_rows_are_not_projections(small_store: Store) -> None:
    # 105 has rows of the root inside the injection only.
    assert 105 not in ids(small_store, projecting_to="root")


def test_target_that_is_never_measured_is_refused(small_store: Store) -> None:
    with pytest.raises(SelectionError, match=r"VISp1 .*\n.* VISp \("):
        ids(small_store, projecting_to="VISp1")


def test_experiments_that_might_belong_are_named(small_store: Store) -> None:
    to_cp = Selection(projecting_to="CP")
    assert unmeasured(small_store, Selection(injected_in="VIS")) == ()
    assert unmeasured(small_store, Selection(injected_in="VIS", projecting_to="CP")) == (1, 104, 202, 204)
    assert unmeasured(small_store, Selection(injected_in="VISp") - to_cp) == (1, 204)
    assert unmeasured(small_store, Selection(injected_in="VISp") & to_cp) == (1, 204)
    assert unmeasured(small_store, Selection(injected_in="VISp") | to_cp) == tuple(
        id_ for id_ in CURRENT_IDS if id_ not in (1, 101, 102, 103, 201, 204)
    )
    assert unmeasured(small_store, Selection(ids=[101, 102]) & to_cp) == ()


# -- explicit ids -----------------------------------------------------------------------------------------------------


def test_explicit_id_comes_withdrawn_or_not(small_store: Store) -> None:
    assert ids(small_store, ids=[301, 101]) == (101, 301)
    assert small_store.select(Selection(ids=[301]) | Selection(injected_in="CM")) == (106, 301)


def test_each_part_decides_on_withdrawn_experiments_for_itself(small_store: Store) -> None:
    """Otherwise experiment 301 would be in both `named - visual` and `named & visual`."""
    named, visual = Selection(ids=[301, 101]), Selection(injected_in="VISp")
    assert small_store.select(named & visual) == (101,)
    assert small_store.select(named - visual) == (301,)
    for wanted in (
        Selection(ids=[301, 101], injected_in="VISp"),
        named & Selection(injected_in="VISp", include_withdrawn=True),
    ):
        assert small_store.select(wanted) == (101, 301)


@pytest.mark.parametrize("criterion", ["ids", "exclude_ids"])
def test_unknown_id_is_named(small_store: Store, criterion: str) -> None:
    with pytest.raises(UnknownExperimentError, match="7, 2147483648"):
        ids(small_store, **{criterion: [101, 2**31, 7]})
    with pytest.raises(UnknownExperimentError, match=str(2**63 - 1)):
        ids(small_store, **{criterion: [2**63 - 1]})


def test_unknown_id_anywhere_in_a_combination_is_named(small_store: Store) -> None:
    with pytest.raises(UnknownExperimentError, match="no experiment 7"):
        small_store.select(Selection() - (Selection(sex="M") & Selection(ids=[7])))


def test_more_ids_than_a_database_takes_parameters(small_store: Store) -> None:
    with pytest.raises(UnknownExperimentError, match="and 99,9"):
        ids(small_store, ids=range(1, 100_001))
    assert ids(small_store, ids=list(ALL_IDS) * 5000) == ALL_IDS


# -- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("acronym", "near"),
    [
        ("VISP", "VISp"),
        ("visc", "VISC"),
        ("Cm", "CM"),
        ("VISpn", "VISp"),
        ("CUL4 5", "CUL4, 5"),
        ("Caudoputamen", "CP"),
    ],
)
@pytest.mark.parametrize("criterion", ["injected_in", "projecting_to"])
def test_unknown_acronym_is_answered_with_near_names(
    small_store: Store, criterion: str, acronym: str, near: str
) -> None:
    with pytest.raises(UnknownStructureError, match=acronym) as caught:
        ids(small_store, **{criterion: acronym})
    assert caught.value.hint is not None
    assert near in caught.value.hint


@pytest.mark.parametrize(
    ("line", "near"),
    [
        ("rbp4-cre_kl100", "Rbp4-Cre_KL100"),
        ("Rbp4", "Rbp4-Cre_KL100"),
        ("wildish-type", "wild-type"),
        ("anycree", "any-cre"),
    ],
)
def test_unknown_line_is_answered_with_near_names(small_store: Store, line: str, near: str) -> None:
    with pytest.raises(SelectionError, match=line) as caught:
        ids(small_store, line=line)
    assert caught.value.hint is not None
    assert near in caught.value.hint


@pytest.mark.parametrize(
    ("criteria", "message"),
    [
        ({"sex": "x"}, "sex must be one of M, F, got 'x'"),
        ({"line": "0"}, r"no transgenic line '0'\nDid you mean wild-type"),
        ({"strain": "C57BL"}, r"strain 'C57BL'\n.*'C57BL/6J'"),
        ({"product": [5, 999]}, r"product 999\n.*5, 31, 35"),
    ],
)
def test_value_that_no_experiment_has_is_refused(small_store: Store, criteria: dict[str, Any], message: str) -> None:
    with pytest.raises(SelectionError, match=message):
        ids(small_store, **criteria)


HOSTILE = (
    "'; DROP TABLE experiment; --",
    '"',
    "%",
    "%s",
    "%(id)s",
    ":name",
    "$1",
    "?",
    "VISp' OR '1'='1",
    "\\",
    "*",
    "_____",
    "é ü 脳",
)


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("criterion", ["injected_in", "projecting_to", "line", "sex", "strain"])
def test_hostile_text_is_a_value_and_nothing_else(small_store: Store, criterion: str, text: str) -> None:
    with pytest.raises((SelectionError, UnknownStructureError)):
        ids(small_store, **{criterion: text})
    assert ids(small_store) == CURRENT_IDS


def test_values_are_bound_and_never_in_the_text(small_store: Store) -> None:
    selection = Selection(
        injected_in="CUL4, 5",
        line="Ai75(RCL-nt)",
        strain="C57BL/6J",
        sex="F",
        product=31,
        ids=[206],
        near=(1234, 567, 891),
        radius_um=4321,
        projecting_to="CP",
        target_threshold=0.987,
    )
    statements: list[str] = []

    def listen(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    event.listen(small_store.database.engine, "before_cursor_execute", listen)
    try:
        small_store.select(selection)
    finally:
        event.remove(small_store.database.engine, "before_cursor_execute", listen)
    text = "\n".join(statements)
    assert "injection_ap" in text
    for value in ("CUL4", "Ai75", "C57BL", "'F'", "31", "206", "1234", "567", "891", "4321", "0.987", "1091", "672"):
        assert value not in text, value


# -- large selections -------------------------------------------------------------------------------------------------


def test_largest_selection_that_is_allowed_runs(small_store: Store) -> None:
    full: dict[str, Any] = {
        "injected_in": "VIS",
        "injection": "any",
        "line": ["wild-type", "wt"],
        "projecting_to": "CP",
    }
    parts = [Selection(**full, min_injection_volume=n / 1e6) for n in range(MAX_PARTS)]
    assert small_store.select(functools.reduce(operator.and_, parts)) == (101, 102, 103)
    deep = Selection(ids=[1])
    for n in range(MAX_DEPTH - 1):
        deep = Selection(**full, min_injection_volume=n / 1e6) - deep
    assert set(small_store.select(deep)) <= {101, 102, 103}


# -- nothing matches --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("selection", "hint"),
    [
        (Selection(injected_in="TMv", injected_hemisphere="left"), "none matches all"),
        (Selection(sex="F", min_injection_volume=99), r"min_injection_volume=99.0 alone"),
        (Selection(injected_in="CP", line="Rbp4-Cre_KL100", sex="M", strain="C57BL/6J"), "1 withdrawn"),
        (Selection(injected_in="VISl", projecting_to="CP"), "sync unionizes"),
        (Selection(ids=[101], exclude_ids=[101]), "none matches all"),
        (Selection(injected_in="CM") & Selection(injected_in="cm"), "1 match"),
        (Selection(sex="F") - Selection(), "2 match"),
        (
            Selection(ids=[301]) & Selection(line="wild-type"),
            "1 withdrawn experiment would match: include_withdrawn=True in every part",
        ),
        (Selection(injected_in="VISl") & Selection(projecting_to="CP"), "sync unionizes"),
    ],
)
def test_empty_selection_says_why(small_store: Store, selection: Selection, hint: str) -> None:
    assert small_store.select(selection) == ()
    with pytest.raises(EmptySelectionError) as caught:
        small_store.catalog.matrix(selection, targets=["CP"])
    assert caught.value.hint is not None
    assert hint in caught.value.hint
