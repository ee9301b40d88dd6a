"""Members of an average in each form in which they are recorded."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from bsv_store.averaging.members import (
    MEMBER_COLUMNS,
    Member,
    ids_by_group,
    in_order,
    is_finite_number,
    members_frame,
    members_from_json,
    members_to_json,
    without_weights,
)
from bsv_store.errors import FormatError

VOLUME, FRACTION, MASK = "a" * 64, "b" * 64, "c" * 64
FULL = Member(
    7,
    2,
    divisor=0.5,
    injected_hemisphere="left",
    array_sha256=VOLUME,
    injection_fraction_sha256=FRACTION,
    data_mask_sha256=MASK,
    divisor_source="list",
    weight=0.25,
)
FULL_JSON: dict[str, Any] = {
    "experiment_id": 7,
    "group": 2,
    "divisor": 0.5,
    "injected": "left",
    "volume": VOLUME,
    "exclude": FRACTION,
    "weights": MASK,
    "divisor_source": "list",
}
PLAIN = Member(8, 0, divisor=1.0, array_sha256=VOLUME)
PLAIN_JSON: dict[str, Any] = {
    "experiment_id": 8,
    "group": 0,
    "divisor": 1.0,
    "injected": None,
    "volume": VOLUME,
    "exclude": None,
    "weights": None,
}
LEFT_OUT = Member(9, reason="no volume")
LEFT_OUT_JSON = {"experiment_id": 9, "reason": "no volume"}


@pytest.mark.parametrize(
    ("member", "value"), [(replace(FULL, weight=None), FULL_JSON), (PLAIN, PLAIN_JSON), (LEFT_OUT, LEFT_OUT_JSON)]
)
def test_the_json_of_a_member(member: Member, value: dict[str, Any]) -> None:
    assert member.to_json() == value
    assert Member.from_json(value) == member


def test_the_row_of_a_member_is_its_inverse() -> None:
    row = FULL.to_row()
    assert row == (7, 2, None, 0.5, "left", VOLUME, FRACTION, MASK, "list", 0.25)
    assert Member(*row) == FULL


def test_the_names_of_a_field_in_each_form() -> None:
    names = [
        (each.field, each.name, each.table, each.json, each.dtype, each.in_file, each.is_optional)
        for each in MEMBER_COLUMNS
    ]
    assert names == [
        ("experiment_id", "experiment_id", "experiment_id", "experiment_id", "int64", False, False),
        ("group", "group", "group_number", "group", "Int64", True, False),
        ("reason", "left_out_reason", "left_out_reason", None, "object", True, False),
        ("divisor", "divisor", "divisor", "divisor", "Float64", True, False),
        ("injected_hemisphere", "injected_hemisphere", "injected_hemisphere", "injected", "object", True, False),
        ("array_sha256", "array_sha256", "array_sha256", "volume", "object", True, False),
        (
            "injection_fraction_sha256",
            "injection_fraction_sha256",
            "injection_fraction_sha256",
            "exclude",
            "object",
            False,
            False,
        ),
        ("data_mask_sha256", "data_mask_sha256", "data_mask_sha256", "weights", "object", False, False),
        ("divisor_source", "divisor_source", "divisor_source", "divisor_source", "object", False, True),
        ("weight", "weight", "weight", None, "Float64", False, False),
    ]
    words = {each.field: each.words for each in MEMBER_COLUMNS}
    assert words["group"] == "number of the group, -1 = left out"
    assert words["weight"] == ""
    # What a result file has is described there.
    assert all(words[each.field] for each in MEMBER_COLUMNS if each.in_file)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (3, "a member must be an object, got 3"),
        ({}, "experiment_id must be a positive integer, got None"),
        ({**PLAIN_JSON, "experiment_id": True}, "experiment_id must be a positive integer, got True"),
        ({**PLAIN_JSON, "experiment_id": 0}, "experiment_id must be a positive integer, got 0"),
        ({**PLAIN_JSON, "experiment_id": 2**63}, "experiment_id must be a positive integer"),
        ({**PLAIN_JSON, "color": 1}, "must have exactly the keys divisor, exclude, experiment_id, group"),
        ({"experiment_id": 8, "group": 0}, "must have exactly the keys divisor, exclude, experiment_id, group"),
        ({**LEFT_OUT_JSON, "divisor_source": "list"}, "must have exactly the keys experiment_id, reason"),
        ({**LEFT_OUT_JSON, "reason": ""}, "experiment 9: reason is not valid, got ''"),
        ({**LEFT_OUT_JSON, "reason": None}, "reason is not valid"),
        ({**LEFT_OUT_JSON, "reason": "two\nlines"}, "reason is not valid"),
        ({**LEFT_OUT_JSON, "reason": "x" * 10_001}, "reason is not valid"),
        ({**PLAIN_JSON, "group": -1}, "group is not valid, got -1"),
        ({**PLAIN_JSON, "group": True}, "group is not valid"),
        ({**PLAIN_JSON, "group": None}, "group is not valid"),
        ({**PLAIN_JSON, "divisor": 0}, "divisor is not valid, got 0"),
        ({**PLAIN_JSON, "divisor": float("inf")}, "divisor is not valid"),
        ({**PLAIN_JSON, "divisor": None}, "divisor is not valid"),
        ({**PLAIN_JSON, "divisor": True}, "divisor is not valid"),
        ({**PLAIN_JSON, "injected": "middle"}, "injected is not valid, got 'middle'"),
        ({**PLAIN_JSON, "injected": ["left"]}, "injected is not valid"),
        ({**PLAIN_JSON, "volume": None}, "volume is not valid, got None"),
        ({**PLAIN_JSON, "volume": "a" * 63}, "volume is not valid"),
        ({**PLAIN_JSON, "volume": 3}, "volume is not valid"),
        ({**PLAIN_JSON, "exclude": "b"}, "exclude is not valid"),
        ({**PLAIN_JSON, "weights": 1}, "weights is not valid"),
        ({**PLAIN_JSON, "divisor_source": None}, "divisor_source is not valid"),
        ({**PLAIN_JSON, "divisor_source": "unionize"}, "divisor_source is not valid"),
        ({**PLAIN_JSON, "divisor_source": ["list"]}, "divisor_source is not valid"),
    ],
)
def test_what_is_not_a_member_is_refused(value: Any, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        Member.from_json(value)


def test_limits_of_values_are_values() -> None:
    assert Member.from_json({**PLAIN_JSON, "experiment_id": 2**63 - 1, "group": 1, "divisor": 0.5}).group == 1
    assert Member.from_json({**PLAIN_JSON, "experiment_id": 1, "divisor": 1}).experiment_id == 1
    for reason in ("x", "x" * 10_000):
        assert Member.from_json({**LEFT_OUT_JSON, "reason": reason}).reason == reason


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1, True), (-0.5, True), (float("nan"), False), (float("-inf"), False), (True, False), ("1", False)],
)
def test_a_finite_number_of_json(value: object, expected: bool) -> None:
    assert is_finite_number(value) is expected


def test_members_are_recorded_apart_from_those_left_out_with_their_weights() -> None:
    light = replace(PLAIN, weight=1.0)
    recorded = {"members": [FULL_JSON, PLAIN_JSON], "left_out": [LEFT_OUT_JSON], "weights": [0.25, 1.0]}
    assert members_to_json([FULL, LEFT_OUT, light]) == recorded
    assert members_from_json(recorded) == (FULL, light, LEFT_OUT)
    found = members_from_json({**recorded, "weights": [0.25, 1]})
    assert type(found[1].weight) is float
    plain = {"members": [PLAIN_JSON], "left_out": []}
    assert members_to_json([PLAIN]) == plain
    assert members_from_json(plain) == (PLAIN,)
    assert without_weights([FULL, LEFT_OUT]) == (replace(FULL, weight=None), LEFT_OUT)


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("members", {}, "members and left_out must be lists"),
        ("left_out", None, "members and left_out must be lists"),
        ("weights", None, "the weights must be a list of 1 numbers, one for each member, got None"),
        ("weights", [], "the weights must be a list of 1 numbers"),
        ("weights", [0.5, 0.5], "the weights must be a list of 1 numbers"),
        ("weights", [0], "a weight must be above 0 and at most 1, got 0"),
        ("weights", [1.5], "a weight must be above 0 and at most 1, got 1.5"),
        ("weights", [True], "a weight must be above 0 and at most 1, got True"),
    ],
)
def test_what_are_not_members_is_refused(part: str, value: Any, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        members_from_json({"members": [PLAIN_JSON], "left_out": [LEFT_OUT_JSON], part: value})


def test_members_in_order_and_by_group() -> None:
    other = replace(PLAIN, experiment_id=3)
    assert in_order([LEFT_OUT, PLAIN, other]) == (other, PLAIN, LEFT_OUT)
    assert ids_by_group([other, FULL, PLAIN, LEFT_OUT]) == {0: [3, 8], 2: [7]}


def test_the_table_of_members() -> None:
    frame = members_frame([FULL, PLAIN, LEFT_OUT], {0: "front", 2: "back"})
    assert list(frame)[:4] == ["experiment_id", "group", "group_label", "left_out_reason"]
    assert {name: str(dtype) for name, dtype in frame.dtypes.items() if str(dtype) not in ("object", "str")} == {
        "experiment_id": "int64",
        "group": "Int64",
        "divisor": "Float64",
        "weight": "Float64",
    }
    assert list(frame["experiment_id"]) == [7, 8, 9]
    assert list(frame["group_label"][:2]) == ["back", "front"]
    assert list(frame["weight"].isna()) == [False, True, True]
    missing = frame.iloc[2].drop(["experiment_id", "left_out_reason"])
    assert pd.isna(missing).all()
