"""``bsv-store compare``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bsv_store import by_selection, open_store
from tests.cli.conftest import VISP, WILD_TYPE_VISP
from tests.cli.running import Runner

CRE = tuple(each for each in VISP if each not in WILD_TYPE_VISP)
A, B = (",".join(map(str, ids)) for ids in (WILD_TYPE_VISP, CRE))
QUICK = ("--permutations", "50")
FEW = ("--bootstrap", "50", *QUICK)


def test_structures_are_compared_as_in_the_library(run: Runner, filled: Path) -> None:
    rows = run("compare", A, B, *FEW, "--format", "json", store=filled).succeeded().json
    with open_store(filled) as store, pytest.warns(match="with 3 and 2 experiments"):
        frame = store.compare_structures(WILD_TYPE_VISP, CRE, permutations=50, bootstrap=50)
    assert [row["structure"] for row in rows] == frame["structure"].to_list()
    assert [row["p_max_t"] for row in rows] == pytest.approx(frame["p_max_t"].to_list())


@pytest.mark.usefixtures("narrow_terminal")
def test_the_table_fits_a_terminal_and_says_what_was_tested(run: Runner, filled: Path) -> None:
    done = run("compare", A, B, *FEW, "--limit", "3", "--labels", "wild-type", "Cre", store=filled).succeeded()
    lines = done.out.splitlines()
    assert len(lines) == 5
    assert max(map(len, lines)) <= 80
    assert lines[0].split()[:3] == ["structure", "wild-type", "Cre"]
    for text in (
        "a: wild-type (n = 3); b: Cre (n = 2).",
        "3 shown (--limit)",
        "normalized_projection_volume",
        "all 10 permutations",
        "the smallest possible p by permutation is 0.1",
    ):
        assert text in done.err


def test_intervals_and_differences_are_explained(run: Runner, own_filled: Path) -> None:
    arguments = ("compare", A, B, *FEW, "--confidence", "0.995", "--covariate", "injection-volume")
    done = run(*arguments, store=own_filled).succeeded()
    assert "99.5% interval" in done.out
    assert (
        "at equal values of the injection volume, with its bootstrap interval. Bootstrap intervals are too narrow"
        in done.err
    )


@pytest.fixture
def narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def test_sides_are_named_in_every_form(run: Runner, own_filled: Path, tmp_path: Path) -> None:
    run("selection", "save", "wt", "--ids", A, store=own_filled).succeeded()
    ids = tmp_path / "ids.txt"
    ids.write_text(A)
    selection = tmp_path / "selection.json"
    selection.write_text(json.dumps({"version": 1, "ids": list(WILD_TYPE_VISP)}))
    forms = ("wt", f"@{ids}", f"@{selection}", selection.read_text(), "--injected-in VISp --line wild-type")
    found = [run("compare", form, B, *FEW, "--format", "csv", store=own_filled).succeeded().out for form in forms]
    assert len(set(found)) == 1
    assert "a: wt (n = 3)" in run("compare", "wt", B, *FEW, store=own_filled).succeeded().err


def test_experiments_without_table_are_counted(run: Runner, own_filled: Path) -> None:
    done = run("compare", A, f"{B},9100000002", *FEW, store=own_filled).succeeded()
    assert "1 experiment had no table." in done.err


def test_voxels_are_compared_as_a_version(run: Runner, own_filled: Path, tmp_path: Path) -> None:
    arguments = ("compare", A, B, "--by", "voxel", "--name", "lines", "--labels", "wt", "cre", *QUICK)
    done = run(*arguments, "--normalize", "injection-volume", store=own_filled).succeeded()
    assert "lines@1 (computed now)" in done.out
    assert "wt minus cre; welch, up to 50 permutations; seed 0" in done.out
    assert "all 10 distinct ones" in done.out
    assert "already in the store" in run(*arguments, "--normalize", "injection-volume", store=own_filled).out
    shown = run("dataset", "show", "lines", store=own_filled).succeeded().out
    assert "wt minus cre" in shown
    target = tmp_path / "t.nii.gz"
    run("dataset", "export", "lines", str(target), "--statistic", "p-max-t", store=own_filled).succeeded()
    assert target.exists()
    run("dataset", "export", "lines", str(target), "--statistic", "sd", store=own_filled).refused(2, "statistic 'sd'")
    assert "Westfall and Young" in run("dataset", "cite", "lines", store=own_filled).succeeded().out


def test_groups_of_a_version_are_compared(run: Runner, own_filled: Path) -> None:
    with open_store(own_filled) as store:
        store.aggregate(VISP, group_by=by_selection({"wt": WILD_TYPE_VISP, "cre": CRE}), name="two")
    done = run("compare", "two@1", "--groups", "wt", "1", *FEW, "--limit", "2", store=own_filled).succeeded()
    assert "a: wt (n = 3); b: cre (n = 2)." in done.err
    voxels = ("compare", "two", "--groups", "0", "cre", "--by", "voxel", "--name", "tested", *QUICK)
    assert "wt minus cre" in run(*voxels, store=own_filled).succeeded().out
    run("compare", "two", "--groups", "0", "9", store=own_filled).refused(2, "there is no group '9'")
    run("compare", "two@1", "two", store=own_filled).refused(2, "two is a dataset", "compare two --groups A B")
    run(*voxels[:4], "wt", *voxels[5:], store=own_filled).refused(2, "compared with itself")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((A,), "takes two sides, A and B, got 1"),
        ((A, B, A), "takes two sides, A and B, got 3"),
        ((A, A), "'a', 'b' have 3 experiments in common"),
        ((A, B, "--permutation", "9"), "No such option '--permutation'"),
        ((A, "--line nosuch-Cre"), "nosuch-Cre"),
        ((A, "--lines wild-type"), "No such option '--lines'"),
        ((A, "'--line"), "no selection is saved"),
        ((A, B, "--by", "voxel"), "--by voxel needs --name"),
        ((A, B, "--by", "voxel", "--name", "x", "--measure", "volume"), "--measure needs --by structure"),
        (
            ("v", "--groups", "0", "1", "--by", "voxel", "--name", "x", "--dtype", "float64"),
            "--dtype cannot be combined",
        ),
        (("v", "--groups", "0", "1", "--by", "voxel", "--name", "x", "--limit", "3"), "--limit needs --by structure"),
        (("visual", "--groups", "0", "1", "--labels", "x", "y"), "--labels cannot be combined with --groups"),
        ((A, B, "--seed", "x"), "--seed"),
        ((A, B, "--test", "welch", "--covariate", "AP"), "--test welch cannot be combined with covariates"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    run: Runner, filled: Path, arguments: tuple[str, ...], message: str
) -> None:
    done = run("compare", *arguments, store=filled)
    assert done.code in (1, 2)
    assert message in done.err
    assert "Traceback" not in done.err


def test_structures_are_compared_as_a_version(run: Runner, own_filled: Path, tmp_path: Path) -> None:
    arguments = ("compare", A, B, *FEW, "--name", "lines", "--labels", "wt", "cre")
    first = run(*arguments, store=own_filled).succeeded()
    assert "Dataset: lines@1 (computed now)." in first.err
    again = run(*arguments, store=own_filled).succeeded()
    assert again.out == first.out
    assert "Dataset: lines@1 (already in the store)." in again.err
    shown = run("dataset", "show", "lines", store=own_filled).succeeded()
    for text in ("by structure", "wt minus cre; welch, up to 50 permutations; seed 0", "p max-t"):
        assert text in shown.out
    assert "20 shown (all: dataset export)" in shown.err
    members = run("dataset", "show", "lines", "--members", store=own_filled).succeeded()
    assert "divided by" not in members.out
    target = tmp_path / "lines.csv"
    run("dataset", "export", "lines", str(target), store=own_filled).succeeded()
    rows = run(*arguments, "--limit", "1000", "--format", "json", store=own_filled).succeeded().json
    assert len(target.read_text().splitlines()) == len(rows) + 1
    for command in (("export", "lines", str(tmp_path / "lines.nii.gz")), ("regions", "lines")):
        run("dataset", *command, store=own_filled).refused(2, "is a comparison by structure and has no voxels")
    assert "unionize tables" in run("dataset", "cite", "lines", store=own_filled).succeeded().out
    figure = tmp_path / "lines.png"
    run("plot", "differences", "lines", figure, "--sort-by", "effect-size", store=own_filled).succeeded()
    assert figure.read_bytes().startswith(b"\x89PNG")
    assert "lines@1" in run("dataset", "list", store=own_filled).succeeded().out
    assert "current" in run("dataset", "stale", "lines", store=own_filled).succeeded().out
