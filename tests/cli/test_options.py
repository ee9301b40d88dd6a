"""The values that options offer are those that the library takes: listed here so that help need not load it."""

from __future__ import annotations

from dataclasses import fields

import click
import pytest

from bsv_store.averaging.comparison.comparison import Comparison
from bsv_store.averaging.recipe import Recipe
from bsv_store.catalog.selection.criteria import CRITERIA
from bsv_store.vocabulary import MEASURES
from bsv_store_cli.commands import aggregate, compare, select
from bsv_store_cli.help import RowChoice, WordChoice


def test_every_part_of_a_recipe_has_an_option() -> None:
    # Selection and grouping have many options each.
    options = {option.name for option in aggregate.aggregate.params}
    assert {part.name for part in fields(Recipe)} - {"selection", "grouping", "comparison"} <= options
    # Comparisons are not weighted.
    of_comparisons = {option.name for option in compare.compare.params}
    parts = {part.name for recipe in (Recipe, Comparison) for part in fields(recipe)}
    assert parts - {"selection", "grouping", "comparison", "weight_by_data_mask", "weight_by"} <= of_comparisons


def test_every_criterion_of_a_selection_has_an_option() -> None:
    names = {parameter.name for parameter in select.select.params}
    assert names >= set(CRITERIA)


@pytest.mark.parametrize("word", ["injection-volume", "injection_volume", "Injection-Volume"])
def test_hyphens_underscores_and_case_are_alike_in_choices(word: str) -> None:
    choice = WordChoice(["none", "injection-volume"])
    assert choice.convert(word, None, None) == "injection-volume"
    with pytest.raises(click.BadParameter, match="injection volume"):
        choice.convert("injection volume", None, None)


@pytest.mark.parametrize("name", ["projection-volume", "projection_volume", "Projection-Volume"])
def test_hyphens_underscores_and_case_are_alike_in_names_of_the_library(name: str) -> None:
    command = click.Command("rank", params=[click.Option(["--by"], type=RowChoice(MEASURES))])
    assert command.params[0].type_cast_value(click.Context(command), name) == "projection_volume"
    assert command.params[0].type_cast_value(click.Context(command), None) is None
