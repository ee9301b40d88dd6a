from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bsv_store import check
from bsv_store.errors import InputError, RecipeError
from bsv_store.vocabulary import AXES, NORMALIZATIONS


@pytest.mark.parametrize("value", [(8, 1.5, 8.5), [8.0, 1.5, 8.5], np.array([8, 1.5, 8.5])])
def test_millimeters_are_refused_with_the_point_in_um(value: Any) -> None:
    with pytest.raises(InputError, match=r"point must be in um, got 8,1\.5,8\.5") as caught:
        check.point_um("point", value)
    assert (caught.value.hint or "").startswith("If these are mm, use 8000,1500,8500. If these are indices of voxels, ")


def test_points_in_um_are_accepted() -> None:
    assert check.point_um("point", (8000, 15, 8500)) == (8000.0, 15.0, 8500.0)
    assert not check.looks_like_mm(0, 0, 0)
    assert check.point_um("point", np.array([20, 0, 0])) == (20.0, 0.0, 0.0)
    assert check.point_um("point", (np.float32(8000.5), np.int64(15), np.array(8500))) == (8000.5, 15.0, 8500.0)
    for wrong in ((1, 2), "8000", "800", None, ("8000", "15", "8500"), (8000, True, 8500), 8000):
        with pytest.raises(InputError, match="point must be three numbers, got"):
            check.point_um("point", wrong)


@pytest.mark.parametrize("masked", [np.ma.masked, np.ma.array(5.0, mask=True)])
def test_masked_values_are_no_numbers(masked: Any) -> None:
    assert check.as_float(masked) is None
    assert check.as_float(np.ma.array(5.0, mask=False)) == 5.0
    for call in (check.finite_number, check.identifier):
        with pytest.raises(InputError):
            call("x", masked)
    with pytest.raises(InputError, match="x must be a single value or a list"):
        check.several("x", masked, such_as="1")


def test_ids_have_63_bits() -> None:
    assert check.identifier("experiment_id", np.int64(7)) == 7
    assert check.identifier("experiment_id", 2**63 - 1) == 2**63 - 1
    for wrong in (0, -1, 2**63, 10**5000, True, 1.5, "7", [10**5000]):
        with pytest.raises(InputError, match="experiment_id must be"):
            check.identifier("experiment_id", wrong)


def test_integers() -> None:
    assert check.whole_number("limit", np.int64(3), least=1) == 3
    assert check.whole_number("limit", -3) == -3
    for wrong in (0, 2.5, True, "3"):
        with pytest.raises(InputError, match="limit must be a positive integer, got"):
            check.whole_number("limit", wrong, least=1)
    with pytest.raises(InputError, match="limit must be an integer >= 2, got 1"):
        check.whole_number("limit", 1, least=2)
    with pytest.raises(InputError, match="limit must be an integer, got None"):
        check.whole_number("limit", None)


def test_finite_numbers() -> None:
    assert [check.finite_number("threshold", value) for value in (np.float32(0.5), 2, -1.5)] == [0.5, 2.0, -1.5]
    for wrong in (float("nan"), float("-inf"), 10**400, -(10**400), True, "1", None):
        with pytest.raises(InputError, match="threshold must be a finite number, got"):
            check.finite_number("threshold", wrong)


@pytest.mark.parametrize("kind", [float, np.float32, np.float64, np.float16, np.array])
def test_numbers_of_numpy_are_numbers(kind: Any) -> None:
    assert check.as_float(kind(0.5)) == 0.5
    assert check.finite_number("threshold", kind(0.5)) == 0.5
    for given in (kind(0.5), [kind(0.5)], np.array([0.5])):
        assert check.finite_numbers("at_mm", given, such_as="[5.2]") == [0.5]
    assert type(check.finite_numbers("at_mm", kind(0.5), such_as="[5.2]")[0]) is float


def test_integers_of_numpy_are_numbers() -> None:
    for kind in (int, np.int64, np.uint8, np.array):
        assert check.finite_numbers("at_mm", kind(5), such_as="[5.2]") == [5.0]
        assert check.whole_number("limit", kind(5)) == 5
        assert check.several("structures", kind(5), such_as="5") == [5]
    for wrong in (np.array("a"), np.bool_(True), np.array(True), np.complex64(1), None, {"a": 1}):
        with pytest.raises(InputError, match="at_mm must be"):
            check.finite_numbers("at_mm", wrong, such_as="[5.2]")
    with pytest.raises(InputError, match="at_mm must be a finite number, got 'a'"):
        check.finite_numbers("at_mm", ["a"], such_as="[5.2]")


def test_strings_paths_and_dates() -> None:
    assert check.text("name", "visual", such_as="visual") == "visual"
    assert check.path("file", Path("a")) == check.path("file", "a")
    assert check.past_day("day", datetime.date(2020, 7, 1)) == datetime.date(2020, 7, 1)
    with pytest.raises(RecipeError, match="name must be a string, got 3") as caught:
        check.text("name", 3, such_as="visual", error=RecipeError)
    assert caught.value.hint == "For example: 'visual'."
    with pytest.raises(InputError, match="file must be a path, got b'a'"):
        check.path("file", b"a")
    with pytest.raises(InputError, match=r"day must be a datetime\.date, got '2020'"):
        check.past_day("day", "2020")
    with pytest.raises(InputError, match="future, got 2999-01-01"):
        check.past_day("day", datetime.date(2999, 1, 1))


@pytest.mark.parametrize(
    ("value", "items"),
    [
        ("VISp", ["VISp"]),
        (385, [385]),
        (np.int64(385), [385]),
        (("VISp", 385), ["VISp", 385]),
        (np.array([1, 2]), [1, 2]),
    ],
)
def test_one_value_or_several(value: Any, items: list[Any]) -> None:
    assert check.several("structures", value, such_as="'VISp'") == items


@pytest.mark.parametrize("value", [None, 1.5, b"VISp", {"VISp": 1}])
def test_neither_one_value_nor_several(value: Any) -> None:
    with pytest.raises(InputError, match="structures must be a single value or a list"):
        check.several("structures", value, such_as="'VISp'")


def test_names_of_a_closed_list() -> None:
    assert check.choice("axis", "ap", AXES).name == "AP"
    assert check.choice("normalize", "injectionVolume", NORMALIZATIONS).name == "injection_volume"
    assert check.choice("normalize", "injection-intensity", NORMALIZATIONS).name == "injection_volume"
    with pytest.raises(
        RecipeError, match="normalize must be one of none, injection_volume, got 'injection_volum'"
    ) as caught:
        check.choice("normalize", "injection_volum", NORMALIZATIONS, error=RecipeError)
    assert caught.value.hint == "Did you mean 'injection_volume'?"
    with pytest.raises(InputError, match="axis must be one of AP, DV, ML, got 3"):
        check.choice("axis", 3, AXES)
