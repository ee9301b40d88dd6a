from __future__ import annotations

import json
from typing import Any

import pytest

from bsv_store import Selection, by_coordinate, by_field, crossed
from bsv_store.averaging.recipe import Recipe
from bsv_store.errors import BsvStoreError, InputError, RecipeError

VISUAL = Selection(injected_in=["VISp", "VISl"], line="wild-type")


def test_canonical_json() -> None:
    recipe = Recipe(selection=VISUAL, grouping=by_coordinate("AP", bins=5), normalize="injection_volume")
    assert recipe.to_json() == (
        '{"bilateral_rule":"larger_side","dtype":"float32","exclude_injection":false,'
        '"grouping":{"axis":"AP","bins":5,"by":"coordinate","method":"equal_width"},"hemisphere_rule":"none",'
        '"kind":"projection_density","missing":"error","normalize":"injection_volume","recipe_version":1,'
        '"selection":{"injected_in":["VISl","VISp"],"line":["wild-type"],"version":1},"spacing_um":100,'
        '"statistics":["mean"],"weight_by_data_mask":false}'
    )


def test_spelling_and_order_do_not_matter() -> None:
    one = Recipe(
        selection=VISUAL,
        kind="projection-density",  # type: ignore[arg-type]
        hemisphere_rule="subtract-contralateral",  # type: ignore[arg-type]
        statistics=("sd", "mean", "sd"),
    )
    other = Recipe(
        selection=Selection(line=["wild-type"], injected_in=["VISl", "VISp", "VISp"]),
        hemisphere_rule="subtract_contralateral",
        statistics=("mean", "sd"),
    )
    assert one == other
    assert one.to_json() == other.to_json()
    assert hash(one) == hash(other)


def test_round_trip() -> None:
    recipe = Recipe(
        selection=VISUAL - Selection(ids=[7]),
        kind="projection_energy",
        spacing_um=25,
        grouping=crossed(by_coordinate("ML", edges=[0, 5700, 11400]), by_field("line")),
        normalize="injection_volume",
        hemisphere_rule="flip_to_right",
        bilateral_rule="leave_out",
        exclude_injection=True,
        weight_by_data_mask=True,
        statistics=("mean", "n"),
        missing="leave_out",
        dtype="float64",
    )
    assert Recipe.from_json(recipe.to_json()) == recipe
    assert Recipe.from_json(recipe.to_dict()) == recipe


@pytest.mark.parametrize(
    ("part", "value", "valid"),
    [
        ("normalize", "volume", "one of none, injection_volume, got"),
        ("missing", "ignore", "one of error, leave_out, got"),
        ("hemisphere_rule", "left", "subtract_contralateral"),
        ("bilateral_rule", "both", "one of larger_side, error, leave_out, got"),
        ("statistics", ("median",), "one of mean, sum, sd"),
        ("dtype", "float16", "one of float32, float64, got"),
        ("kind", "densities", "projection_density"),
        ("spacing_um", 30, "10, 25, 50, 100"),
        ("exclude_injection", "yes", "True or False"),
        ("grouping", "AP", "by_coordinate"),
        ("normalize", None, "one of none, injection_volume, got"),
    ],
)
def test_unknown_values_are_errors_that_name_the_valid_ones(part: str, value: Any, valid: str) -> None:
    with pytest.raises(InputError) as caught:
        Recipe(selection=VISUAL, **{part: value})
    assert valid in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        {"selection": None},
        {"selection": {"version": 1, "injected": ["VISp"]}},
        {"grouping": {"by": "moon"}},
        {"grouping": 3},
        {"statistics": 3},
        {"statistics": [["mean"]]},
        {"spacing_um": "100"},
        {"recipe_version": 2},
        {"color": "red"},
        {"normalize": {"by": "volume"}},
    ],
)
def test_damaged_recipes_are_refused(change: dict[str, Any]) -> None:
    values = {**Recipe(selection=VISUAL).to_dict(), **change}
    with pytest.raises(BsvStoreError):
        Recipe.from_json(json.dumps(values))


@pytest.mark.parametrize("text", ["", "[]", "nonsense", "3", '{"kind":"projection_density"}'])
def test_invalid_recipes_are_refused(text: str) -> None:
    with pytest.raises(RecipeError):
        Recipe.from_json(text)
