"""Names cannot control a terminal, reverse a line or hide text: they are escaped for display, unchanged as data."""

from __future__ import annotations

import json
import logging
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from bsv_store import html
from bsv_store.reports.html_page.markup import element
from bsv_store.server.run import _SafeFormatter
from bsv_store.text import printable, shown, visible
from bsv_store_cli.logs import _JsonFormatter, _TextFormatter
from tests.cli.running import Runner
from tests.server.serving import serving

if TYPE_CHECKING:
    from bsv_store import Store

HOSTILE = {
    "color": "\x1b[31mred\x1b[0m",
    "title of the terminal": "\x1b]0;owned\x07",
    "link of the terminal": "\x1b]8;;http://evil.example\x1b\\here\x1b]8;;\x1b\\",
    "C1": "\x9b31m\x9d0;owned\x9c",
    "start of line": "all well\rbad",
    "new line": "name\nERROR forged line",
    "backspace": "good\b\b\b\bevil",
    "form feed": "a\x0cb",
    "NUL": "a\0b",
    "delete": "a\x7fb",
    "override": "\u202egnp.exe",
    "embedding": "\u202aa\u202b",
    "isolate": "\u2066a\u2067b\u2068c\u2069",
    "marks": "a\u200e\u200f\u061cb",
    "zero width": "VI\u200bSp\u200c\u200d\u2060",
    "byte order mark": "\ufeffVISp",
    "soft hyphen": "VI\u00adSp",
    "tags": "a\U000e0041\U000e0042",
    "line separator": "a\u2028b\u2029c",
    "annotation": "a\ufff9b\ufffac\ufffb",
}
TEXT = " ".join(HOSTILE[each] for each in HOSTILE if each != "NUL")


def assert_harmless(text: str, *, keep: str = "\n\t") -> None:
    found = {each for each in text if unicodedata.category(each) in ("Cc", "Cf", "Cs", "Zl", "Zp")} - set(keep)
    assert not found, ascii(text)


def _record(text: str) -> logging.LogRecord:
    try:
        raise ValueError(text)
    except ValueError as error:
        exc_info = type(error), error, error.__traceback__
    return logging.LogRecord("a", logging.ERROR, "a.py", 1, "request failed: %s", (text,), exc_info)


OUTPUTS: dict[str, Callable[[str], str]] = {
    "message": printable,
    "value in an error": shown,
    "HTML": lambda text: element("p", text, title=text),
    "HTML of lists": lambda text: element("ul", [element("li", text)], text),
    "notebook": lambda text: html.card(text, "".join([html.paragraph(text), html.preformatted(text)]), kind=text),
    "table in a notebook": lambda text: html.table([text], [[text]]),
    "log": lambda text: _TextFormatter().format(_record(text)),
    "log as JSON": lambda text: _JsonFormatter().format(_record(text)),
    "log of the server": lambda text: _SafeFormatter("%(levelname)s %(message)s").format(_record(text)),
}


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("what", HOSTILE)
def test_what_people_read_is_harmless(output: str, what: str) -> None:
    assert_harmless(OUTPUTS[output](HOSTILE[what]))


@given(st.text())
def test_every_text_is_harmless(text: str) -> None:
    assert_harmless(printable(text), keep="")
    assert_harmless(visible(text))


@pytest.mark.parametrize("text", ["VISp", "Größe 5 µm", "脳 😀", "a\u00a0b\u202fc\u2009d", "é e\u0301", "a\nb\tc"])
def test_usual_text_is_unchanged_in_pages(text: str) -> None:
    assert visible(text) == text


def test_a_line_of_a_log_cannot_be_forged() -> None:
    assert "\n" not in _TextFormatter().format(_record("a\nERROR forged"))
    assert "\n" not in _JsonFormatter().format(_record("a\nERROR forged"))


# -- a store whose names are hostile ----------------------------------------------------------------------------------


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Runner:
    return Runner(capsys, monkeypatch)


@pytest.fixture
def hostile(filled: Store) -> Store:
    """What a source, or an account that can write to the database, may have stored."""
    with filled.database.writing() as connection:
        connection.exec_driver_sql("UPDATE structure SET name = ? || id", (TEXT,))
        connection.exec_driver_sql("UPDATE transgenic_line SET name = ? || id", (TEXT,))
        connection.exec_driver_sql(
            "INSERT INTO exclusion (experiment_id, reason, excluded_at, excluded_by)"
            " VALUES (7, ?, '2026-01-01 00:00:00', ?)",
            (TEXT, TEXT),
        )
    return filled


COMMANDS = (
    ("structures", "show", "VISp"),
    ("structures", "tree", "VIS"),
    ("structures", "path", "VISp"),
    ("structures", "find", "VISp"),
    ("exclude", "list"),
    ("select",),
    ("status",),
    ("activity",),
    ("sql", "select name from structure"),
    ("sql", 'select :a as "b\u202e"', "--param", f"a={TEXT}"),
)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_commands_show_hostile_names_harmlessly(hostile: Store, run: Runner) -> None:
    for arguments in COMMANDS:
        done = run(*arguments, store=hostile.path)
        assert done.code == 0, done.err
        assert_harmless(done.out)
        assert_harmless(done.err)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_data_are_unchanged(hostile: Store, run: Runner) -> None:
    (row, *_) = json.loads(run("structures", "show", "VISp", "--format", "json", store=hostile.path).succeeded().out)
    assert row["name"] == f"{TEXT}385"
    (row, *_) = run("exclude", "list", "--format", "csv", store=hostile.path).succeeded().rows
    assert row["reason"] == TEXT


@pytest.mark.parametrize("text", [*HOSTILE.values(), TEXT])
def test_arguments_are_shown_harmlessly(
    run: Runner, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The log has that name.
    monkeypatch.chdir(tmp_path)
    for arguments in (("--store", text, "status"), ("config", "get", text), (text,), ("--log-file", text, "status")):
        if "\0" in text:
            continue
        done = run(*arguments)
        assert done.code != 0
        assert_harmless(done.out)
        assert_harmless(done.err)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_pages_show_hostile_names_harmlessly(hostile: Store) -> None:
    with serving(hostile) as url:
        for path in ("/", "/structures", "/experiments", "/experiments/1", f"/login?next={requests.utils.quote(TEXT)}"):  # type: ignore[attr-defined]
            reply = requests.get(f"{url}{path}", headers={"Accept": "text/html"}, timeout=20)
            assert reply.status_code == 200, path
            # Data for scripts are JSON with escapes.
            assert_harmless(reply.text)
        for header in requests.get(f"{url}/experiments", timeout=20).headers.items():
            assert_harmless("".join(header), keep="")


def test_figures_show_hostile_names_harmlessly(tmp_path: Path) -> None:
    figures = pytest.importorskip("matplotlib.figure")
    from bsv_store.figures.style import save_figure

    figure = figures.Figure()
    axes = figure.subplots()
    axes.set_title(HOSTILE["override"])
    axes.set_xticks([0.0, 1.0], [HOSTILE["zero width"], HOSTILE["isolate"]])
    text = save_figure(figure, tmp_path / "a.svg").read_text(encoding="utf-8")
    assert_harmless(re.sub(r"\s", " ", text))
    assert "gnp.exe" in text
