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

from bsv_store.acquisition.sync import UnionizeSyncReport
from bsv_store.text import printable
from bsv_store_cli.output.formats import frame_rows, plain, print_facts, print_json, print_rows
from bsv_store_cli.output.messages import note
from bsv_store_cli.output.reports import note_summaries
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


def _longest(text: str) -> int:
    return max(map(len, text.splitlines()))


TEXT = "an injection that reached the white matter below the cortex, and possibly the ventricle"


def test_texts_of_a_wide_table_are_folded_at_blanks() -> None:
    rows = [{"n": 1, "a": TEXT, "b": "short"}, {"n": 2, "a": "short", "b": TEXT}]
    text = table_text(rows, [Column("n", "n"), Column("a", "a"), Column("b", "b")], width=60)
    assert _longest(text) <= 60
    lines = text.splitlines()
    assert lines[2].split()[:3] == ["1", "an", "injection"]
    # Nothing is lost.
    assert sorted(" ".join(lines[2:]).split()) == sorted(f"1 2 {TEXT} {TEXT} short short".split())
    assert table_text(rows, [Column("n", "n"), Column("a", "a"), Column("b", "b")], width=400).count("\n") == 3


def test_a_column_of_sentences_is_folded_in_files_too() -> None:
    row = {"n": 1, "note": "the volumes are not in the store: " + ", ".join(map(str, range(101, 130))), "end": "x"}
    columns = [Column("n", "n"), Column("note", "note", whole=True, widest=30), Column("end", "end")]
    lines = table_text([row], columns).splitlines()
    assert lines[0] == f"n  {'note':30}  end"
    assert lines[2] == f"1  {'the volumes are not in the':30}  x"
    assert max(map(len, lines)) == 38
    assert " ".join(line[3:33].strip() for line in lines[2:]) == row["note"]
    assert lines == table_text([row], columns, width=200).splitlines()
    # A short one takes no more space than it needs.
    assert table_text([{**row, "note": "none"}], columns).splitlines()[0] == "n  note  end"


def test_a_text_without_blanks_is_folded_and_a_very_long_one_shortened() -> None:
    (row,) = table_text([{"n": 1, "a": "x" * 50}], [Column("n", "n"), Column("a", "a")], width=53).splitlines()[2:]
    assert row.endswith("x" * 50)
    folded = table_text([{"n": 1, "a": "x" * 50}], [Column("n", "n"), Column("a", "a")], width=23)
    assert (folded.count("x"), _longest(folded)) == (50, 23)
    shortened = table_text([{"n": 1, "a": "x" * 5000}], [Column("n", "n"), Column("a", "a")], width=23)
    assert (len(shortened.splitlines()), shortened.count("…"), _longest(shortened)) == (2 + 8, 1, 23)
    whole = table_text([{"n": 1, "a": "x" * 5000}], [Column("n", "n"), Column("a", "a", whole=True)], width=23)
    assert (whole.count("x"), whole.count("…"), _longest(whole)) == (5000, 0, 23)
    wide = table_text([{"n": 1, "a": "脳" * 30}], [Column("n", "n"), Column("a", "a")], width=23)
    assert (wide.count("脳"), _longest(wide.partition("\n")[2].partition("\n")[2])) == (30, 3 + 10)


def test_one_row_of_many_columns_becomes_one_line_per_column() -> None:
    names = [f"ipsilateral S{number}" for number in range(632)]
    row = {"source": "VISp", **{name: number / 7 for number, name in enumerate(names)}}
    text = table_text([row], [Column(name, name) for name in row], width=80)
    lines = text.splitlines()
    assert (len(lines), lines[0].split()) == (2 + 632, ["source", "VISp"])
    assert lines[-1].split() == ["ipsilateral", "S631", "90.1429"]
    assert _longest(text) <= 80


def test_many_rows_of_many_columns_become_several_tables() -> None:
    rows = [{"source": f"R{row}", **{f"S{number}": row * number for number in range(100)}} for row in range(200)]
    text = table_text(rows, [Column(name, name) for name in rows[0]], width=80)
    assert _longest(text) <= 80
    parts = [part.splitlines() for part in text.split("\n\n")]
    assert len(parts) > 5
    assert {len(part) for part in parts} == {202}
    assert {part[0].split()[0] for part in parts} == {"source"}
    assert [name for part in parts for name in part[0].split()[1:]] == [f"S{number}" for number in range(100)]
    assert [cell for part in parts for cell in part[-1].split()[1:]] == [str(199 * number) for number in range(100)]


@pytest.mark.parametrize(("columns", "width"), [("60", 60), ("200", 200), (None, 80)])
def test_the_terminal_determines_the_width(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: str | None, width: int
) -> None:
    monkeypatch.delenv("COLUMNS")
    if columns is None:
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    else:
        monkeypatch.setenv("COLUMNS", columns)
    rows = [{"n": 1, "a": "word " * 100}]
    print_rows(rows, "table", columns=["n", "a"])
    assert width - 6 < _longest(capsys.readouterr().out) <= width
    print_rows(rows, "csv", columns=["n", "a"])
    assert _longest(capsys.readouterr().out) > 480


def test_a_pipe_gets_one_line_for_each_row(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS")
    rows = [{"n": number, "a": "word " * 100, **{f"S{each}": each for each in range(60)}} for number in range(3)]
    print_rows(rows, "table", columns=list(rows[0]))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 + 2
    assert lines[0].split()[-1] == "S59"


def test_spare_columns_are_omitted_before_anything_is_folded() -> None:
    rows = [{"a": 1, "b": "x" * 20, "c": "y" * 20, "d": "z" * 20}]
    columns = [Column("a", "a"), Column("b", "b", spare=True), Column("c", "c"), Column("d", "d", spare=True)]
    for width, headings in ((80, "a b c d"), (60, "a b c"), (30, "a c"), (20, "a c")):
        assert table_text(rows, columns, width=width).splitlines()[0].split() == headings.split()


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


@pytest.mark.parametrize(
    ("count", "end"), [(10, "note 9"), (11, "1 more contradiction"), (12, "2 more contradictions")]
)
def test_of_many_contradictions_the_first_are_printed(count: int, end: str, capsys: pytest.CaptureFixture[str]) -> None:
    notes = tuple(f"note {number}" for number in range(count))
    note_summaries([UnionizeSyncReport((1,), (), (), rows=1, downloaded_bytes=1, notes=notes)])
    _, *printed = capsys.readouterr().err.splitlines()
    assert printed[:10] == list(notes[:10])
    assert printed[-1].partition(";")[0] == end
