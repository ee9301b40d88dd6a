"""``bsv-store report``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.running import Runner

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


def test_writes_a_page(run: Runner, filled: Path, tmp_path: Path) -> None:
    target = tmp_path / "a.html"
    done = run("report", "visual@1", "-o", target, "--title", "Visual areas", store=filled).succeeded()
    assert str(target) in done.err
    assert "<h1>Visual areas</h1>" in target.read_text("utf-8")
    run("report", "visual@1", "-o", target, store=filled).refused(2, str(target), "exists")
    run("report", "visual", "-o", target, "--overwrite", store=filled).succeeded()
    assert "<h1>visual@1</h1>" in target.read_text("utf-8")


def test_refuses_what_it_cannot_write(run: Runner, filled: Path, tmp_path: Path) -> None:
    run("report", "visual", "-o", tmp_path / "a.pdf", store=filled).refused(2, "a.pdf", ".html")
    run("report", "visuel", "-o", tmp_path / "a.html", store=filled).refused(2, "visuel")
    run("report", "visual", "-o", tmp_path / "no" / "a.html", store=filled).refused(2, "does not exist")
