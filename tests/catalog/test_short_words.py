"""Short descriptions of selections, and of the criteria that differ between two."""

from __future__ import annotations

from typing import Any

import pytest

from bsv_store import Selection
from bsv_store.catalog.selection.criteria import CRITERIA
from bsv_store.catalog.selection.short_words import contrasting_words, short_words

VISP = Selection(injected_in="VISp", line="wild-type")
RBP4 = Selection(line="Rbp4-Cre_KL100")

WORDS: dict[str, tuple[dict[str, Any], str]] = {
    "injected_in": ({"injected_in": ["VISp", "MOp"]}, "MOp, VISp"),
    "injection": ({"injected_in": "VISp", "injection": "any"}, "VISp (any injection)"),
    "line": ({"line": ["wild-type", "any-cre"]}, "any Cre, wild-type"),
    "product": ({"product": [5, 35]}, "product 5, 35"),
    "sex": ({"sex": "F"}, "female"),
    "strain": ({"strain": "C57BL/6J"}, "C57BL/6J"),
    "injected_hemisphere": ({"injected_hemisphere": "left"}, "left hemisphere"),
    "bilateral": ({"bilateral": False}, "unilateral"),
    "min_injection_volume": ({"min_injection_volume": 0.2}, "≥ 0.2 mm³"),
    "max_injection_volume": ({"max_injection_volume": 0.2}, "≤ 0.2 mm³"),
    "min_injection_overlap": ({"injected_in": "VISp", "min_injection_overlap": 0.9}, "VISp, overlap ≥ 0.9"),
    "max_injection_outside_primary": ({"max_injection_outside_primary": 0.1}, "outside primary ≤ 0.1"),
    "box": ({"box": [[5000, 6000], None, [0, 5700]]}, "AP 5,000 to 6,000 um, ML 0 to 5,700 um"),
    "near": ({"near": [5000, 2000, 3000], "radius_um": 500}, "within 500 um of AP 5,000, DV 2,000, ML 3,000"),
    "radius_um": ({"near": [5000, 2000, 3000], "radius_um": 250}, "within 250 um of AP 5,000, DV 2,000, ML 3,000"),
    "projecting_to": ({"projecting_to": ["CP", "LP"]}, "projecting to CP, LP"),
    "target_measure": ({"projecting_to": "CP", "target_measure": "projection_density"}, "projecting to CP"),
    "target_threshold": ({"projecting_to": "CP", "target_threshold": 0.1}, "projecting to CP"),
    "target_hemisphere": ({"projecting_to": "CP", "target_hemisphere": "left"}, "projecting to CP"),
    "min_laterality_index": ({"min_laterality_index": 0.5}, "laterality ≥ 0.5"),
    "max_laterality_index": ({"max_laterality_index": 0.5}, "laterality ≤ 0.5"),
    "with_volume": ({"with_volume": "projection_density"}, "with projection density at 100 um"),
    "with_volume_spacing_um": (
        {"with_volume": "data_mask", "with_volume_spacing_um": 25},
        "with data mask at 25 um",
    ),
    "with_unionizes": ({"with_unionizes": False}, "without table"),
    "ids": ({"ids": [3, 5]}, "2 experiments"),
    "exclude_ids": ({"exclude_ids": [3]}, "without 1 experiment"),
    "include_withdrawn": ({"include_withdrawn": True}, "all experiments"),
    "include_excluded": ({"include_excluded": True}, "all experiments"),
}


@pytest.mark.parametrize(("criteria", "words"), WORDS.values(), ids=WORDS)
def test_every_criterion_has_a_short_phrase(criteria: dict[str, Any], words: str) -> None:
    assert WORDS.keys() == CRITERIA.keys()
    assert short_words(Selection(**criteria)) == words


def test_flags_that_hold_have_short_phrases_too() -> None:
    assert short_words(Selection(bilateral=True, with_unionizes=True)) == "bilateral, with table"


def test_combinations_have_parentheses_where_they_are_needed() -> None:
    assert short_words(VISP | RBP4) == "(VISp, wild-type) or Rbp4-Cre_KL100"
    assert short_words(Selection(injected_in="VIS") - Selection(injected_in="VISp")) == "VIS without VISp"
    nested = (VISP | RBP4) - Selection(ids=[3])
    assert short_words(nested) == "((VISp, wild-type) or Rbp4-Cre_KL100) without experiment 3"


def test_many_criteria_are_counted() -> None:
    many = Selection(injected_in="VISp", line="any-cre", sex="F", product=5, bilateral=False, with_unionizes=True)
    assert short_words(many) == "VISp, any Cre, product 5, female, 2 more criteria"


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        (VISP, Selection(injected_in="VISl", line="wild-type"), ("VISp", "VISl")),
        (VISP, Selection(injected_in="VISp", line="any-cre"), ("wild-type", "any Cre")),
        (VISP, Selection(injected_in="VISp"), ("VISp, wild-type", "VISp")),
        (VISP, Selection(ids=[4, 5]), ("VISp, wild-type", "2 experiments")),
        (VISP, RBP4 | Selection(injected_in="MOp"), ("VISp, wild-type", "MOp or Rbp4-Cre_KL100")),
        (Selection(ids=[1, 2]), Selection(ids=[3, 4, 5]), None),
        (Selection(injected_in="VISp", exclude_ids=[3]), Selection(injected_in="VISp", exclude_ids=[4, 5]), None),
        (VISP, VISP, None),
        (
            Selection(projecting_to="CP", target_threshold=0.1),
            Selection(projecting_to="CP", target_threshold=0.2),
            None,
        ),
    ],
)
def test_two_selections_get_different_words(a: Selection, b: Selection, words: tuple[str, str] | None) -> None:
    assert contrasting_words(a, b) == words


def test_long_descriptions_are_shortened() -> None:
    lines = [f"Line{number}-IRES2-Cre-neo" for number in range(4)]
    found = contrasting_words(Selection(line=lines), Selection(line="wild-type"))
    assert found is not None
    assert (found[0][:6], found[0][-1], len(found[0])) == ("Line0-", "…", 64)
    # Both are cut to the same words, which cannot be labels.
    assert contrasting_words(Selection(line=lines), Selection(line=lines, sex="F") | Selection(ids=[3])) is not None
    other = [*lines[:3], "Line3-IRES2-Cre-other"]
    both = (Selection(line=each) | Selection(line="wild-type") for each in (lines, other))
    assert contrasting_words(*both) is None
