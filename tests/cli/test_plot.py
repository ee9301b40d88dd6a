"""``bsv-store plot``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.running import Runner

pytest.importorskip("matplotlib", reason="the extra `plot` is not installed")


def test_draws_a_figure(run: Runner, filled: Path, tmp_path: Path) -> None:
    target = tmp_path / "visual.png"
    done = run("plot", "projections", "visual", target, store=filled).succeeded()
    assert (done.out, done.err) == ("", f"Wrote {target}.\n")
    assert target.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    run("plot", "projections", "visual", target, store=filled).refused(2, str(target), "exists")


def test_replaces_a_file_on_demand(run: Runner, filled: Path, tmp_path: Path) -> None:
    target = tmp_path / "visual.svg"
    target.write_text("mine", encoding="utf-8")
    run("plot", "projections", "visual@1", target, "--overwrite", store=filled).succeeded()
    assert "<svg" in target.read_text(encoding="utf-8")


def test_refuses_what_it_cannot_draw(run: Runner, filled: Path, tmp_path: Path) -> None:
    run("plot", "projections", "visual", tmp_path / "x.docx", store=filled).refused(2, "x.docx", ".png")
    run("plot", "projections", "visual", tmp_path / "x.png", "--group", 7, store=filled).refused(2, "no group 7")
    run("plot", "projections", "visuel", tmp_path / "x.png", store=filled).refused(2, "visuel")
    assert list(tmp_path.iterdir()) == []
