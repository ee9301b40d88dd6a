"""``bsv-store demo``: an empty folder to a versioned average, figures and a report, as a person sees it."""

from __future__ import annotations

import os
from pathlib import Path

import click
import pytest

from bsv_store import open_store
from bsv_store_cli.commands import sync
from tests.cli.running import Outcome, Runner

pytest.importorskip("matplotlib", reason="the extra `plot` is not installed")

FIGURES = ("slices.png", "injections.png", "targets.png")


@pytest.fixture
def shown(run: Runner, tmp_path: Path) -> Outcome:
    return run("demo", "--keep", tmp_path / "demo", "--experiments", 12).succeeded()


def test_the_whole_path(shown: Outcome, tmp_path: Path) -> None:
    """One test, since the demo takes seconds: what it prints, in order, and what it leaves."""
    folder = tmp_path / "demo"
    steps = [
        "SYNTHETIC DATA",
        "computed by formulas, without biological meaning",
        "http://127.0.0.1:",
        "$ bsv-store init",
        "$ bsv-store sync structures",
        "$ bsv-store sync experiments",
        "$ bsv-store sync annotation",
        "$ bsv-store select --injected-in VISp --injected-in VISl --line wild-type",
        "9100000001  VISp       wild-type",
        "$ bsv-store sync unionizes",
        "$ bsv-store targets",
        "$ bsv-store aggregate",
        "--fetch",
        "visual-by-AP@1 (computed now)",
        "Groups",
        "The server is stopped",
        "$ bsv-store dataset show visual-by-AP --members",
        "Members",
        "9100000001",
        "without computing",
        "visual-by-AP@1 (already in the store)",
        "$ bsv-store dataset regions visual-by-AP --structure LGd --structure CP",
        "$ bsv-store sql",
        "$ bsv-store status",
        "$ bsv-store plot slices visual-by-AP",
        "--emphasize VISp --emphasize CP",
        "$ bsv-store plot injections",
        "$ bsv-store plot targets",
        "$ bsv-store report visual-by-AP -o",
        f"Open the report in a browser: {folder / 'report.html'}",
        *(str(folder / name) for name in FIGURES),
        "-m bsv_store_synthetic --port 8080 --experiments 12 &",
        f"export BSV_STORE={folder / 'store'}",
        "export BSV_STORE_API_URL=http://127.0.0.1:8080 BSV_STORE_DOWNLOAD_URL=http://127.0.0.1:8080",
        "bsv-store aggregate --all --group-by line --name by-line --fetch",
        "with the real Allen API takes twelve commands",
    ]
    position = 0
    for step in steps:
        assert step in shown.out[position:], f"{step!r} is not shown, or not in its place:\n{shown.out}"
        position = shown.out.index(step, position) + len(step)
    against_allen = [line for line in shown.out[position:].splitlines() if line.startswith("  bsv-store ")]
    assert len(against_allen) == 12
    assert "  bsv-store sync annotation" in against_allen
    assert "5 fetched" in shown.err
    assert "127.0.0.1" not in shown.out[position:]

    assert all((folder / name).read_bytes().startswith(b"\x89PNG\r\n\x1a\n") for name in FIGURES)
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "<h1>SYNTHETIC DATA: wild type, VISp and VISl</h1>" in page
    # Slices, projections, injections and targets, each for light and dark: none is missing for lack of data.
    assert page.count('src="data:image/png') + page.count('srcset="data:image/png') == 8
    with open_store(folder / "store") as store:
        version = store.dataset("visual-by-AP")
        assert [group.n for group in version.groups] == [2, 1, 2]
        assert version.mean.max() > 0
        assert len(store.datasets.versions()) == 1
    assert "BSV_STORE" not in os.environ
    assert "BSV_STORE_API_URL" not in os.environ
    assert "BSV_STORE_DOWNLOAD_URL" not in os.environ


def test_a_folder_that_exists_is_left_alone(run: Runner, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine", encoding="utf-8")
    done = run("demo", "--keep", tmp_path).refused(2, str(tmp_path), "new folder")
    assert done.out == ""
    assert [each.name for each in tmp_path.iterdir()] == ["thesis.tex"]


def test_an_exit_code_of_a_step_is_the_demos(run: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync.experiments, "callback", lambda **_: click.get_current_context().exit(6))
    done = run("demo", "--keep", tmp_path / "demo", "--experiments", 12)
    assert done.code == 6
    assert "$ bsv-store select" not in done.out


def test_a_step_that_fails_ends_the_demo(run: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bsv_store.errors import UpstreamError
    from bsv_store.store.store import Store

    def broken(*_: object, **__: object) -> None:
        raise UpstreamError("no experiments today")

    monkeypatch.setattr(Store, "sync_experiments", broken)
    done = run("demo", "--keep", tmp_path / "demo", "--experiments", 12).refused(6, "no experiments today")
    assert "$ bsv-store aggregate" not in done.out
    assert "BSV_STORE" not in os.environ
