"""Selections as values: canonical form, JSON, algebra that needs no database, and what is refused."""

from __future__ import annotations

import functools
import inspect
import json
import operator
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bsv_store import Selection
from bsv_store.catalog.selection.criteria import CRITERIA, default_of
from bsv_store.catalog.selection.resolve import CONDITIONS, QUALIFIERS
from bsv_store.catalog.selection.selection import MAX_DEPTH, MAX_PARTS, as_selection
from bsv_store.errors import SelectionError
from bsv_store.vocabulary import MEASURES

VISP = Selection(injected_in="VISp")
MALE = Selection(sex="M")
WILD = Selection(line="wild-type")
SOME = Selection(ids=[3, 1, 2])


def made(**values: Any) -> Selection:
    return Selection(**values)


# -- canonical form ---------------------------------------------------------------------------------------------------


def test_everything_has_the_shortest_json() -> None:
    assert Selection().to_json() == '{"version":1}'


def test_json_is_stable() -> None:
    selection = Selection(
        injected_in=["VISp", 385, "CUL4, 5"],
        injection="any",
        line=["Rbp4-Cre_KL100", "wild-type"],
        product=[31, 5],
        sex="F",
        strain="C57BL/6J",
        injected_hemisphere="right",
        bilateral=False,
        min_injection_volume=0.05,
        max_injection_volume=1,
        box=((8000, 9000), None, (0, 5700)),
        near=(8000, 1500, 8500),
        radius_um=500,
        projecting_to=["CP"],
        target_measure="normalized_projection_volume",
        target_threshold=0.1,
        target_hemisphere="contralateral",
        ids=[2, 1],
        exclude_ids=[9],
    )
    assert selection.to_json() == (
        '{"bilateral":false,"box":[[8000.0,9000.0],null,[0.0,5700.0]],"exclude_ids":[9],"ids":[1,2],'
        '"injected_hemisphere":"right","injected_in":[385,"CUL4, 5","VISp"],"injection":"any",'
        '"line":["Rbp4-Cre_KL100","wild-type"],"max_injection_volume":1.0,"min_injection_volume":0.05,'
        '"near":[8000.0,1500.0,8500.0],"product":[5,31],"projecting_to":["CP"],"radius_um":500.0,"sex":["F"],'
        '"strain":["C57BL/6J"],"target_hemisphere":"contralateral",'
        '"target_measure":"normalized_projection_volume","target_threshold":0.1,"version":1}'
    )
    assert Selection.from_json(selection.to_json()) == selection


def test_json_of_combinations_is_stable() -> None:
    selection = ((VISP & MALE) | SOME) - WILD
    assert selection.to_json() == (
        '{"minus":[{"or":[{"and":[{"injected_in":["VISp"]},{"sex":["M"]}]},{"ids":[1,2,3]}]},'
        '{"line":["wild-type"]}],"version":1}'
    )
    assert Selection.from_json(selection.to_json()) == selection


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"injected_in": ["VISp", "VISl"]}, {"injected_in": ("VISl", "VISp", "VISp")}),
        ({"injected_in": "VISp"}, {"injected_in": ["VISp"]}),
        ({"injected_in": "385"}, {"injected_in": np.int64(385)}),
        ({"ids": [3, 1, 2, 1]}, {"ids": np.array([1, 2, 3])}),
        ({"ids": [1, 2]}, {"ids": pd.Series([2, 1])}),
        ({"ids": {1, 2}}, {"ids": (n for n in (2, 1))}),
        ({"ids": 1}, {"ids": [1]}),
        ({"near": (1, 2, 3), "radius_um": 500}, {"near": [1.0, 2.0, 3.0], "radius_um": np.float64(500)}),
        ({"near": (1, 2, 3), "radius_um": 500}, {"near": np.array([1, 2, 3]), "radius_um": np.array(500.0)}),
        ({"ids": [3]}, {"ids": np.array(3)}),
        ({"min_injection_volume": 0}, {"min_injection_volume": -0.0}),
        (
            {"projecting_to": "CP", "target_threshold": 0, "target_measure": "projection_volume"},
            {"projecting_to": ["CP"]},
        ),
        ({"injection": "primary", "exclude_ids": [], "box": (None, None, None)}, {}),
        ({"ids": [1], "include_withdrawn": True}, {"ids": [1]}),
        ({"line": None, "sex": None}, {}),
        ({"injected_hemisphere": "Left"}, {"injected_hemisphere": "left"}),
        ({"injected_in": "VISp", "injection": "ANY"}, {"injected_in": "VISp", "injection": "any"}),
        (
            {"projecting_to": "CP", "target_measure": "Projection-Density", "target_hemisphere": "ipsi"},
            {"projecting_to": "CP", "target_measure": "projection_density", "target_hemisphere": "ipsilateral"},
        ),
        ({"line": "Wild Type", "sex": "female"}, {"line": "wild-type", "sex": "F"}),
        ({"line": "Any Cre"}, {"line": "any-cre"}),
    ],
)
def test_one_meaning_has_one_form(one: dict[str, Any], other: dict[str, Any]) -> None:
    first, second = made(**one), made(**other)
    assert first == second
    assert hash(first) == hash(second)
    assert first.to_json() == second.to_json()


def test_different_questions_differ() -> None:
    selections = [VISP, MALE, WILD, SOME, VISP & MALE, VISP | MALE, VISP - MALE, MALE - VISP, Selection()]
    assert len(set(selections)) == len({s.to_json() for s in selections}) == len(selections)


def test_case_and_kind_of_a_structure_are_kept_apart() -> None:
    assert Selection(injected_in="CM") != Selection(injected_in="cm")


def test_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        VISP.node = MALE.node  # type: ignore[misc]


def test_repr_can_be_evaluated() -> None:
    selection = ((VISP & MALE) | SOME) - WILD - Selection(near=(1, 2, 3), radius_um=4)
    assert eval(repr(selection), {"Selection": Selection}) == selection


def test_pickles() -> None:
    selection = (VISP | SOME) - WILD
    assert pickle.loads(pickle.dumps(selection)) == selection


# -- algebra ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (VISP & MALE, MALE & VISP),
        (VISP | MALE, MALE | VISP),
        (VISP & VISP, VISP),
        (VISP | VISP, VISP),
        ((VISP & MALE) & WILD, VISP & (WILD & MALE)),
        ((VISP | MALE) | WILD, VISP | (WILD | MALE | VISP)),
        (VISP - MALE - WILD, VISP - (WILD | MALE)),
        (VISP - MALE - WILD, VISP - WILD - MALE - MALE),
    ],
)
def test_laws_that_hold_for_the_form_itself(one: Selection, other: Selection) -> None:
    assert one == other
    assert one.to_json() == other.to_json()


def test_only_selections_combine() -> None:
    for combine in (operator.and_, operator.or_, operator.sub):
        with pytest.raises(TypeError):
            combine(VISP, {"sex": "M"})


def test_too_many_parts_are_refused() -> None:
    parts = [Selection(ids=[n]) for n in range(1, MAX_PARTS + 2)]
    assert len(list(functools.reduce(operator.or_, parts[:-1]).leaves())) == MAX_PARTS
    with pytest.raises(SelectionError, match="parts"):
        functools.reduce(operator.or_, parts)


def test_too_deep_nesting_is_refused() -> None:
    selection = VISP
    for n in range(1, MAX_DEPTH):
        selection = Selection(ids=[n]) - selection
    with pytest.raises(SelectionError, match="deep"):
        SOME - selection


# -- refused values ---------------------------------------------------------------------------------------------------

BAD_IDS: tuple[Any, ...] = (True, False, 0, -1, 2**63, 10**5000, 1.0, "1", None, float("nan"), b"1", [1], {"a": 1})
BAD_NUMBERS: tuple[Any, ...] = (float("nan"), float("inf"), -float("inf"), 10**400, "500", True, [1], 1j, b"1")
BAD_TEXTS: tuple[Any, ...] = (1, 1.5, b"M", "", "x" * 10_240, "a\nb", "a\0b", "\ud800", "\u202eM", ["M"], {})


def _kind(value: object) -> str:
    # The values themselves are too long, or too strange, for the name of a test.
    return type(value).__name__


@pytest.mark.parametrize("value", BAD_IDS, ids=_kind)
@pytest.mark.parametrize("criterion", ["ids", "exclude_ids", "product"])
def test_invalid_ids_are_refused(criterion: str, value: Any) -> None:
    with pytest.raises(SelectionError, match=criterion):
        made(**{criterion: [5, value]})


def test_the_smallest_and_the_largest_id_are_ids() -> None:
    assert made(ids=[1, 2**63 - 1]).to_dict()["ids"] == [1, 2**63 - 1]


@pytest.mark.parametrize("value", [*BAD_TEXTS[1:], True, 0, -1, 2**63, "9" * 30], ids=_kind)
@pytest.mark.parametrize("criterion", ["injected_in", "projecting_to"])
def test_invalid_structures_are_refused(criterion: str, value: Any) -> None:
    with pytest.raises(SelectionError, match=criterion):
        made(**{criterion: ["VISp", value]})


@pytest.mark.parametrize("value", BAD_TEXTS, ids=_kind)
@pytest.mark.parametrize("criterion", ["line", "sex", "strain"])
def test_invalid_names_are_refused(criterion: str, value: Any) -> None:
    with pytest.raises(SelectionError, match=criterion):
        made(**{criterion: ["M", value]})


@pytest.mark.parametrize("value", [*BAD_NUMBERS, -1], ids=_kind)
@pytest.mark.parametrize("criterion", ["min_injection_volume", "max_injection_volume", "radius_um", "target_threshold"])
def test_invalid_amounts_are_refused(criterion: str, value: Any) -> None:
    with pytest.raises(SelectionError, match=criterion):
        made(**{"near": (1, 2, 3), "radius_um": 1, "projecting_to": "CP", criterion: value})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"min_injection_volume": -0.5}, "min_injection_volume must not be negative, got -0.5"),
        (
            {"max_injection_outside_primary": -0.5},
            "max_injection_outside_primary must be a number from 0 to 1, got -0.5",
        ),
        ({"max_injection_outside_primary": 1.5}, "max_injection_outside_primary must be a number from 0 to 1, got 1.5"),
        (
            {"injected_in": "VISp", "min_injection_overlap": 1.5},
            "min_injection_overlap must be a number from 0 to 1, got 1.5",
        ),
        ({"min_laterality_index": -1.5}, "min_laterality_index must be a number from -1 to 1, got -1.5"),
        ({"max_laterality_index": 1.5}, "max_laterality_index must be a number from -1 to 1, got 1.5"),
        (
            {"with_volume": "data_mask", "with_volume_spacing_um": 20},
            "with_volume_spacing_um must be one of .*100, got 20",
        ),
    ],
)
def test_amounts_have_limits(values: dict[str, Any], message: str) -> None:
    with pytest.raises(SelectionError, match=message):
        made(**values)


@pytest.mark.parametrize("share", [0, 1])
@pytest.mark.parametrize("criterion", ["max_injection_outside_primary", "min_laterality_index", "max_laterality_index"])
def test_limits_of_amounts_are_amounts(criterion: str, share: int) -> None:
    assert made(**{criterion: share}).to_dict()[criterion] == share
    assert made(min_laterality_index=-1).to_dict()["min_laterality_index"] == -1
    assert made(box=((5, 5), None, None)).to_dict()["box"][0] == [5, 5]
    one = made(min_injection_volume=0.5, max_injection_volume=0.5)
    assert one.to_dict() == {"version": 1, "min_injection_volume": 0.5, "max_injection_volume": 0.5}


@pytest.mark.parametrize("criterion", ["injected_in", "projecting_to", "ids", "line", "sex", "strain", "product"])
def test_empty_list_is_refused_and_never_means_everything(criterion: str) -> None:
    with pytest.raises(SelectionError, match=f"{criterion} must not be empty"):
        made(**{criterion: []})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"injected_hemisphere": "middle"}, "hemisphere must be one of left, right, got 'middle'"),
        ({"injected_hemisphere": "lefft"}, r"Did you mean 'left'"),
        ({"injected_hemisphere": 1}, "hemisphere"),
        ({"injected_in": "VISp", "injection": "tertiary"}, "injection must be one of primary, any, got 'tertiary'"),
        ({"projecting_to": "CP", "target_hemisphere": "ipsilatral"}, "Did you mean 'ipsilateral'"),
        ({"projecting_to": "CP", "target_measure": "projection_volum"}, "Did you mean 'projection_volume'"),
        ({"bilateral": 1}, "bilateral must be True or False"),
        ({"sex": "x"}, "sex must be one of M, F, got 'x'"),
        ({"sex": ["M", 3]}, "sex must be one of M, F, got 3"),
        ({"include_withdrawn": "no"}, "include_withdrawn must be True or False"),
        ({"near": (1, 2, 3)}, "near and radius_um must be given together"),
        ({"radius_um": 3}, "near and radius_um must be given together"),
        ({"near": (1, 2), "radius_um": 3}, "near must have 3 parts, got 2"),
        ({"near": "123", "radius_um": 3}, "near must be a point, got '123'"),
        ({"near": (1, 2, float("nan")), "radius_um": 3}, "near must be a finite number"),
        ({"near": (20000, 2, 3), "radius_um": 3}, "outside the CCFv3 box"),
        ({"near": (-1, 2, 3), "radius_um": 3}, "outside the CCFv3 box"),
        ({"box": ((0, 1), (0, 1))}, "box must have 3 parts, got 2"),
        ({"box": ((1, 0), None, None)}, "box along AP: 1 is above 0"),
        ({"box": (None, (0, float("inf")), None)}, "box along DV"),
        ({"box": (None, None, 5)}, "box along ML"),
        ({"box": 5}, "box must be a box, got 5"),
        ({"with_volume": "data_mask", "with_volume_spacing_um": "fine"}, "with_volume_spacing_um must be a"),
        ({"injection": "any"}, "without injected_in"),
        ({"target_threshold": 1}, "target_threshold has no meaning without projecting_to"),
        ({"target_measure": "volume"}, "target_measure has no meaning without projecting_to"),
        ({"target_hemisphere": "left"}, "target_hemisphere has no meaning without projecting_to"),
        ({"min_injection_volume": 2, "max_injection_volume": 1}, "above"),
    ],
)
def test_nonsense_is_refused_and_explained(values: dict[str, Any], message: str) -> None:
    with pytest.raises(SelectionError, match=message):
        made(**values)


def test_unknown_criterion_is_a_type_error() -> None:
    with pytest.raises(TypeError):
        Selection(regions="VISp")  # type: ignore[call-arg]


@pytest.mark.parametrize(
    "combined", [lambda: VISP and MALE, lambda: VISP or MALE, lambda: not VISP, lambda: (VISP & MALE) and WILD]
)
def test_words_of_python_do_not_combine_selections(combined: Callable[[], object]) -> None:
    with pytest.raises(SelectionError, match="neither true nor false") as caught:
        combined()
    assert "a & b" in str(caught.value.hint)


@pytest.mark.parametrize(("criterion", "column"), [("ids", "experiment_id"), ("injected_in", "structure")])
def test_a_table_in_place_of_a_list_is_refused_with_its_column(criterion: str, column: str) -> None:
    table = pd.DataFrame({column: [5]})
    with pytest.raises(SelectionError, match=f"{criterion} must be a list, got a table") as caught:
        made(**{criterion: table})
    assert caught.value.hint == f"Use one column, for example table[{column!r}]."


def test_message_about_a_huge_text_is_short() -> None:
    with pytest.raises(SelectionError) as caught:
        Selection(line="x" * 10_240)
    assert len(str(caught.value)) < 300
    assert "10,240 characters" in str(caught.value)


def test_every_criterion_has_an_argument_and_a_condition() -> None:
    assert tuple(inspect.signature(Selection).parameters) == tuple(CRITERIA)
    compared = {name for name, criterion in CRITERIA.items() if criterion.column is not None}
    assert compared | QUALIFIERS | set(CONDITIONS) == set(CRITERIA)
    assert not (compared & QUALIFIERS) | (compared & set(CONDITIONS))
    # The share of the injection qualifies the structures, and has a condition of its own.
    assert QUALIFIERS & set(CONDITIONS) == {"min_injection_overlap"}


def test_defaults_of_the_arguments_ask_for_nothing() -> None:
    for name, parameter in inspect.signature(Selection).parameters.items():
        assert parameter.default == default_of(name)


def test_every_measure_of_the_table_can_be_asked_for() -> None:
    for measure in MEASURES:
        assert Selection(projecting_to="CP", target_measure=measure).to_dict()["projecting_to"] == ["CP"]  # type: ignore[arg-type]


# -- JSON that others wrote -------------------------------------------------------------------------------------------


def test_json_need_not_be_canonical() -> None:
    text = '{ "version": 1, "injected_in": "VISp", "near": [1, 2, 3], "radius_um": 4, "line": null }'
    assert Selection.from_json(text) == Selection(injected_in=["VISp"], near=(1, 2, 3), radius_um=4)
    text = '{"version":1,"and":[{"sex":"M"},{"and":[{"injected_in":"VISp"},{"sex":["M"]}]}]}'
    assert Selection.from_json(text) == VISP & MALE


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"),
        ("nonsense", "not JSON"),
        ('{"version":1', "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[1]", "an object"),
        ("null", "an object"),
        ("{}", 'must have the key "version"'),
        ('{"version":2}', "Upgrade"),
        ('{"version":true}', "version"),
        ('{"version":"1"}', "version"),
        ('{"version":1,"inject_in":["VISp"]}', "Did you mean 'injected_in'"),
        ('{"version":1,"sex":["M"],"sex":["F"]}', "'sex' twice"),
        ('{"version":1,"radius_um":NaN,"near":[1,2,3]}', "NaN is not a JSON number"),
        ('{"version":1,"radius_um":1e999,"near":[1,2,3]}', "the number '1e999' is too large"),
        ('{"version":1,"ids":[true]}', "ids"),
        ('{"version":1,"ids":{"1":1}}', "ids"),
        ('{"version":1,"and":[{"sex":"M"}]}', "two or more"),
        ('{"version":1,"minus":{"sex":"M"}}', "two or more"),
        ('{"version":1,"or":[{"sex":"M"},"F"]}', "an object"),
        ('{"version":1,"or":[{"sex":"M"},{"sex":"F"}],"ids":[1]}', "cannot be combined with criteria"),
        ('{"version":1,"or":[{"sex":"M"},{"version":1}]}', "no criterion 'version'"),
    ],
)
def test_json_that_is_not_a_selection_is_refused(text: str, message: str) -> None:
    with pytest.raises(SelectionError, match=message):
        Selection.from_json(text)


def test_deeply_nested_json_is_refused() -> None:
    value: dict[str, Any] = {"ids": [1]}
    for n in range(2, 60):
        value = {"minus": [{"ids": [n]}, value]}
    with pytest.raises(SelectionError, match="deep"):
        Selection.from_json(json.dumps({"version": 1, **value}))


def test_dict_form_is_the_json_form() -> None:
    selection = (VISP & MALE) - SOME
    assert json.loads(selection.to_json()) == selection.to_dict()
    assert Selection.from_dict(selection.to_dict()) == selection


def test_the_name_of_a_saved_selection_is_explained() -> None:
    with pytest.raises(SelectionError, match="got 'visual'") as caught:
        as_selection("visual")  # type: ignore[arg-type]
    assert "store.catalog.selection('visual')" in str(caught.value.hint)
    with pytest.raises(SelectionError) as caught:
        as_selection(1.5)  # type: ignore[arg-type]
    assert "store.catalog.selection" not in str(caught.value.hint)
