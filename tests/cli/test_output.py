"""Tables, JSON and CSV: how values are written."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bsv_store_cli.output.formats import frame_rows, plain, print_facts, print_json, print_rows
from bsv_store_cli.output.messages import note, printable
from bsv_store_cli.output.tables import Column, cell, count, day_time, fixed, number_of, table_text


@dataclass(frozen=True)
class _Point:
    ap: int
    where: Path


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (3, 3),
        (0.5, 0.5),
        (float("nan"), None),
        (float("-inf"), None),
        ("text", "text"),
        (np.int64(3), 3),
        (np.float32(0.5), 0.5),
        (np.bool_(True), True),
        (date(2020, 7, 1), "2020-07-01"),
        (datetime(2020, 7, 1, 12, tzinfo=UTC), "2020-07-01T12:00:00+00:00"),
        (datetime(2020, 7, 1, 12, tzinfo=timezone(timedelta(hours=-8))), "2020-07-01T20:00:00+00:00"),
        (Path("a") / "b", str(Path("a") / "b")),
        (b"\x00\xff", "00ff"),
        ((1, [2]), [1, [2]]),
        ({"a": _Point(5, Path("x"))}, {"a": {"ap": 5, "where": "x"}}),
        (timedelta(seconds=1), "0:00:01"),
    ],
)
def test_values_become_what_json_knows(value: Any, expected: Any) -> None:
    assert plain(value) == expected
    json.dumps(plain(value), allow_nan=False)


def test_rows_of_a_frame_have_none_for_what_is_missing() -> None:
    frame = pd.DataFrame(
        {
            "i": pd.array([1, None], dtype="Int64"),
            "f": [0.5, np.nan],
            "b": pd.array([True, None], dtype="boolean"),
            "t": ["x", None],
        }
    )
    assert frame_rows(frame) == [
        {"i": 1, "f": 0.5, "b": True, "t": "x"},
        {"i": None, "f": None, "b": None, "t": None},
    ]


@pytest.mark.parametrize(
    ("show", "value", "expected"),
    [
        (cell, None, ""),
        (cell, True, "yes"),
        (cell, False, "no"),
        (cell, 9100000001, "9100000001"),
        (cell, 0.123456789, "0.123457"),
        (cell, "a\tb", r"a\tb"),
        (count, 1234567, "1,234,567"),
        (count, None, ""),
        (fixed(4), 0.20427888, "0.2043"),
        (fixed(4), 0.00001234, "1e-05"),
        (fixed(4), 0.0, "0.0000"),
        (fixed(1), -8075.04, "-8075.0"),
        (fixed(1), None, ""),
        (day_time, "2020-07-01T12:34:56+00:00", "2020-07-01 12:34Z"),
        (day_time, None, ""),
    ],
)
def test_cells(show: Callable[[Any], str], value: Any, expected: str) -> None:
    assert show(value) == expected


def test_numbers_are_aligned_to_the_right_and_text_to_the_left() -> None:
    rows = [{"n": 5, "t": "a", "f": None}, {"n": 1000, "t": "bbb", "f": 0.5}]
    columns = [Column("n", "n"), Column("t", "text"), Column("f", "f", fixed(2))]
    assert table_text(rows, columns).splitlines() == [
        "   n  text     f",
        "────────────────",
        "   5  a",
        "1000  bbb   0.50",
    ]


def test_columns_without_anything_to_say_are_left_out() -> None:
    columns = [Column("a", "a"), Column("b", "b", optional=True)]
    assert table_text([{"a": 1, "b": None}, {"a": 2, "b": False}], columns).splitlines()[0] == "a"
    assert table_text([{"a": 1, "b": True}], columns).splitlines()[0] == "a  b"


def test_wide_and_combining_characters_keep_the_columns_straight() -> None:
    rows = [{"t": "脳", "n": 1}, {"t": "e\u0301", "n": 2}, {"t": "abc", "n": 3}]
    lines = table_text(rows, [Column("t", "t"), Column("n", "n")]).splitlines()
    assert lines[2:] == ["脳   1", "e\u0301    2", "abc  3"]


def test_no_rows_no_table(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows([], "table", columns=["a"], title="Nothing")
    assert capsys.readouterr().out == ""


def test_facts_without_a_value_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    print_facts([("Name", "x\x1b[1m"), ("Tags", None), ("Long name", 3)])
    assert capsys.readouterr().out == "Name       x\\x1b[1m\nLong name  3\n"


def test_json_is_ascii_and_csv_is_exact(capsys: pytest.CaptureFixture[str]) -> None:
    text = 'a "µ"\n\u202e\x1b[31m,'
    print_json({"t": text})
    out = capsys.readouterr().out
    assert out.isascii()
    assert json.loads(out) == {"t": text}
    print_rows([{"t": text, "n": None}], "csv", columns=["t", "n"])
    assert capsys.readouterr().out == 't,n\n"a ""µ""\n\u202e\x1b[31m,",\n'


def test_csv_on_a_terminal_cannot_steer_it(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    print_rows([{"t": "\x1b[31m\u202e"}], "csv", columns=["t"])
    assert capsys.readouterr().out == "t\n\\x1b[31m\\u202e\n"


def test_talk_keeps_lines_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    note("a\nb\x1b[0m\r\u2066")
    assert capsys.readouterr() == ("", "a\nb\\x1b[0m\\r\\u2066\n")
    assert printable("µm ─ 脳") == "µm ─ 脳"
    # A file name that is no UTF-8.
    assert printable("x\udcff") == r"x\udcff"


def test_numbers_of_things() -> None:
    assert [number_of(n, "row") for n in (0, 1, 2992)] == ["0 rows", "1 row", "2,992 rows"]
