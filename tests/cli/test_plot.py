"""``bsv-store plot``."""

from __future__ import annotations

from pathlib import Path

import pytest

from bsv_store.errors import InputError
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


def test_draws_slices_regions_and_overlays(run: Runner, annotated: Path, tmp_path: Path) -> None:
    for arguments in (
        ("slices", "lines", "a.svg", "--group", 0, "--statistic", "mean", "--at-mm", "8.8,9.0", "--emphasize", "VISp"),
        (
            "slices",
            "1,3",
            "b.svg",
            "--plane",
            "sagittal",
            "--through",
            "VISp",
            "--count",
            2,
            "--outlines",
            3,
            "--per-row",
        ),
        ("projections", 1, "c.svg", "--title", "One mouse", "--theme", "dark", "--no-footer"),
        ("overlay", "right=1", "left=3,5", "d.svg", "--at-mm", 9, "--color", "red", "--color", "blue", "--vmax", 0.5),
        ("regions", tmp_path / "table.csv", "e.svg", "--at-mm", 9, "--column", "mean"),
    ):
        (tmp_path / "table.csv").write_text("structure,mean\nVISp,0.5\n", encoding="utf-8")
        what, *sources = (each if isinstance(each, Path) else str(each) for each in arguments)
        name = next(str(each) for each in sources if str(each).endswith(".svg"))
        placed = [tmp_path / each if each == name else each for each in sources]
        run("plot", what, *placed, "--width-mm", 85, store=annotated).succeeded()
        assert "<svg" in (tmp_path / name).read_text(encoding="utf-8")
    texts = {name: (tmp_path / f"{name}.svg").read_text(encoding="utf-8") for name in "abcde"}
    assert ">AP 8.8 mm</text>" in texts["a"]
    assert ">VISp</text>" in texts["a"]
    assert "Each row has" in texts["b"]
    assert ">One mouse</text>" in texts["c"]
    assert "Fingerprint" not in texts["c"].split("</metadata>")[1]
    assert ">left  (n = 2)</text>" in texts["d"]
    assert "Full color at 0.5." in texts["d"]


def test_refuses_arguments_before_it_draws(run: Runner, filled: Path, tmp_path: Path) -> None:
    target = tmp_path / "x.png"
    run("plot", "slices", "visual", target, "--at-mm", "x", store=filled).refused(2, "not a list of numbers")
    run("plot", "slices", "visual", target, "--at-mm", "5200", store=filled).refused(2, "--at-mm", "use 5.2")
    run("plot", "slices", "visual", target, "--kind", "data-mask", store=filled).refused(2, "a dataset version")
    run("plot", "slices", "visual", target, "--through", "VISp", store=filled).refused(2, "sync annotation")
    run("plot", "overlay", "a=1", "2", target, store=filled).refused(2, "Label all sources or none")
    run("plot", "overlay", "a=1", "a=2", target, store=filled).refused(2, "Labels must differ")
    run("plot", "regions", tmp_path / "nix.csv", target, store=filled).refused(2, "nix.csv")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def annotated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with an annotation and the version lines@1."""
    from bsv_store import create_store
    from tests.reports.conftest import fill_with_versions

    location = tmp_path_factory.mktemp("annotated") / "store"
    with create_store(location) as store:
        fill_with_versions(store)
    return location


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
    done = run(
        "plot", "targets", target, *options, "--limit", 4, "--weight-by", "injection-overlap", store=filled
    ).succeeded()
    assert done.err.endswith(f"Wrote {target}.\n")
    assert target.read_bytes().startswith(b"%PDF")
    matrix = tmp_path / "matrix.svg"
    done = run("plot", "matrix", matrix, *options, "--order", "cluster", "--scale", "log", "--limit", 5, store=filled)
    done.succeeded()
    assert ">VISp</text>" in matrix.read_text(encoding="utf-8")
    run("plot", "targets", tmp_path / "x.docx", store=filled).refused(2, "x.docx", ".png")
    run("plot", "matrix", tmp_path / "x.png", "--width-mm", 3, store=filled).refused(2, "--width-mm")


@pytest.mark.parametrize(
    ("command", "function", "by_default"),
    [
        (["targets"], "ranked_targets", 20),
        (["matrix"], "matrix_map", None),
        (["differences", "visual"], "structure_differences", 20),
    ],
)
def test_all_draws_everything(
    run: Runner,
    filled: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: list[str],
    function: str,
    by_default: int | None,
) -> None:
    limits: list[int | None] = []

    def noted(*_: object, limit: int | None, **__: object) -> None:
        limits.append(limit)
        raise InputError("not drawn")

    monkeypatch.setattr(f"bsv_store.reports.{function}", noted)
    for more in ([], ["--limit", 4], ["--all"]):
        run("plot", *command, tmp_path / "a.svg", *more, store=filled).refused(2, "not drawn")
    assert limits == [by_default, 4, None]
    both = ["--limit", by_default or 4, "--all"]
    run("plot", *command, tmp_path / "a.svg", *both, store=filled).refused(2, "--all and --limit cannot be combined")


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
