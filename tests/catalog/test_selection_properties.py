"""Selections drawn at random: the algebra of sets, the JSON round trip, and a plain Python model of every criterion."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bsv_store import Selection, Store
from bsv_store.catalog.selection.narrowing import including, narrowed
from bsv_store.errors import EmptySelectionError, ExcludedExperimentError, InputError, SelectionError
from tests.catalog.small_catalog import (
    ALL_IDS,
    EXCLUDED_IDS,
    EXPERIMENTS,
    LINES,
    NOT_MEASURED,
    PROJECTIONS,
    STRUCTURES,
    unionize_rows,
)
from tests.catalog.undecided import unmeasured
from tests.examples import examples

# What is left out is tested in test_without_unionizes.py.
pytestmark = pytest.mark.filterwarnings("ignore::bsv_store.errors.MissingUnionizesWarning")

# -- the model --------------------------------------------------------------------------------------------------------

_PARENTS = {id_: parent for id_, _, _, parent in STRUCTURES}
_IDS = {acronym: id_ for id_, acronym, _, _ in STRUCTURES}
_LINE_IDS = {name: id_ for id_, name, _ in LINES}
_ROWS = list(unionize_rows())


def _inside(structure: int, wanted: list[str | int]) -> bool:
    ids = {_IDS[ref] if isinstance(ref, str) else ref for ref in wanted}
    current: int | None = structure
    while current is not None:
        if current in ids:
            return True
        current = _PARENTS[current]
    return False


def _bilateral(row: dict[str, Any]) -> bool | None:
    sides = (row["injection_volume_left"], row["injection_volume_right"])
    return None if None in sides else min(sides) >= 0.01 * sum(sides)


def _tests(row: dict[str, Any], leaf: dict[str, Any]) -> Iterator[bool]:
    """Whether the row has what each criterion asks for; a criterion that is not asked for asks for nothing."""
    point = (row["injection_ap"], row["injection_dv"], row["injection_ml"])
    if "ids" in leaf:
        # Whether an excluded one may be named is said by `named`.
        yield row["id"] in leaf["ids"]
    else:
        yield not row["withdrawn"] or leaf.get("include_withdrawn", False)
        yield row["id"] not in EXCLUDED_IDS or leaf.get("include_excluded", False)
    yield row["id"] not in leaf.get("exclude_ids", ())
    if "injected_in" in leaf:
        touched = (row["primary_structure_id"], *(row["secondary"] if leaf.get("injection") == "any" else ()))
        yield any(_inside(structure, leaf["injected_in"]) for structure in touched)
    if "line" in leaf:
        wild = row["transgenic_line"] is None
        named = {_LINE_IDS[name] for name in leaf["line"] if name in _LINE_IDS}
        yield (
            ("wild-type" in leaf["line"] and wild)
            or ("any-cre" in leaf["line"] and not wild)
            or bool(named & set(row["lines"]))
        )
    for criterion, column in (("sex", "sex"), ("strain", "strain"), ("product", "product_id")):
        if criterion in leaf:
            yield row[column] in leaf[criterion]
    if "injected_hemisphere" in leaf:
        yield row["injected_hemisphere"] == leaf["injected_hemisphere"]
    if "bilateral" in leaf:
        yield _bilateral(row) is leaf["bilateral"]
    volume = row["injection_volume"]
    if "min_injection_volume" in leaf:
        yield volume is not None and volume >= leaf["min_injection_volume"]
    if "max_injection_volume" in leaf:
        yield volume is not None and volume <= leaf["max_injection_volume"]
    for value, interval in zip(point, leaf.get("box", ()), strict=False):
        yield interval is None or (value is not None and interval[0] <= value <= interval[1])
    if "near" in leaf:
        squares = [(value - at) ** 2 for value, at in zip(point, leaf["near"], strict=True) if value is not None]
        yield len(squares) == 3 and sum(squares) <= leaf["radius_um"] ** 2
    if "projecting_to" in leaf:
        yield any(_projects(row, leaf, unionize) for unionize in _ROWS)


def _projects(row: dict[str, Any], leaf: dict[str, Any], unionize: dict[str, Any]) -> bool:
    injected = {"left": 1, "right": 2}.get(row["injected_hemisphere"])
    hemisphere = {
        "both": 3,
        "left": 1,
        "right": 2,
        "ipsilateral": injected,
        "contralateral": None if injected is None else 3 - injected,
    }[leaf.get("target_hemisphere", "both")]
    targets = [_IDS[ref] if isinstance(ref, str) else ref for ref in leaf["projecting_to"]]
    return (
        unionize["experiment_id"] == row["id"]
        and unionize["structure_id"] in targets
        and unionize["hemisphere_id"] == hemisphere
        and not unionize["is_injection"]
        and unionize[leaf.get("target_measure", "projection_volume")] > leaf.get("target_threshold", 0)
    )


def named(value: dict[str, Any]) -> set[int]:
    """The excluded experiments that a selection in its JSON form names where that is an error."""
    for operator in ("and", "or", "minus"):
        if operator in value:
            parts = value[operator][:1] if operator == "minus" else value[operator]
            return set().union(*map(named, parts))
    if value.get("include_excluded", False):
        return set()
    return (set(value.get("ids", ())) - set(value.get("exclude_ids", ()))) & set(EXCLUDED_IDS)


def model(value: dict[str, Any]) -> set[int]:
    """The ids that a selection in its JSON form stands for."""
    if "and" in value:
        return set.intersection(*map(model, value["and"]))
    if "or" in value:
        return set.union(*map(model, value["or"]))
    if "minus" in value:
        first, *others = map(model, value["minus"])
        return first.difference(*others)
    return {row["id"] for row in EXPERIMENTS if all(_tests(row, value))}


# -- drawing ----------------------------------------------------------------------------------------------------------

_ACRONYMS = [acronym for _, acronym, _, _ in STRUCTURES]
_TARGETS = [acronym for id_, acronym, _, _ in STRUCTURES if id_ not in NOT_MEASURED]


def _values(column: str) -> list[Any]:
    return sorted({row[column] for row in EXPERIMENTS} - {None})


def _some(values: list[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.sampled_from(values), min_size=1, max_size=3)


def _near_values(column: str) -> st.SearchStrategy[float]:
    # Not below 20: what looks like mm is refused.
    return st.sampled_from([float(value) for value in _values(column)]) | st.floats(20, 7999)


def _intervals(column: str) -> st.SearchStrategy[Any]:
    pair = st.tuples(_near_values(column), _near_values(column)).map(lambda ends: tuple(sorted(ends)))
    return st.none() | pair


_points = st.tuples(*(_near_values(f"injection_{axis}") for axis in ("ap", "dv", "ml")))

_CRITERIA: dict[str, st.SearchStrategy[Any]] = {
    "injected_in": _some([*_ACRONYMS, *_PARENTS]),
    "line": _some(["wild-type", "any-cre", *_LINE_IDS]),
    "product": _some(_values("product_id")),
    "sex": _some(_values("sex")),
    "strain": _some(_values("strain")),
    "injected_hemisphere": st.sampled_from(["left", "right"]),
    "bilateral": st.booleans(),
    "min_injection_volume": st.sampled_from(_values("injection_volume")) | st.floats(0, 0.1),
    "box": st.tuples(*(_intervals(f"injection_{axis}") for axis in ("ap", "dv", "ml"))),
    "projecting_to": _some(_TARGETS),
    "ids": _some(list(ALL_IDS)),
    "exclude_ids": _some(list(ALL_IDS)),
    "include_withdrawn": st.booleans(),
    "include_excluded": st.booleans(),
}


@st.composite
def leaves(draw: st.DrawFn) -> Selection:
    names = draw(st.lists(st.sampled_from(sorted(_CRITERIA)), unique=True, max_size=3))
    values = {name: draw(_CRITERIA[name]) for name in names}
    if "injected_in" in values:
        values["injection"] = draw(st.sampled_from(["primary", "any"]))
    if "projecting_to" in values:
        values["target_measure"] = draw(st.sampled_from(["projection_volume", "normalized_projection_volume"]))
        values["target_threshold"] = draw(st.sampled_from([0, 0.05, 0.3, 3]))
        values["target_hemisphere"] = draw(st.sampled_from(["both", "left", "right", "ipsilateral", "contralateral"]))
    if draw(st.integers(0, 4)) == 0:
        values["near"], values["radius_um"] = draw(_points), draw(st.sampled_from([0, 100, 1000.5, 20_000]))
    if draw(st.integers(0, 4)) == 0:
        values["max_injection_volume"] = values.get("min_injection_volume", 0.1) + draw(st.floats(0, 0.2))
    return Selection(**values)


def _combined(parts: st.SearchStrategy[Selection]) -> st.SearchStrategy[Selection]:
    pairs = st.tuples(parts, parts)
    return pairs.map(lambda p: p[0] & p[1]) | pairs.map(lambda p: p[0] | p[1]) | pairs.map(lambda p: p[0] - p[1])


selections = st.recursive(leaves(), _combined, max_leaves=5)


# -- properties -------------------------------------------------------------------------------------------------------


@given(selections)
def test_json_goes_round(selection: Selection) -> None:
    again = Selection.from_json(selection.to_json())
    assert again == selection
    assert again.to_json() == selection.to_json()
    # Neither white space nor the order of keys matters.
    loose = json.dumps(dict(reversed(selection.to_dict().items())), indent=1)
    assert Selection.from_json(loose) == selection


@given(selections)
def test_repr_goes_round(selection: Selection) -> None:
    assert eval(repr(selection), {"Selection": Selection}) == selection


@examples(50)
@given(selections, selections)
def test_equal_form_means_equal_question(a: Selection, b: Selection) -> None:
    assert (a == b) == (a.to_json() == b.to_json())
    assert a & b == b & a
    assert a | b == b | a
    assert a | a == a & a == a
    if a == b:
        assert hash(a) == hash(b)


@examples(100)
@given(selection=selections)
def test_database_agrees_with_the_model(excluding_store: Store, selection: Selection) -> None:
    if named(selection.to_dict()):
        with pytest.raises(ExcludedExperimentError):
            excluding_store.select(selection)
        return
    assert excluding_store.select(selection) == tuple(sorted(model(selection.to_dict())))


@examples(30)
@given(selection=selections)
def test_searches_find_what_the_selection_selects(excluding_store: Store, selection: Selection) -> None:
    search, catalog = excluding_store.search, excluding_store.catalog
    every: dict[str, Any] = {"structure_set": 184527634, "selection": selection}
    everywhere = {
        "sources of CP": lambda: search.sources("VISp", injection="any", domain="CP", selection=selection),
        "strong targets": lambda: search.targets("CP", **STRONG, selection=selection),
        "near": lambda: search.injections((8000, 1500, 8500), radius_um=900, selection=selection),
        "table": lambda: excluding_store.experiments(selection),
        "unionizes": lambda: catalog.unionizes(selection, is_injection=False, missing="leave_out"),
        "matrix": lambda: _rows(lambda: catalog.matrix(rows="experiments", **every)),
        "sources of the matrix": lambda: _rows(lambda: catalog.matrix(statistic="n", hemisphere="both", **every)),
        "summary": lambda: pd.DataFrame({"experiment_id": range(catalog.summary(selection).total)}),
        "sources": lambda: search.sources("root", selection=selection),
        "targets": lambda: search.targets(["CP", "VISpm", "CM"], selection=selection),
        "injections": lambda: search.injections((8000, 1500, 8500), selection=selection),
        "correlation": lambda: search.correlation(102, structure_set=184527634, selection=selection),
    }
    if named(selection.to_dict()):
        for call in everywhere.values():
            with pytest.raises(ExcludedExperimentError):
                call()
        return
    selected = model(selection.to_dict())
    located = {row["id"] for row in EXPERIMENTS if row["injection_ap"] is not None}
    expected = {
        "sources": selected,
        "targets": selected & model({**_EVERYTHING, "projecting_to": ["CP", "VISpm", "CM"]}),
        "injections": selected & located,
        "correlation": (selected & set(PROJECTIONS)) - {102},
    }
    near = {**_EVERYTHING, "near": [8000, 1500, 8500], "radius_um": 900}
    strong = {f"target_{name}": value for name, value in STRONG.items()}
    expected |= {
        "sources of CP": selected & model({**_EVERYTHING, "injected_in": ["VISp"], "injection": "any"}),
        "strong targets": selected & model({**_EVERYTHING, "projecting_to": ["CP"], **strong}),
        "near": selected & model(near),
        "table": selected,
        "unionizes": selected & set(PROJECTIONS),
        "matrix": selected,
        "summary": set(range(len(selected))),
    }
    for name in expected:
        assert set(everywhere[name]()["experiment_id"]) == expected[name], name
    # Each experiment with a table counts for one source.
    counts = everywhere["sources of the matrix"]()
    assert counts.iloc[:, 1:2].to_numpy().sum() == len(selected & set(PROJECTIONS))


STRONG: dict[str, Any] = {"measure": "projection_volume", "threshold": 0.3, "hemisphere": "ipsilateral"}


def _rows(call: Callable[[], pd.DataFrame]) -> pd.DataFrame:
    """The frame with its index as the first column, empty where no experiment is selected."""
    try:
        frame = call()
    except EmptySelectionError:
        return pd.DataFrame({"experiment_id": [], "n": []})
    return frame.reset_index(names=["experiment_id"])


_EVERYTHING: dict[str, Any] = {"include_withdrawn": True, "include_excluded": True}


@examples(25)
@given(a=selections, b=selections)
def test_algebra_holds_for_the_ids(excluding_store: Store, a: Selection, b: Selection) -> None:
    # Which selections are errors is said above.
    a, b = _include_excluded(a), _include_excluded(b)

    def ids(selection: Selection) -> set[int]:
        return set(excluding_store.select(selection))

    of_a, of_b = ids(a), ids(b)
    assert ids(a & b) == ids(b & a) == of_a & of_b
    assert ids(a | b) == ids(b | a) == of_a | of_b
    assert ids(a - b) == of_a - of_b
    assert ids(a | a) == of_a
    assert ids(a - a) == set()
    assert ids((a - b) | (a & b)) == of_a


@examples(25)
@given(base=selections, criteria=leaves())
def test_what_narrows_a_selection_does_not_undo_what_it_includes(
    excluding_store: Store, base: Selection, criteria: Selection
) -> None:
    base, (leaf,) = _include_excluded(base), _include_excluded(criteria).leaves()
    wanted = including(base, withdrawn=leaf.include_withdrawn, excluded=leaf.include_excluded)
    everything = including(Selection.of(leaf), withdrawn=True, excluded=True)
    found = excluding_store.select(narrowed(base, leaf))
    assert set(found) == set(excluding_store.select(wanted)) & set(excluding_store.select(everything))
    assert Selection.from_json(narrowed(base, leaf).to_json()) == narrowed(base, leaf)


def _include_excluded(selection: Selection) -> Selection:
    def changed(value: dict[str, Any]) -> dict[str, Any]:
        for operator in ("and", "or", "minus"):
            if operator in value:
                return {operator: [changed(part) for part in value[operator]]}
        return {**value, "include_excluded": True} if "ids" in value else value

    value = selection.to_dict()
    version = value.pop("version")
    return Selection.from_dict({"version": version, **changed(value)})


@examples(50)
@given(selection=selections)
def test_unmeasured_are_those_on_whom_the_answer_hangs(excluding_store: Store, selection: Selection) -> None:
    # Give one experiment without projections at a time all or none of them: does the model's answer move?
    selection = _include_excluded(selection)
    doubtful = set(unmeasured(excluding_store, selection))
    assert not doubtful & set(PROJECTIONS)
    if "projecting_to" not in selection.to_json():
        assert not doubtful
        return
    settled = {id_ for id_ in ALL_IDS if id_ not in PROJECTIONS and not _moves(selection.to_dict(), id_)}
    # An experiment may be named in vain where two conditions on projections cancel out, never the other way round.
    assert not (set(ALL_IDS) - set(PROJECTIONS) - settled) - doubtful


def _moves(value: dict[str, Any], experiment: int) -> bool:
    before = experiment in model(value)
    return any((experiment in model(_assume(value, experiment, held))) != before for held in (True, False))


def _assume(value: dict[str, Any], experiment: int, held: bool) -> dict[str, Any]:
    """The selection with every condition on projections replaced by its outcome for one experiment."""
    for operator in ("and", "or", "minus"):
        if operator in value:
            return {operator: [_assume(part, experiment, held) for part in value[operator]]}
    if "projecting_to" not in value:
        return value
    rest = {name: v for name, v in value.items() if name not in _PROJECTION_CRITERIA}
    return rest if held else {**rest, "exclude_ids": [*rest.get("exclude_ids", ()), experiment]}


_PROJECTION_CRITERIA = ("projecting_to", "target_measure", "target_threshold", "target_hemisphere")


_texts = st.text(max_size=40) | st.sampled_from(["'; DROP TABLE experiment; --", "%s", ":x", "$1", "\0", "x" * 10_240])


@examples(100)
@given(text=_texts, criterion=st.sampled_from(["injected_in", "projecting_to", "line", "sex", "strain"]))
def test_any_text_is_a_value_or_a_named_error(excluding_store: Store, text: str, criterion: str) -> None:
    try:
        found = excluding_store.select(Selection.from_dict({"version": 1, criterion: text}))
    except InputError:
        return
    # Only what the catalog has gets here.
    assert found == tuple(sorted(model({criterion: [int(text) if text.isdigit() else text]})))


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*_CRITERIA, "and", "or", "minus", "near", "radius_um", "x"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(_json)
def test_any_json_is_a_selection_or_a_named_error(value: Any) -> None:
    text = json.dumps({"version": 1, **value} if isinstance(value, dict) else value)
    try:
        selection = Selection.from_json(text)
    except SelectionError:
        return
    assert Selection.from_json(selection.to_json()) == selection


def test_model_tells_experiments_apart() -> None:
    """The model itself must not be a constant: each criterion selects some and leaves some."""
    examples: list[dict[str, Any]] = [
        {"injected_in": ["VIS"]},
        {"line": ["any-cre"]},
        {"sex": ["F"]},
        {"injected_hemisphere": "left"},
        {"bilateral": True},
        {"projecting_to": ["CP"]},
        {"near": (8000, 1500, 3000), "radius_um": 500},
        {"include_excluded": True},
        {"include_withdrawn": True, "include_excluded": True, "exclude_ids": [1]},
    ]
    results = [frozenset(model(example)) for example in examples]
    assert all(0 < len(result) < len(ALL_IDS) for result in results)
    assert all(a != b for a, b in itertools.combinations(results, 2))
