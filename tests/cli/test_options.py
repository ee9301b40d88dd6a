"""The values that options offer are those that the library takes: listed here so that help need not load it."""

from __future__ import annotations

from dataclasses import fields
from typing import get_args

import click
import pytest

from bsv_store.averaging.grouping.grouping import GROUPING_FIELDS
from bsv_store.averaging.hemisphere import BILATERAL_POLICIES, HEMISPHERE_RULES
from bsv_store.averaging.kernel.statistics import STATISTICS
from bsv_store.averaging.recipe import MISSING_POLICIES, NORMALIZATIONS, Recipe, ResultDtype
from bsv_store.catalog.selection.criteria import CRITERIA
from bsv_store.volumes.grid import AXES
from bsv_store_cli.commands import aggregate, select
from bsv_store_cli.help import WordChoice, library_name
from bsv_store_cli.options import grouping as grouping_options


def _hyphens(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name.replace("_", "-") for name in names)


def test_groupings() -> None:
    assert grouping_options.AXES == AXES
    assert sorted(grouping_options.FIELDS) == sorted(_hyphens(GROUPING_FIELDS))


def test_recipes() -> None:
    assert _hyphens(NORMALIZATIONS) == aggregate.NORMALIZATIONS
    assert _hyphens(HEMISPHERE_RULES) == aggregate.HEMISPHERE_RULES
    assert sorted(aggregate.STATISTICS) == sorted(STATISTICS)
    assert _hyphens(MISSING_POLICIES) == aggregate.MISSING_POLICIES
    assert _hyphens(BILATERAL_POLICIES) == aggregate.BILATERAL_POLICIES
    assert get_args(ResultDtype) == aggregate.DTYPES


def test_every_part_of_a_recipe_has_an_option() -> None:
    # Selection and grouping are made of many options each; --injected-hemisphere and --bilateral select experiments.
    otherwise = {"hemisphere": "hemisphere_rule", "bilateral": "bilateral_rule"}
    options = {option.name for option in aggregate.aggregate.params}
    parts = {otherwise.get(part.name, part.name) for part in fields(Recipe)}
    assert parts - {"selection", "grouping"} <= options


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
    command = click.Command("rank", params=[click.Option(["--by"], callback=library_name)])
    assert library_name(click.Context(command), command.params[0], name) == "projection_volume"
    assert library_name(click.Context(command), command.params[0], None) is None
