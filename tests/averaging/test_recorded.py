"""The inputs of an average in their recorded form: what is read back, and what is refused."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest

from bsv_store import Selection, by_coordinate, by_selection
from bsv_store.averaging.comparison.comparison import Comparison
from bsv_store.averaging.comparison.structure_comparison import StructureComparison
from bsv_store.averaging.comparison.structure_values import ComparedStructure
from bsv_store.averaging.grouping.assignment import CoordinateRange, Group
from bsv_store.averaging.members import Member
from bsv_store.averaging.recipe import Recipe, canonical_json
from bsv_store.averaging.recorded import RecordedInputs, fingerprint_of
from bsv_store.errors import BsvStoreError, FormatError, RecipeError

VOLUME, FRACTION, MASK = "a" * 64, "b" * 64, "c" * 64
EVERY = Selection()
BACK = (CoordinateRange("AP", 100.0, 200.0, 150.0),)
FRONT = (CoordinateRange("AP", None, None, None),)


def member(identifier: int, group: int = 0, **values: Any) -> Member:
    return Member(identifier, group, divisor=1.0, array_sha256=VOLUME, **values)


ALONG_AP = RecordedInputs(
    Recipe(selection=EVERY, grouping=by_coordinate("AP", bins=2)),
    (Group(0, "back", (1, 3), BACK), Group(1, "front", (2,), FRONT)),
    (member(1), member(2, 1), member(3), Member(4, reason="no volume")),
    5,
)
MASKED = RecordedInputs(
    Recipe(selection=EVERY, exclude_injection=True, weight_by_data_mask=True, hemisphere_rule="flip_to_right"),
    (Group(0, "all", (1,)),),
    (member(1, injected_hemisphere="left", injection_fraction_sha256=FRACTION, data_mask_sha256=MASK),),
    1,
)
WEIGHTED = RecordedInputs(
    Recipe(selection=EVERY, weight_by="injection_overlap"),
    (Group(0, "all", (1, 2)),),
    (member(1, weight=0.5), member(2, weight=1.0)),
    5,
)
_TWO = by_selection({"a": [1, 2], "b": [3, 4]})
_TWO_GROUPS = (Group(0, "a", (1, 2)), Group(1, "b", (3, 4)))
_FOUR = (member(1), member(2), member(3, 1), member(4, 1))
COMPARED = RecordedInputs(
    Recipe(selection=EVERY, grouping=_TWO, comparison=Comparison(test="student", covariates=("injection_ap",))),
    _TWO_GROUPS,
    _FOUR,
    5,
    covariates={"injection_ap": (1.0, 2.5, 3.0, 4.0)},
)
BY_STRUCTURE = RecordedInputs(
    Recipe(selection=EVERY, grouping=_TWO, comparison=StructureComparison(targets=(672,))),
    _TWO_GROUPS,
    _FOUR,
    5,
    structures=(ComparedStructure(672, "CP", "Caudoputamen"),),
)


@pytest.mark.parametrize(
    "inputs",
    [ALONG_AP, MASKED, WEIGHTED, COMPARED, BY_STRUCTURE],
    ids=["along AP", "masked", "weighted", "compared", "by structure"],
)
def test_recorded_inputs_are_read_back(inputs: RecordedInputs) -> None:
    text = inputs.to_json()
    found = RecordedInputs.from_json(text)
    assert found == inputs
    assert found.experiments() == inputs.members
    assert found.fingerprint() == fingerprint_of(text) == hashlib.sha256(text.encode()).hexdigest()


def test_the_content_of_the_fingerprint() -> None:
    assert ALONG_AP.to_dict() == {
        "algorithm_version": 5,
        "recipe": ALONG_AP.recipe.to_dict(),
        "groups": [
            {
                "label": "back",
                "ranges": [{"axis": "AP", "lower_um": 100.0, "upper_um": 200.0, "center_um": 150.0}],
            },
            {"label": "front", "ranges": [{"axis": "AP", "lower_um": None, "upper_um": None, "center_um": None}]},
        ],
        "members": [each.to_json() for each in ALONG_AP.members[:3]],
        "left_out": [{"experiment_id": 4, "reason": "no volume"}],
    }
    assert COMPARED.to_dict()["covariates"] == {"injection_ap": [1.0, 2.5, 3.0, 4.0]}
    assert BY_STRUCTURE.to_dict()["structures"] == [[672, "CP", "Caudoputamen"]]
    assert (ALONG_AP.weights, WEIGHTED.weights) == ((), (0.5, 1.0))


def changed(inputs: RecordedInputs, **parts: Any) -> str:
    """The text of inputs with other parts."""
    return canonical_json({**inputs.to_dict(), **parts})


def groups_with(**parts: Any) -> list[dict[str, Any]]:
    """The groups along AP, the first with other parts of its range."""
    groups: list[dict[str, Any]] = json.loads(ALONG_AP.to_json())["groups"]
    groups[0]["ranges"][0].update(parts)
    return groups


_PLAIN = [each.to_json() for each in ALONG_AP.members[:3]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nonsense", "the inputs are not valid JSON"),
        ("[]", "the inputs must have exactly the keys algorithm_version, groups, left_out, members, recipe"),
        (changed(ALONG_AP, color=1), "the inputs must have exactly the keys"),
        ('{"recipe":{},"groups":[]}', "the inputs must have exactly the keys"),
        (changed(ALONG_AP, algorithm_version=0), "the algorithm version must be a positive integer, got 0"),
        (changed(ALONG_AP, algorithm_version=True), "the algorithm version must be a positive integer, got True"),
        (changed(ALONG_AP, algorithm_version=1_000_001), "the algorithm version must be a positive integer"),
        (changed(ALONG_AP, recipe="none"), "the recipe of the inputs must be a JSON object"),
        (changed(ALONG_AP, groups={}), "the groups must be a list that contains the group of each member"),
        (changed(ALONG_AP, groups=groups_with()[:1]), "the groups must be a list that contains the group of each"),
        (changed(ALONG_AP, groups=[3, 4]), "group 0 must have a label and ranges"),
        (changed(ALONG_AP, groups=[*groups_with()[:1], {"label": "x"}]), "group 1 must have a label and ranges"),
        (changed(ALONG_AP, groups=[{"label": "x", "ranges": {}}] * 2), "group 0 must have a label and ranges"),
        (changed(ALONG_AP, groups=[{"label": "", "ranges": []}] * 2), "the label of group 0 must be a single line"),
        (changed(ALONG_AP, groups=[{"label": 3, "ranges": []}] * 2), "the label of group 0 must be a single line"),
        (changed(ALONG_AP, groups=[{"label": "a\nb", "ranges": []}] * 2), "the label of group 0 must be a single"),
        (
            changed(ALONG_AP, groups=[{"label": "x", "ranges": [3]}] * 2),
            "a range of group 0 must have axis, center_um, lower_um, upper_um",
        ),
        (changed(ALONG_AP, groups=groups_with(color=1)), "a range of group 0 must have axis"),
        (changed(ALONG_AP, groups=groups_with(axis="XY")), "a range of group 0 must have axis"),
        (changed(ALONG_AP, groups=groups_with(lower_um="x")), "lower_um of group 0 must be a number, got 'x'"),
        (changed(ALONG_AP, groups=groups_with(axis="ML")), "the ranges of group 0 do not match the grouping"),
        (
            changed(ALONG_AP, groups=[*groups_with()[:1], {"label": "x", "ranges": []}]),
            "the ranges of group 1 do not match the grouping",
        ),
        (changed(ALONG_AP, groups=[groups_with()[0]] * 2), "two groups have the same label"),
        (changed(ALONG_AP, members=[*_PLAIN, _PLAIN[1]]), "experiments occur more than once: 2"),
        (changed(ALONG_AP, members=[]), "the inputs have no members"),
        (changed(ALONG_AP, weights=[0.5, 0.5, 0.5]), "the inputs have weights, which does not match the recipe"),
        (
            changed(ALONG_AP, recipe=replace(ALONG_AP.recipe, weight_by="injection_overlap").to_dict()),
            "the inputs have no weights, which does not match the recipe",
        ),
        (
            changed(ALONG_AP, recipe=replace(ALONG_AP.recipe, exclude_injection=True).to_dict()),
            "the masks of experiment 1 do not match the recipe",
        ),
        (
            changed(
                ALONG_AP,
                recipe=replace(ALONG_AP.recipe, exclude_injection=True).to_dict(),
                members=_PLAIN[1:],
                left_out=[{"experiment_id": 1, "reason": "no volume"}],
            ),
            "the masks of experiment 2 do not match the recipe",
        ),
        (
            changed(MASKED, recipe=replace(MASKED.recipe, weight_by_data_mask=False).to_dict()),
            "the masks of experiment 1 do not match the recipe",
        ),
        (
            changed(MASKED, recipe=replace(MASKED.recipe, hemisphere_rule="none").to_dict()),
            "the injected hemisphere of experiment 1 does not match the recipe",
        ),
        (
            changed(ALONG_AP, recipe=replace(ALONG_AP.recipe, hemisphere_rule="flip_to_right").to_dict()),
            "the injected hemisphere of experiment 1 does not match the recipe",
        ),
        (
            changed(COMPARED, covariates={"injection_ap": [1.0, 2.0]}),
            "injection_ap must have a number for each of the 4 members",
        ),
        (changed(ALONG_AP, structures=[[672, "CP", "x"]]), "the inputs must have structures if"),
        (json.dumps(ALONG_AP.to_dict()), "the inputs must be canonical JSON as written by bsv-store"),
    ],
)
def test_inputs_that_cannot_be_recorded_are_refused(text: str, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        RecordedInputs.from_json(text)


def test_inputs_of_a_comparison_have_two_groups_of_two() -> None:
    members = [each.to_json() for each in (member(1), member(3, 1), member(4, 1))]
    with pytest.raises(RecipeError, match="needs at least 2 in each group"):
        RecordedInputs.from_json(changed(COMPARED, members=members, covariates={"injection_ap": [1.0, 2.0, 3.0]}))


def test_the_limits_of_the_algorithm_version() -> None:
    for version in (1, 1_000_000):
        assert RecordedInputs.from_json(changed(ALONG_AP, algorithm_version=version)).algorithm_version == version


def test_a_group_without_members_is_a_group() -> None:
    groups = [*groups_with(), {"label": "empty", "ranges": groups_with()[1]["ranges"]}]
    found = RecordedInputs.from_json(changed(ALONG_AP, groups=groups))
    assert [each.experiment_ids for each in found.groups] == [(1, 3), (2,), ()]
    with pytest.raises(BsvStoreError):
        RecordedInputs.from_json(changed(ALONG_AP, recipe={}))
