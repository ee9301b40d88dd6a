from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from bsv_store import Selection, by_coordinate, by_field, by_region, by_selection, crossed, no_grouping
from bsv_store.averaging.grouping.grouping import (
    CoordinateGrouping,
    Grouping,
    as_grouping,
    axes_of,
    coordinates_of,
    factors_of,
    grouping_from_json,
    selections_of,
    uses_regions,
)
from bsv_store.errors import RecipeError

EVERY_KIND = [
    no_grouping(),
    by_coordinate("AP"),
    by_coordinate("ML", bins=8, method="quantile"),
    by_coordinate("DV", edges=[0, 2500.5, 8000]),
    by_region(["VISp", ["VISl", "VISam"]]),
    by_region({"primary": "VISp", "CUL4, 5": ["CUL4, 5", "ähnlich"]}),
    by_field("line"),
    by_selection({"visual": Selection(injected_in="VIS", line="wild-type"), "two & more": [1, 2]}),
    crossed(by_coordinate("AP", bins=3), by_field("injected_hemisphere")),
    crossed(by_selection({"a": 1}), by_field("sex")),
]


@pytest.mark.parametrize("grouping", EVERY_KIND, ids=lambda grouping: grouping.to_json())
def test_groupings_round_trip_through_json(grouping: Grouping) -> None:
    text = grouping.to_json()
    assert grouping_from_json(text) == grouping
    assert grouping_from_json(json.loads(text)) == grouping
    assert grouping_from_json(grouping.to_dict()).to_json() == text
    assert hash(grouping_from_json(text)) == hash(grouping)


def test_json_is_canonical() -> None:
    assert by_coordinate("AP").to_json() == '{"axis":"AP","bins":5,"by":"coordinate","method":"equal_width"}'
    assert by_region({"b": ["VISp"], "a": "VISl"}).to_json() == (
        '{"by":"region","groups":[{"label":"b","regions":["VISp"]},{"label":"a","regions":["VISl"]}]}'
    )
    assert by_coordinate("AP", edges=[1, 2]).to_json() == by_coordinate("AP", edges=(1.0, 2.0)).to_json()


@pytest.mark.parametrize(
    "text",
    [
        "no json",
        "[]",
        '"none"',
        "{}",
        '{"by":"magic"}',
        '{"by":"none","bins":5}',
        '{"by":"coordinate"}',
        '{"by":"coordinate","axis":"AP","bins":"five"}',
        '{"by":"coordinate","axis":"AP","edges":["a","b"]}',
        '{"by":"coordinate","axis":"AP","edges":7}',
        '{"by":"field"}',
        '{"by":"field","field":3}',
        '{"by":"region","groups":["VISp"]}',
        '{"by":"region","groups":[{"label":"a","regions":["VISp"]},{"label":"a","regions":["VISl"]}]}',
        '{"by":"region","groups":[{"label":"a","regions":[3]}]}',
        '{"by":"region"}',
        '{"by":"selection"}',
        '{"by":"selection","groups":[]}',
        '{"by":"selection","groups":[{"label":"a"}]}',
        '{"by":"selection","groups":[{"label":"","selection":{"version":1}}]}',
        '{"by":"selection","groups":[{"label":"a","selection":{"version":1}},{"label":"a","selection":{"version":1}}]}',
        '{"by":"crossed","first":{"by":"none"}}',
        '{"by":"crossed","first":{"by":"none"},"second":4}',
    ],
)
def test_invalid_groupings_are_refused(text: str) -> None:
    with pytest.raises(RecipeError):
        grouping_from_json(text)


@pytest.mark.parametrize("axis", ["XY", "", "A"])
def test_unknown_axis_is_refused_with_the_valid_ones(axis: str) -> None:
    with pytest.raises(RecipeError, match="must be one of AP, DV, ML, got"):
        by_coordinate(axis)


@pytest.mark.parametrize("bins", [0, -3, 2.5, "5", True, float("nan")])
def test_impossible_number_of_bins_is_refused(bins: Any) -> None:
    with pytest.raises(RecipeError, match="positive integer"):
        by_coordinate("AP", bins=bins)


def test_integers_of_numpy_are_plain_numbers() -> None:
    grouping = by_coordinate("AP", bins=np.int64(3))  # type: ignore[arg-type]
    assert grouping == by_coordinate("AP", bins=3)
    assert type(grouping.bins) is int


@pytest.mark.parametrize(
    "edges", [[], [1.0], [2.0, 1.0], [1.0, 1.0], [0.0, float("nan")], [0.0, float("inf")], ["a", "b"]]
)
def test_impossible_edges_are_refused(edges: Any) -> None:
    with pytest.raises(RecipeError, match="edges"):
        by_coordinate("AP", edges=edges)


@pytest.mark.parametrize(
    "options",
    [
        {"bins": 3, "edges": [1.0, 2.0]},
        {"method": "quantile", "edges": [1.0, 2.0]},
        {"method": "edges"},
        {"method": "sturges"},
    ],
)
def test_contradictory_binning_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(RecipeError):
        by_coordinate("AP", **options)


def test_method_may_be_written_with_a_hyphen() -> None:
    assert by_coordinate("AP", method="equal-width") == by_coordinate("AP", bins=5, method="equal_width")


@pytest.mark.parametrize(
    "regions",
    [
        [],
        {},
        [[]],
        [""],
        ["VISp", "VISp"],
        [["VISp", "VISp"]],
        ["VISp", ["VISl", "VISp"]],
        {"a": "VISp", "b": ["VISp"]},
        [["a", "b"], "a+b"],
        [3],
    ],
)
def test_empty_or_repeated_regions_are_refused(regions: Any) -> None:
    with pytest.raises(RecipeError):
        by_region(regions)


def test_acronyms_that_differ_by_case_are_different_regions() -> None:
    assert [group.label for group in by_region(["CM", "cm"]).groups] == ["CM", "cm"]


@pytest.mark.parametrize("axis", ["ap", "Ap", "AP ", "anterior-posterior"])
def test_an_axis_may_be_spelled_in_several_ways(axis: str) -> None:
    assert by_coordinate(axis) == by_coordinate("AP")


def test_single_region_is_not_taken_for_letters() -> None:
    assert by_region("VISp") == by_region(["VISp"])


def test_unknown_field_is_refused_with_the_valid_ones() -> None:
    with pytest.raises(
        RecipeError, match="field must be one of primary_structure, line, sex, product, injected_hemisphere, strain"
    ):
        by_field("age")
    assert by_field("primary-structure") == by_field("primary_structure")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (no_grouping(), by_field("sex")),
        (by_field("sex"), by_field("sex")),
        (by_coordinate("AP"), by_coordinate("AP", bins=2)),
        (by_region("VISp"), by_region("VISl")),
        (crossed(by_field("sex"), by_field("line")), by_coordinate("AP")),
        (by_field("sex"), "line"),
    ],
)
def test_factors_that_cannot_be_crossed_are_refused(first: Any, second: Any) -> None:
    with pytest.raises(RecipeError):
        crossed(first, second)


SEX, REGIONS, AP = by_field("sex"), by_region("VISp"), by_coordinate("AP", bins=2)
CHOSEN = by_selection({"a": [1], "b": [2]})


@pytest.mark.parametrize(
    ("value", "grouping"),
    [
        (None, no_grouping()),
        (AP, AP),
        ("AP", by_coordinate("AP")),
        ("line", by_field("line")),
        (["AP", "line"], crossed(by_coordinate("AP"), by_field("line"))),
        ((SEX, "ML"), crossed(SEX, by_coordinate("ML"))),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_grouping_may_be_given_by_names(value: Any, grouping: Grouping) -> None:
    assert as_grouping(value) == grouping


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("age", "group_by must be one of AP, DV, ML, primary_structure"),
        (3, "group_by must be"),
        (b"AP", "group_by must be a single value or a list"),
        (["AP"], "group_by must be a grouping or a name, got"),
        (["AP", "line", "sex"], "group_by must be a grouping or a name, got"),
        (["AP", None], "NoGrouping cannot be crossed"),
    ],
)
def test_what_is_not_a_grouping_is_refused(value: Any, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        as_grouping(value)


@pytest.mark.parametrize(
    ("grouping", "factors", "axes", "labels", "has_regions"),
    [
        (no_grouping(), (no_grouping(),), (), [], False),
        (AP, (AP,), ("AP",), [], False),
        (crossed(REGIONS, AP), (REGIONS, AP), ("AP",), [], True),
        (crossed(by_coordinate("ML"), AP), (by_coordinate("ML"), AP), ("ML", "AP"), [], False),
        (crossed(SEX, CHOSEN), (SEX, CHOSEN), (), ["a", "b"], False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_factors_of_a_grouping(
    grouping: Grouping, factors: tuple[Grouping, ...], axes: tuple[str, ...], labels: list[str], has_regions: bool
) -> None:
    assert factors_of(grouping) == factors
    assert axes_of(grouping) == axes
    assert coordinates_of(grouping) == tuple(each for each in factors if each in (AP, by_coordinate("ML")))
    assert [each.label for each in selections_of(grouping)] == labels
    assert uses_regions(grouping) is has_regions


def test_the_number_of_bins_is_limited() -> None:
    assert by_coordinate("AP", bins=100_000).bins == 100_000
    with pytest.raises(RecipeError, match="bins must be at most 100,000, got 100001"):
        by_coordinate("AP", bins=100_001)


@pytest.mark.parametrize("label", ["", "  ", "a\nb", "x" * 201, 3])
def test_a_label_of_a_selection_is_a_line_of_text(label: Any) -> None:
    with pytest.raises(RecipeError, match="the label of a selection must be a line of at most 200 characters"):
        by_selection({"a": [1], label: [2]})
    assert by_selection({"x" * 200: [1]}).groups[0].label == "x" * 200


@pytest.mark.parametrize("selections", [{}, [], None, "a"])
def test_no_selections_to_group_by_are_refused(selections: Any) -> None:
    with pytest.raises(RecipeError, match="selections must be a mapping of labels to selections, got"):
        by_selection(selections)


def test_json_has_the_letters_of_labels_and_no_values_that_json_lacks() -> None:
    assert '"label":"ähnlich"' in by_region({"ähnlich": "VISp"}).to_json()
    with pytest.raises(ValueError, match="not JSON compliant"):
        CoordinateGrouping("AP", "edges", 1, (0.0, float("nan"))).to_json()


@pytest.mark.parametrize(
    ("regions", "message"),
    [
        (b"VISp", "regions must be a single value or a list"),
        (["VISp", ["VISl", "VISp"]], "the region 'VISp' is listed more than once"),
        ([["a", "b"], "a+b"], "the group label 'a[+]b' is listed more than once"),
    ],
)
def test_what_is_wrong_with_regions_is_said(regions: Any, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        by_region(regions)


_REGION = {"label": "a", "regions": ["VISp"]}
_SELECTION = {"label": "a", "selection": {"version": 1}}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            {"by": "region", "groups": [_REGION], "color": 1},
            "unknown, missing or wrongly typed parts: 'groups', 'color'",
        ),
        ({"by": "region", "groups": [{**_REGION, "color": 1}]}, "unknown, missing or wrongly typed parts"),
        ({"by": "region", "groups": [_REGION, _REGION]}, "the group label 'a' is listed more than once"),
        ({"by": "selection", "groups": [_SELECTION], "color": 1}, "unknown, missing or wrongly typed parts"),
        ({"by": "selection", "groups": [{**_SELECTION, "color": 1}]}, "unknown, missing or wrongly typed parts"),
        ({"by": "selection", "groups": [_SELECTION, _SELECTION]}, "the group label 'a' is listed more than once"),
        (
            {"by": "crossed", "first": SEX.to_dict(), "second": AP.to_dict(), "third": AP.to_dict()},
            "unknown, missing or wrongly typed parts",
        ),
    ],
)
def test_parts_that_a_grouping_does_not_have_are_refused(value: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        grouping_from_json(value)


@pytest.mark.parametrize(
    ("grouping", "name"),
    [(AP, "AP"), (SEX, "sex"), (REGIONS, "region"), (CHOSEN, "selection")],
    ids=["axis", "field", "region", "selection"],
)
def test_factors_are_crossed_with_others_only(grouping: Grouping, name: str) -> None:
    with pytest.raises(RecipeError, match=f"^{name} cannot be crossed with itself"):
        crossed(grouping, grouping)
    for other in (by_coordinate("ML"), by_field("line"), REGIONS, CHOSEN):
        if other != grouping:
            assert crossed(grouping, other).second == other
