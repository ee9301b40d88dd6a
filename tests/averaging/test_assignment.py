from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bsv_store import Selection, by_coordinate, by_field, by_region, by_selection, crossed, no_grouping
from bsv_store.averaging.grouping.assignment import Assignment, CoordinateRange, Group, LeftOut, assign
from bsv_store.averaging.grouping.bins import make_bins
from bsv_store.averaging.grouping.facts import ExperimentFacts
from bsv_store.averaging.grouping.grouping import CoordinateGrouping, Grouping
from bsv_store.errors import EmptySelectionError, InputError, RecipeError, UnknownStructureError

ANCESTRY = {
    "root": ("root",),
    "grey": ("grey", "root"),
    "VIS": ("VIS", "grey", "root"),
    "VISp": ("VISp", "VIS", "grey", "root"),
    "VISp1": ("VISp1", "VISp", "VIS", "grey", "root"),
    "VISpm": ("VISpm", "VIS", "grey", "root"),
    "VISl": ("VISl", "VIS", "grey", "root"),
    "VISC": ("VISC", "grey", "root"),
}


def subject(number: int, ap: float | None = None, **fields: Any) -> ExperimentFacts:
    structure = fields.pop("structure", "VISp")
    facts: dict[Any, Any] = {"line": None, "primary_structure": structure, **fields}
    return ExperimentFacts(number, structure, 385, injection_ap=ap, fields=facts)


def along_ap(*coordinates: float | None) -> list[ExperimentFacts]:
    return [subject(100 + number, ap) for number, ap in enumerate(coordinates)]


def members(assignment: Assignment) -> list[tuple[int, ...]]:
    return [group.experiment_ids for group in assignment.groups]


# -- coordinate bins ----------------------------------------------------------------------------------------------


def bsv_groups(values: list[float], bins: int) -> list[list[int]]:
    """Brain Street View's rule, one value after the other: 0 is unknown."""
    known = [value for value in values if np.isfinite(value) and value != 0]
    if bins == 1 or not known or min(known) == max(known):
        return [list(range(len(values)))]
    edges = np.linspace(min(known), max(known), bins + 1)
    groups: list[list[int]] = [[] for _ in range(bins)]
    for position, value in enumerate(values):
        if not np.isfinite(value) or value == 0:
            continue
        number = next((k for k in range(bins) if edges[k] <= value < edges[k + 1]), bins - 1)
        groups[number].append(position)
    return [group for group in groups if group]


@given(
    st.lists(st.one_of(st.just(0.0), st.just(float("nan")), st.integers(20, 60).map(lambda n: n * 10.0)), min_size=1),
    st.integers(1, 9),
)
def test_equal_width_bins_are_those_of_brain_street_view(values: list[float], bins: int) -> None:
    assignment = assign(by_coordinate("AP", bins=bins), along_ap(*values))
    expected = [tuple(100 + position for position in group) for group in bsv_groups(values, bins)]
    assert members(assignment) == expected
    assert [group.number for group in assignment.groups] == list(range(len(expected)))


@given(
    st.lists(st.one_of(st.none(), st.integers(1, 40).map(float)), min_size=1),
    st.sampled_from(["equal_width", "quantile"]),
    st.integers(1, 9),
)
def test_bins_contain_each_experiment_once_and_in_order(values: list[float | None], method: str, bins: int) -> None:
    subjects = along_ap(*values)
    assignment = assign(by_coordinate("AP", bins=bins, method=method), subjects)
    placed = [member for group in assignment.groups for member in group.experiment_ids]
    left_out = [entry.experiment_id for entry in assignment.left_out]
    assert sorted(placed + left_out) == [item.experiment_id for item in subjects]
    assert 1 <= len(assignment.groups) <= bins
    assert len({group.label for group in assignment.groups}) == len(assignment.groups)
    ap = {item.experiment_id: item.injection_ap for item in subjects}
    for group in assignment.groups:
        assert group.n > 0
        assert list(group.experiment_ids) == sorted(group.experiment_ids)
        if group.lower_um is not None and group.upper_um is not None:
            assert all(group.lower_um <= value <= group.upper_um for i in group.experiment_ids if (value := ap[i]))
            assert group.center_um == np.mean([ap[member] for member in group.experiment_ids])


def test_bins_carry_edges_centers_and_labels() -> None:
    assignment = assign(by_coordinate("AP", bins=4), along_ap(8000, 8100, 8900, 9000, 9600))
    assert assignment.edges == (8000, 8400, 8800, 9200, 9600)
    assert [(group.lower_um, group.upper_um, group.center_um) for group in assignment.groups] == [
        (8000, 8400, 8050),
        (8800, 9200, 8950),
        (9200, 9600, 9600),
    ]
    assert [group.label for group in assignment.groups] == [
        "AP 8,000-8,400 um",
        "AP 8,800-9,200 um",
        "AP 9,200-9,600 um",
    ]
    assert {group.axis for group in assignment.groups} == {"AP"}


def test_narrow_bins_have_labels_of_their_own() -> None:
    assignment = assign(by_coordinate("AP", bins=2), along_ap(8000, 8000.6, 8001))
    assert [group.label for group in assignment.groups] == ["AP 8,000.0-8,000.5 um", "AP 8,000.5-8,001.0 um"]
    tiny = assign(by_coordinate("AP", edges=[1.0, 1.0 + 1e-9, 1.0 + 2e-9]), along_ap(1.0))
    assert [group.label for group in tiny.groups] == ["AP 1.0-1.000000001 um", "AP 1.000000001-1.000000002 um"]
    small = assign(by_coordinate("AP", edges=[1.0, 1.0000001]), along_ap(1.0))
    assert [group.label for group in small.groups] == ["AP 1.0-1.0000001 um"]


def test_bins_by_edges_have_edges() -> None:
    with pytest.raises(ValueError, match="has edges"):
        make_bins(CoordinateGrouping("AP", "edges", 2), [1.0, 2.0])


def test_experiments_without_coordinate_are_left_out_with_the_reason() -> None:
    assignment = assign(by_coordinate("AP", bins=2), along_ap(None, 8000, 0, 9000, float("nan")))
    assert members(assignment) == [(101,), (103,)]
    assert assignment.left_out == tuple(
        LeftOut(number, "the AP injection coordinate is not known") for number in (100, 102, 104)
    )


@pytest.mark.parametrize(
    ("coordinates", "bins", "center"),
    [([None, 8000, 9000], 1, 8500.0), ([None, None, 0], 5, None), ([8000, None, 8000], 5, 8000.0), ([8000], 5, 8000.0)],
)
def test_nothing_to_divide_gives_one_group_of_all(
    coordinates: list[float | None], bins: int, center: float | None
) -> None:
    for method in ("equal_width", "quantile"):
        assignment = assign(by_coordinate("AP", bins=bins, method=method), along_ap(*coordinates))
        (group,) = assignment.groups
        assert group.n == len(coordinates)
        assert group.label == "all"
        assert (group.axis, group.center_um, group.lower_um) == ("AP", center, None)
        assert assignment.left_out == ()
        assert assignment.edges is None


def test_quantile_bins_hold_about_equally_many() -> None:
    assignment = assign(by_coordinate("AP", bins=3, method="quantile"), along_ap(1, 2, 3, 40, 50, 60, 700, 800, 900))
    assert [group.n for group in assignment.groups] == [3, 3, 3]
    assert assignment.edges == tuple(np.quantile([1, 2, 3, 40, 50, 60, 700, 800, 900], [0, 1 / 3, 2 / 3, 1]))


def test_quantile_bins_never_part_equal_coordinates() -> None:
    assignment = assign(by_coordinate("AP", bins=4, method="quantile"), along_ap(5, 5, 5, 5, 5, 5, 9, 7))
    assert members(assignment) == [(100, 101, 102, 103, 104, 105), (106, 107)]
    assert assignment.edges == (5, 5.5, 9)


def test_explicit_bins_are_kept_and_what_lies_beyond_is_left_out() -> None:
    grouping = by_coordinate("AP", edges=[8000, 8500, 9000, 9500])
    assignment = assign(grouping, along_ap(7990, 8000, 8500, 9500, 9501, None))
    assert members(assignment) == [(101,), (102,), (103,)]
    assert [entry.reason for entry in assignment.left_out] == [
        "AP 7,990 um lies outside the bin edges",
        "AP 9,501 um lies outside the bin edges",
        "the AP injection coordinate is not known",
    ]
    few = assign(grouping, along_ap(9000))
    assert members(few) == [(), (), (100,)]
    assert few.groups[0].center_um is None
    assert few.edges == (8000, 8500, 9000, 9500)


@pytest.mark.parametrize("axis", ["AP", "DV", "ML"])
def test_each_axis_uses_its_own_coordinate(axis: str) -> None:
    subjects = [ExperimentFacts(1, "VISp", 385, 10, 200, 3000), ExperimentFacts(2, "VISp", 385, 20, 400, 6000)]
    assignment = assign(by_coordinate(axis, bins=2), subjects)
    assert assignment.edges == {"AP": (10, 15, 20), "DV": (200, 300, 400), "ML": (3000, 4500, 6000)}[axis]


def test_wild_type_injections_in_visp_along_ap_on_the_real_list(data: Path) -> None:
    structures = json.loads((data / "allensdk_cache" / "structures.json").read_text())
    in_visp = {s["id"] for s in structures if 385 in s["structure_id_path"]}
    rows = json.loads((data / "experiments_2020-07_2992rows.json").read_text())
    subjects = [
        ExperimentFacts(row["data_set_id"], row["structure_abbrev"], row["structure_id"], row["injection_x"])
        for row in rows
        if row["structure_id"] in in_visp
        and (row["transgenic_line"] is None or row["transgenic_line"]["transgenic_line_type_name"] == "wild type")
    ]
    assert len(subjects) == 33
    groups = assign(by_coordinate("AP", bins=5), subjects).groups
    assert [group.n for group in groups] == [2, 6, 12, 8, 5]
    centers = [group.center_um for group in groups if group.center_um is not None]
    assert centers == pytest.approx([8075.0, 8456.7, 8850.8, 9382.5, 9750.0], abs=0.05)


# -- regions ------------------------------------------------------------------------------------------------------


def in_structures(*acronyms: str) -> list[ExperimentFacts]:
    return [subject(number, structure=acronym) for number, acronym in enumerate(acronyms)]


def test_region_matches_itself_and_its_descendants_not_its_prefix() -> None:
    assignment = assign(by_region(["VISp"]), in_structures("VISp", "VISp1", "VISpm", "VIS"), ANCESTRY)
    assert members(assignment) == [(0, 1)]
    assert assignment.left_out == (
        LeftOut(2, "VISpm is neither one of the listed regions nor inside one"),
        LeftOut(3, "VIS is neither one of the listed regions nor inside one"),
    )


@pytest.mark.parametrize("regions", [["VIS", "VISp"], ["VISp", "VIS"]])
def test_nearest_listed_ancestor_wins_whatever_the_order(regions: list[str]) -> None:
    assignment = assign(by_region(regions), in_structures("VISp1", "VISp", "VISl", "VIS", "VISC"), ANCESTRY)
    assert {group.label: group.experiment_ids for group in assignment.groups} == {"VISp": (0, 1), "VIS": (2, 3)}
    assert [entry.experiment_id for entry in assignment.left_out] == [4]


def test_several_regions_make_one_group_and_empty_groups_stay() -> None:
    grouping = by_region({"primary": "VISp", "none here": "VISC", "others": ["VISl", "VISpm"]})
    assignment = assign(grouping, in_structures("VISl", "VISp", "VISpm"), ANCESTRY)
    assert [(g.number, g.label, g.experiment_ids) for g in assignment.groups] == [
        (0, "primary", (1,)),
        (1, "none here", ()),
        (2, "others", (0, 2)),
    ]
    assert assignment.groups[0].axis is None
    assert assignment.group_of() == {1: 0, 0: 2, 2: 2}


def test_regions_without_any_experiment_are_still_groups() -> None:
    assignment = assign(by_region(["VISC"]), in_structures("VISl"), ANCESTRY)
    assert members(assignment) == [()]
    assert len(assignment.left_out) == 1


def test_unknown_region_is_refused_with_near_names() -> None:
    with pytest.raises(UnknownStructureError, match=r"'VISx'.*\n.*VISl"):
        assign(by_region(["VISx"]), in_structures("VISp"), ANCESTRY)


def test_unknown_primary_structure_is_refused_with_the_experiment() -> None:
    with pytest.raises(UnknownStructureError, match="primary structure of experiment 0"):
        assign(by_region(["VISp"]), in_structures("mystery"), ANCESTRY)


# -- fields and factors -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "values", "labels", "left_out"),
    [
        ("line", ["Rbp4-Cre_KL100", None, "A930038C07Rik-Tg1-Cre"],
         ["wild-type", "A930038C07Rik-Tg1-Cre", "Rbp4-Cre_KL100"], 0),
        ("sex", ["M", "F", None], ["F", "M"], 1),
        ("product", [36, 5, None], ["product 5", "product 36"], 1),
        ("product", [36, 0, None], ["product 0", "product 36"], 1),
        ("injected_hemisphere", ["right", "left", None], ["left", "right"], 1),
        ("strain", ["C57BL/6J", "", "BALB/c"], ["BALB/c", "C57BL/6J"], 1),
    ],
)  # fmt: skip
def test_fields_make_one_group_a_value(field: str, values: list[Any], labels: list[str], left_out: int) -> None:
    subjects = [subject(number, **{field: value}) for number, value in enumerate(values)]
    assignment = assign(by_field(field), subjects)
    assert [group.label for group in assignment.groups] == labels
    assert len(assignment.left_out) == left_out
    if left_out:
        assert assignment.left_out[0].reason == f"the {field.replace('_', ' ')} is not known"


def test_primary_structures_make_one_group_each() -> None:
    assignment = assign(by_field("primary_structure"), in_structures("VISp", "VISl", "VISp"))
    assert [(group.label, group.experiment_ids) for group in assignment.groups] == [("VISl", (1,)), ("VISp", (0, 2))]


def test_crossing_makes_groups_of_the_combinations_that_occur() -> None:
    subjects = [
        subject(1, 8000, sex="M"),
        subject(2, 9000, sex="F"),
        subject(3, 8100, sex="F"),
        subject(4, 8000, sex=None),
        subject(5, None, sex=None),
    ]
    assignment = assign(crossed(by_coordinate("AP", bins=2), by_field("sex")), subjects)
    assert [(group.number, group.label, group.experiment_ids) for group in assignment.groups] == [
        (0, "AP 8,000-8,500 um & F", (3,)),
        (1, "AP 8,000-8,500 um & M", (1,)),
        (2, "AP 8,500-9,000 um & F", (2,)),
    ]
    assert [group.center_um for group in assignment.groups] == [8100, 8000, 9000]
    assert assignment.edges == (8000, 8500, 9000)
    assert [entry.reason for entry in assignment.left_out] == [
        "the sex is not known",
        "the AP injection coordinate is not known; the sex is not known",
    ]


def test_two_crossed_axes_keep_both_ranges() -> None:
    subjects = [ExperimentFacts(1, "VISp", 385, 10, 200, 3000), ExperimentFacts(2, "VISp", 385, 20, 400, 6000)]
    assignment = assign(crossed(by_coordinate("ML", bins=2), by_coordinate("AP", bins=2)), subjects)
    assert dict(assignment.axis_edges) == {"ML": (3000, 4500, 6000), "AP": (10, 15, 20)}
    ranges = [(r.axis, r.lower_um, r.upper_um, r.center_um) for r in assignment.groups[1].ranges]
    assert ranges == [("ML", 4500, 6000, 6000), ("AP", 15, 20, 20)]


# -- everything else ----------------------------------------------------------------------------------------------


def test_no_grouping_keeps_all_experiments_in_order() -> None:
    assignment = assign(no_grouping(), [subject(7), subject(3), subject(5)])
    assert [(group.label, group.experiment_ids, group.axis) for group in assignment.groups] == [
        ("all", (7, 3, 5), None)
    ]


def test_one_group_along_an_axis_has_no_edges() -> None:
    assignment = assign(by_coordinate("AP", bins=1), along_ap(8000, 9000))
    assert (assignment.edges, dict(assignment.axis_edges)) == (None, {})
    assert assignment.groups[0].ranges == (CoordinateRange("AP", None, None, 8500.0),)
    assert Group(0, "all", (1,)).ranges == ()


def test_what_is_not_a_grouping_is_refused() -> None:
    other: Any = "AP"
    with pytest.raises(RecipeError, match="str is not a valid grouping"):
        assign(other, along_ap(8000))


@pytest.mark.parametrize("grouping", [no_grouping(), by_coordinate("AP"), by_field("sex"), by_region("VISp")])
def test_nothing_to_group_is_an_error(grouping: Grouping) -> None:
    with pytest.raises(EmptySelectionError):
        assign(grouping, [], ANCESTRY)


def test_experiment_given_twice_is_an_error() -> None:
    with pytest.raises(InputError, match="experiment 7 "):
        assign(no_grouping(), [subject(7), subject(8), subject(7)])


def test_no_group_at_all_is_an_error_with_the_reason() -> None:
    with pytest.raises(RecipeError, match="sex is not known"):
        assign(by_field("sex"), [subject(7)])


# -- selections ---------------------------------------------------------------------------------------------------

TWO = by_selection({"front": Selection(injected_in="VISp"), "back": Selection(injected_in="VISl"), "none": [9]})


def test_selections_make_one_group_each_and_empty_ones_stay() -> None:
    membership = {"front": frozenset({100, 102}), "back": frozenset({101}), "none": frozenset[int]()}
    found = assign(TWO, along_ap(1, 2, 3, 4), membership=membership)
    assert [(group.label, group.experiment_ids) for group in found.groups] == [
        ("front", (100, 102)),
        ("back", (101,)),
        ("none", ()),
    ]
    assert found.left_out == (LeftOut(103, "in none of the selections to group by"),)


def test_an_experiment_in_two_of_the_selections_is_named() -> None:
    membership = {"front": frozenset({100, 102}), "back": frozenset({101, 102}), "none": frozenset({103})}
    with pytest.raises(RecipeError, match="'front', 'back' have 1 experiment in common: 102"):
        assign(TWO, along_ap(1, 2, 3, 4), membership=membership)
