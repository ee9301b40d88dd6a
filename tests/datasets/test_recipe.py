from __future__ import annotations

import json
import re
from dataclasses import replace
from html import unescape
from typing import Any

import pytest

from bsv_store import Selection, by_coordinate, by_field, by_selection, crossed
from bsv_store.averaging.comparison.comparison import Comparison
from bsv_store.averaging.comparison.structure_comparison import StructureComparison
from bsv_store.averaging.recipe import Recipe, canonical_json
from bsv_store.errors import BsvStoreError, InputError, RecipeError

VISUAL = Selection(injected_in=["VISp", "VISl"], line="wild-type")
TWO_GROUPS = by_selection({"a": Selection(ids=[1]), "b": Selection(ids=[2])})
BY_STRUCTURE = Recipe(
    selection=VISUAL,
    grouping=TWO_GROUPS,
    missing="leave_out",
    comparison=StructureComparison(measure="projection_volume", hemisphere=("ipsilateral", "contralateral")),
)


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
    for each in (recipe, replace(recipe, weight_by_data_mask=False, weight_by="injection_overlap")):
        assert Recipe.from_json(each.to_json()) == each
        assert Recipe.from_json(each.to_dict()) == each


@pytest.mark.parametrize(
    ("part", "value", "valid"),
    [
        ("normalize", "volume", "one of none, injection_volume, got"),
        ("missing", "ignore", "one of error, leave_out, got"),
        ("hemisphere_rule", "left", "subtract_contralateral"),
        ("weight_by", "volume", "one of none, injection_overlap, got"),
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
        {"statistics": "mean"},
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


def test_parts_that_are_not_given_have_these_values() -> None:
    recipe = Recipe(selection=VISUAL)
    assert Recipe.from_json({"selection": VISUAL.to_dict()}) == recipe
    assert Recipe.from_json({"selection": VISUAL.to_dict(), "comparison": None}) == recipe
    assert (recipe.kinds, recipe.maps, recipe.selections) == (("projection_density",), (), (VISUAL,))
    assert recipe.to_dict() == {
        "selection": VISUAL.to_dict(),
        "kind": "projection_density",
        "spacing_um": 100,
        "grouping": recipe.grouping.to_dict(),
        "normalize": "none",
        "hemisphere_rule": "none",
        "bilateral_rule": "larger_side",
        "exclude_injection": False,
        "weight_by_data_mask": False,
        "statistics": ["mean"],
        "missing": "error",
        "dtype": "float32",
        "recipe_version": 1,
    }


@pytest.mark.parametrize(
    ("parts", "kinds"),
    [
        ({"exclude_injection": True}, ("projection_density", "injection_fraction")),
        ({"weight_by_data_mask": True}, ("projection_density", "data_mask")),
        (
            {"exclude_injection": True, "weight_by_data_mask": True, "kind": "injection_fraction"},
            ("injection_fraction", "data_mask"),
        ),
    ],
)
def test_masks_are_volumes_that_are_read(parts: dict[str, Any], kinds: tuple[str, ...]) -> None:
    assert Recipe(selection=VISUAL, **parts).kinds == kinds


def test_the_selections_of_the_groups_are_selections_of_the_recipe() -> None:
    first, second = Selection(ids=[1]), Selection(ids=[2])
    recipe = Recipe(selection=VISUAL, grouping=by_selection({"a": first, "b": second}))
    assert recipe.selections == (VISUAL, first, second)


def test_a_comparison_is_a_part_only_where_there_is_one() -> None:
    comparison = Comparison(permutations=100, seed=3)
    recipe = Recipe(selection=VISUAL, grouping=TWO_GROUPS, comparison=comparison)
    assert recipe.to_dict()["comparison"] == comparison.to_dict()
    assert recipe.maps == comparison.maps != ()
    found = Recipe.from_json(recipe.to_json())
    assert found == recipe
    assert found.comparison == comparison


def test_a_comparison_by_structure_has_no_parts_about_volumes() -> None:
    comparison = BY_STRUCTURE.comparison
    assert isinstance(comparison, StructureComparison)
    assert (BY_STRUCTURE.spacing_um, BY_STRUCTURE.statistics, BY_STRUCTURE.kinds, BY_STRUCTURE.maps) == (0, (), (), ())
    assert BY_STRUCTURE.to_dict() == {
        "selection": VISUAL.to_dict(),
        "grouping": TWO_GROUPS.to_dict(),
        "missing": "leave_out",
        "comparison": comparison.to_dict(),
        "recipe_version": 1,
    }
    assert Recipe.from_json(BY_STRUCTURE.to_json()) == BY_STRUCTURE
    other = Selection(ids=[3])
    assert replace(BY_STRUCTURE, selection=other).to_dict() == {**BY_STRUCTURE.to_dict(), "selection": other.to_dict()}


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("kind", "projection_energy"),
        ("spacing_um", 50),
        ("normalize", "injection_volume"),
        ("exclude_injection", True),
        ("statistics", ("mean", "sd")),
    ],
)
def test_a_comparison_by_structure_with_a_part_about_volumes_is_refused(part: str, value: Any) -> None:
    with pytest.raises(RecipeError, match=f"{part} cannot be combined with a comparison by structure"):
        replace(BY_STRUCTURE, **{part: value})


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"selection": "VISp"}, "selection must be a Selection, got 'VISp'"),
        ({"grouping": "AP"}, "grouping must be a Grouping, got 'AP'"),
        ({"exclude_injection": 1}, "exclude_injection must be True or False, got 1"),
        ({"weight_by_data_mask": None}, "weight_by_data_mask must be True or False, got None"),
        (
            {"weight_by": "overlap", "weight_by_data_mask": True},
            "weight_by='injection_overlap' and weight_by_data_mask=True cannot be combined",
        ),
        (
            {"comparison": Comparison(), "grouping": by_field("line"), "weight_by": "injection_overlap"},
            "a comparison cannot be weighted by injection overlap",
        ),
        ({"dtype": "float16"}, "dtype must be one of float32, float64, got 'float16'"),
        ({"statistics": ["median"]}, "statistics must be one of"),
        ({"comparison": 3, "grouping": by_field("line")}, "comparison must be a Comparison or None, got 3"),
        ({"comparison": Comparison()}, "a comparison needs two groups"),
        (
            {"comparison": Comparison(), "grouping": by_field("line"), "weight_by_data_mask": True},
            "cannot be weighted by the data mask",
        ),
    ],
)
def test_parts_that_do_not_go_together_are_refused(parts: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        Recipe(**{"selection": VISUAL, **parts})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nonsense", "the recipe is not valid JSON: 'nonsense'"),
        ("x" * 300, f"not valid JSON: '{'x' * 200}'$"),
        ("[3]", r"the recipe is not a JSON object: '\[3\]'"),
        (f"[{'3' * 300}]", rf"not valid JSON: '\[{'3' * 199}'$"),
        ('{"recipe_version":2}', "the recipe has the version 2; this version of bsv-store reads 1"),
        ('{"color":1,"beauty":2}', "a recipe has no part 'beauty'"),
        ('{"kind":"projection_density"}', "the recipe has no selection"),
        ('{"selection":{"version":1},"statistics":3}', "a part of the recipe has the wrong type"),
    ],
)
def test_what_is_wrong_with_a_recipe_is_said(text: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        Recipe.from_json(text)
    assert re.search(message, caught.value.message)


_SELECTED = "experiments injected in VISl or VISp (the primary injection structure; descendants included)"


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        (
            Recipe(selection=VISUAL, exclude_injection=True, weight_by_data_mask=True, statistics=("mean", "n")),
            {
                "Selection": f"{_SELECTED} and in wild-type mice",
                "Grouping": "all experiments in one group",
                "Quantity": "projection density (fraction of voxel)",
                "Rules": "not normalized; hemispheres as imaged; injection sites not counted; weighted by data mask",
                "Statistics": "weighted mean, number of experiments with data",
                "Missing data": "an error",
                "Grid": "100 um, Allen CCFv3 (2017); float32",
            },
        ),
        (
            Recipe(
                selection=VISUAL,
                kind="projection_energy",
                normalize="injection_volume",
                weight_by="injection_overlap",
                grouping=by_field("line"),
            ),
            {
                "Selection": f"{_SELECTED} and in wild-type mice",
                "Grouping": "by transgenic line",
                "Quantity": "projection energy (arbitrary units per mm³ injected)",
                "Rules": "divided by injection volume; hemispheres as imaged; weighted by injection overlap",
                "Statistics": "weighted mean",
                "Missing data": "an error",
                "Grid": "100 um, Allen CCFv3 (2017); float32",
            },
        ),
        (
            BY_STRUCTURE,
            {
                "Selection": f"{_SELECTED} and in wild-type mice",
                "Grouping": "by selection: a (experiments chosen by id (1)) and b (experiments chosen by id (2))",
                "Quantity": "projection volume (mm3)",
                "Rules": "hemisphere: ipsilateral, contralateral; outside the injection site",
                "Statistics": None,
                "Missing data": "left out, with the reason",
                "Grid": None,
            },
        ),
    ],
    ids=["voxels weighted", "experiments weighted", "by structure"],
)
def test_each_part_of_a_recipe_in_words(recipe: Recipe, words: dict[str, str | None]) -> None:
    assert dict(recipe.in_words()) == words
    text = unescape(recipe._repr_html_())
    title = "Comparison" if recipe is BY_STRUCTURE else "Average"
    assert f'"bsv-title">{title}</span><span class="bsv-kind">recipe</span>' in text
    assert f"<summary>JSON</summary><pre>{recipe.to_json()}</pre>" in text
    assert [f"<dt>{name}</dt>" in text for name in words] == [each is not None for each in words.values()]


def test_weights_are_of_voxels_or_of_experiments() -> None:
    plain = Recipe(selection=VISUAL)
    weighted = (replace(plain, weight_by="injection_overlap"), replace(plain, weight_by_data_mask=True))
    assert [each.is_weighted for each in (plain, *weighted)] == [False, True, True]


def test_the_unit_of_a_measure_without_one_is_not_written() -> None:
    assert replace(BY_STRUCTURE, comparison=StructureComparison()).quantity == "normalized projection volume"


def test_canonical_json_has_one_form() -> None:
    assert canonical_json({"b": [1, 2.5, None], "a": "\u00fc"}) == '{"a":"\u00fc","b":[1,2.5,null]}'
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json(float("nan"))


@pytest.mark.parametrize("text", ["", "[]", "nonsense", "3", '{"kind":"projection_density"}'])
def test_invalid_recipes_are_refused(text: str) -> None:
    with pytest.raises(RecipeError):
        Recipe.from_json(text)
