"""Progress bars by default: in notebooks and terminals, and only there."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest

from bsv_store import NO_PROGRESS
from bsv_store.progress import NotebookBar, TerminalBar, shown_progress


class _Display:
    def __init__(self) -> None:
        self.states: list[str] = []

    def __call__(self, value: Any, *, display_id: bool) -> _Display:
        assert display_id
        self.states.append(value)
        return self

    def update(self, value: Any) -> None:
        self.states.append(value)


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> _Display:
    """A stand-in for IPython in the kernel of a notebook."""
    shown = _Display()
    package, display = ModuleType("IPython"), ModuleType("IPython.display")
    shell = type("Shell", (), {"kernel": object()})()
    vars(package).update(get_ipython=lambda: shell, display=display)
    vars(display).update(display=shown, HTML=str)
    monkeypatch.setitem(sys.modules, "IPython", package)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    return shown


def _terminal(monkeypatch: pytest.MonkeyPatch, *, is_one: bool) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_one, raising=False)


def test_there_is_no_bar_where_nobody_sees_it(monkeypatch: pytest.MonkeyPatch) -> None:
    _terminal(monkeypatch, is_one=False)
    assert shown_progress(None) is NO_PROGRESS


def test_a_terminal_shows_one(monkeypatch: pytest.MonkeyPatch) -> None:
    _terminal(monkeypatch, is_one=True)
    assert isinstance(shown_progress(None), TerminalBar)


def test_the_argument_wins(monkeypatch: pytest.MonkeyPatch, notebook: _Display) -> None:
    _terminal(monkeypatch, is_one=True)
    assert shown_progress(NO_PROGRESS) is NO_PROGRESS


def test_the_setting_switches_it_off_and_on(monkeypatch: pytest.MonkeyPatch) -> None:
    _terminal(monkeypatch, is_one=True)
    monkeypatch.setenv("BSV_STORE_PROGRESS", "off")
    assert shown_progress(None) is NO_PROGRESS
    monkeypatch.setenv("BSV_STORE_PROGRESS", "auto")
    assert isinstance(shown_progress(None), TerminalBar)
    _terminal(monkeypatch, is_one=False)
    monkeypatch.setenv("BSV_STORE_PROGRESS", "on")
    assert isinstance(shown_progress(None), TerminalBar)


def test_a_terminal_bar_is_drawn_and_ends_with_the_operation(capsys: pytest.CaptureFixture[str]) -> None:
    bar = TerminalBar()
    bar.start(2, "fetching\x1b[31m")
    bar.advance(2, size_bytes=5_000_000)
    bar.finish()
    bar.finish()
    err = capsys.readouterr().err
    assert "2/2" in err
    assert "5.0 MB" in err
    assert "\x1b[31m" not in err


def test_a_notebook_shows_html(notebook: _Display) -> None:
    bar = shown_progress(None)
    assert isinstance(bar, NotebookBar)
    bar.start(3, "volumes <script>")
    for _ in range(3):
        bar.advance(size_bytes=1_000_000)
    bar.finish()
    bar.advance()
    assert 'value="0" max="3"' in notebook.states[0]
    assert "3/3" in notebook.states[-1]
    assert "3.0 MB" in notebook.states[-1]
    assert all("<script>" not in state for state in notebook.states)
