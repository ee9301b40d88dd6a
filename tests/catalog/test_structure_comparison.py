"""Comparisons of two groups by structure, against SciPy on the matrix by experiment."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from scipy import stats

from bsv_store import Selection, Store
from bsv_store.errors import (
    BsvStoreWarning,
    EmptySelectionError,
    InputError,
    LeftOutWarning,
    MissingDataError,
    MissingUnionizesWarning,
    RecipeError,
    UnknownStructureError,
)
from bsv_store.vocabulary import COMPARISON_ORDERS

A, B = (101, 201), (102, 103)
TARGETS = ["CM", "VISpm", "CP"]
pytestmark = pytest.mark.filterwarnings("ignore:with . and . experiments")


def compared(store: Store, a: Any = A, b: Any = B, **arguments: Any) -> Any:
    return store.compare_structures(
        a, b, **{"targets": TARGETS, "permutations": 50, "bootstrap": 50, "measure": "projection_volume", **arguments}
    )


@pytest.mark.parametrize("hemisphere", ["both", "ipsilateral", "contralateral"])
def test_values_are_those_of_scipy(small_store: Store, hemisphere: Any) -> None:
    frame = compared(small_store, hemisphere=hemisphere).set_index("structure")
    matrix = small_store.catalog.matrix(
        Selection(ids=[*A, *B]), rows="experiments", targets=TARGETS, hemisphere=hemisphere, measure="projection_volume"
    )
    a, b = matrix.loc[list(A)], matrix.loc[list(B)]
    np.testing.assert_allclose(frame["mean_a"], a.mean()[frame.index], rtol=1e-12)
    np.testing.assert_allclose(frame["difference"], (a.mean() - b.mean())[frame.index], rtol=1e-12, atol=1e-15)
    expected = stats.ttest_ind(a[frame.index], b[frame.index], equal_var=False)
    np.testing.assert_allclose(frame["t"], expected.statistic, rtol=1e-9)
    np.testing.assert_allclose(frame["p"], expected.pvalue, rtol=1e-9)
    assert set(frame["hemisphere"]) == {hemisphere}
    assert frame.attrs["n"] == [2, 2]
    assert frame.attrs["exact"]
    assert frame.attrs["permutations"] == 6
    assert frame.attrs["covariates"] == compared(small_store, covariates=None).attrs["covariates"] == []
    untested = {each.partition(" ")[0] for each in frame.attrs["without_signal"]}
    assert set(frame.index) | untested == set(TARGETS)


def test_several_hemispheres_are_one_family_of_tests(small_store: Store) -> None:
    frame = compared(small_store, hemisphere=["ipsilateral", "contralateral"])
    assert set(frame["hemisphere"]) == {"ipsilateral", "contralateral"}
    assert frame.attrs["tests"] == len(frame)
    alone = compared(small_store, hemisphere="ipsilateral").set_index("structure")["p_max_t"]
    together = frame[frame["hemisphere"] == "ipsilateral"].set_index("structure")["p_max_t"]
    assert (together[alone.index] >= alone).all()


def test_confidence_may_be_a_number_of_numpy_and_is_checked_before_the_tables(small_store: Store) -> None:
    frame = compared(small_store, confidence=np.float32(0.5))
    assert json.loads(frame.attrs["recipe"])["comparison"]["confidence"] == 0.5
    with pytest.raises(InputError, match="confidence must be a number between 0 and 1, got 1"):
        compared(small_store, (1, 2), confidence=1)


def test_the_fingerprint_identifies_result_and_inputs(small_store: Store) -> None:
    frame = compared(small_store, labels=["one", "other"], seed=3)
    recipe = json.loads(frame.attrs["recipe"])
    assert recipe["comparison"]["seed"] == 3
    assert [group["label"] for group in recipe["grouping"]["groups"]] == ["one", "other"]
    assert frame.attrs["labels"] == ["one", "other"]
    assert frame.attrs["experiment_ids"] == [list(A), list(B)]
    same = compared(small_store, labels=["one", "other"], seed=3, limit=1, sort_by="difference")
    assert same.attrs["fingerprint"] == frame.attrs["fingerprint"]
    assert len(same) == 1
    assert same.attrs["tests"] == frame.attrs["tests"]
    others = [
        compared(small_store, labels=["one", "other"], seed=4),
        compared(small_store, (101, 103), (102, 201), labels=["one", "other"], seed=3),
    ]
    assert len({frame.attrs["fingerprint"], *(each.attrs["fingerprint"] for each in others)}) == 3


@pytest.mark.parametrize("order", COMPARISON_ORDERS)
def test_rows_are_sorted(small_store: Store, order: Any) -> None:
    column = {"p": "p_permutation", "effect_size": "effect_size", "difference": "difference"}[order]
    values = compared(small_store, sort_by=order, targets=None, structure_set=184527634, include_sources=True)[column]
    assert len(set(values)) > 1
    key = values if order == "p" else -values.abs()
    assert key.is_monotonic_increasing


def test_experiments_without_table_are_left_out_and_named(small_store: Store) -> None:
    without = next(each for each in small_store.select() if each not in (*A, *B, 105))
    with pytest.warns(MissingUnionizesWarning):
        frame = compared(small_store, b=(*B, without))
    assert frame.attrs["without_unionizes"] == [without]
    assert frame.attrs["n"] == [2, 2]
    with pytest.raises(MissingDataError):
        compared(small_store, b=(*B, without), missing="error")
    with pytest.raises(RecipeError, match="'b' has 1 experiment with data") as caught:
        compared(small_store, b=(103, without))
    assert f"Left out: {without} (the unionize table is not in the store)" in str(caught.value.hint)


def test_too_few_animals_are_warned_about(small_store: Store) -> None:
    with pytest.warns(BsvStoreWarning, match=r"with 2 and 2 experiments .* is 0\.33"):
        compared(small_store)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"b": (101, 102)}, RecipeError, "'a', 'b' have 1 experiment in common: 101"),
        ({"b": Selection(injected_in="VISp", max_injection_volume=0.0001)}, EmptySelectionError, "no experiment"),
        ({"b": (102,)}, RecipeError, "'b' has 1 experiment with data"),
        ({"targets": "nosuch"}, UnknownStructureError, "nosuch"),
        ({"measure": "size"}, InputError, "measure must be one of"),
        ({"hemisphere": []}, InputError, "hemisphere must not be empty"),
        ({"covariates": "age"}, RecipeError, "covariates must be one of"),
        ({"seed": 0.5}, InputError, "seed must be an integer"),
        ({"seed": None}, InputError, "seed must be an integer"),
        ({"confidence": 95}, InputError, "confidence must be a number between 0 and 1"),
        ({"bootstrap": 2**40}, RecipeError, "bootstrap must be at most 1,000,000"),
        ({"permutations": 2**40}, RecipeError, "permutations must be at most 1,000,000"),
        ({"sort_by": "name"}, InputError, "sort_by must be one of"),
        ({"limit": 0}, InputError, "limit"),
        ({"within": "CP", "targets": "CM"}, InputError, "no structures to compare"),
        ({"covariates": ["injection_volume", "AP", "ML"]}, RecipeError, "cannot be compared with 3 covariates"),
    ],
)
def test_what_cannot_be_compared_is_an_error(
    small_store: Store, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        compared(small_store, **arguments)


def test_experiments_without_covariate_are_left_out(small_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"injection_ap": {101: 8100.0, 102: 8000.0, 103: 7000.0}}
    monkeypatch.setattr("bsv_store.averaging.inputs.known_covariates", lambda *_: known)
    with pytest.raises(RecipeError, match="'a' has 1 experiment with data") as caught:
        compared(small_store, covariates="AP")
    assert "Left out: 201 (the AP injection coordinate is not known)" in str(caught.value.hint)
    known["injection_ap"][301] = 7500.0
    with pytest.warns(LeftOutWarning, match="AP injection coordinate is not known: 201"):
        frame = compared(small_store, (101, 201, 301), covariates="AP")
    assert (frame.attrs["without_covariate"], frame.attrs["n"]) == ([201], [2, 2])
    with pytest.raises(MissingDataError, match="AP injection coordinate is not known: 1 experiment, 201"):
        compared(small_store, covariates="AP", missing="error")
