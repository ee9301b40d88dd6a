"""``bsv-store plot``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import WILD_TYPE_VISP
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


# -- maps, rankings and views -----------------------------------------------------------------------------------------


def test_draws_injections_by_selection_grouping_and_version(run: Runner, filled: Path, tmp_path: Path) -> None:
    target = tmp_path / "sites.svg"
    run("plot", "injections", target, "--injected-in", "VISp", "--color", "line", store=filled).succeeded()
    assert ">Injection sites: VISp</text>" in target.read_text(encoding="utf-8")
    run("plot", "injections", target, "--group-by", "AP", "--bins", 2, "--overwrite", store=filled).succeeded()
    text = target.read_text(encoding="utf-8")
    assert "AP " in text
    run("plot", "injections", target, "--dataset", "visual", "--title", "Mine", "--overwrite", store=filled).succeeded()
    assert ">Mine</text>" in target.read_text(encoding="utf-8")
    both = ("plot", "injections", target, "--dataset", "visual", "--group-by", "AP", "--overwrite")
    run(*both, store=filled).refused(2, "--dataset and --group-by")
    run("plot", "injections", target, "--color", "group", "--overwrite", store=filled).refused(2, "groups")
    run("plot", "injections", target, store=filled).refused(2, "exists")


def test_draws_targets_and_matrix(run: Runner, filled: Path, tmp_path: Path) -> None:
    target = tmp_path / "targets.pdf"
    options = ("--injected-in", "VISp", "--width-mm", 85, "--theme", "dark", "--no-footer")
    done = run("plot", "targets", target, *options, "--limit", 4, store=filled).succeeded()
    assert done.err.endswith(f"Wrote {target}.\n")
    assert target.read_bytes().startswith(b"%PDF")
    matrix = tmp_path / "matrix.svg"
    done = run("plot", "matrix", matrix, *options, "--order", "cluster", "--scale", "log", "--limit", 5, store=filled)
    done.succeeded()
    assert ">VISp</text>" in matrix.read_text(encoding="utf-8")
    run("plot", "targets", tmp_path / "x.docx", store=filled).refused(2, "x.docx", ".png")
    run("plot", "matrix", tmp_path / "x.png", "--width-mm", 3, store=filled).refused(2, "--width-mm")


def test_writes_a_view_of_a_version_and_of_an_experiment(run: Runner, filled: Path, tmp_path: Path) -> None:
    target = tmp_path / "view.html"
    done = run("plot", "3d", "visual@1", target, store=filled).succeeded()
    assert (done.out, done.err) == ("", f"Wrote {target}.\n")
    assert "<canvas" in target.read_text(encoding="utf-8")
    run("plot", "3d", "visual", target, store=filled).refused(2, "exists")
    run("plot", "3d", WILD_TYPE_VISP[0], target, "--level", 0.2, "--overwrite", store=filled).succeeded()
    run("plot", "3d", "visual", tmp_path / "view.png", store=filled).refused(2, ".html")
    run("plot", "3d", "visual", tmp_path / "b.html", "--group", 9, store=filled).refused(2, "no group 9")
    run("plot", "3d", "visuel", tmp_path / "b.html", store=filled).refused(2, "visuel")
    run("plot", "3d", "visual", tmp_path / "b.html", "--region", "CP", store=filled).refused(2, "annotation")
