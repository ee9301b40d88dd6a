"""``bsv-store aggregate``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bsv_store import Selection, open_store
from bsv_store.vocabulary import VolumeKind
from bsv_store_synthetic import SyntheticServer
from bsv_store_synthetic.faults import Status
from tests.cli.conftest import UNMEASURED, VISP, WILD_TYPE_VISP
from tests.cli.running import Runner
from tests.counting import counted

VISP_BY_AP = ["aggregate", "--injected-in", "VISp", "--group-by", "AP", "--bins", "2", "--name", "by-AP"]


def test_prints_the_groups(run: Runner, own_filled: Path) -> None:
    done = run(*VISP_BY_AP, store=own_filled).succeeded()
    facts, table = done.out.split("\n\nGroups\n")
    with open_store(own_filled) as store:
        path = store.dataset("by-AP").path
    assert facts.splitlines() == [
        "Dataset  by-AP@1 (computed now)",
        "Values   projection density (fraction of voxel), 100 um",
        f"File     {path}",
    ]
    head, _, *rows = table.splitlines()
    assert head.split() == ["group", "label", "center", "um", "n"]
    # 8,050 and 8,350; 9,200, 9,550 and 9,920.
    assert [row.split()[-2:] for row in rows] == [["8200.0", "2"], ["9556.7", "3"]]
    assert done.err == ""


def test_bins_without_experiments_are_named(run: Runner, own_filled: Path) -> None:
    five = [*VISP_BY_AP[:-4], "--bins", "5", "--name", "five"]
    for output_format in ("table", "csv"):
        done = run(*five, "--format", output_format, store=own_filled).succeeded()
        # No experiment between 8,350 and 9,200: two bins of 374 um.
        assert done.err == "Bins without experiments, which are not groups: AP 8,424 to 9,172 um.\n"


def test_the_same_question_again_is_answered_by_the_store(run: Runner, own_filled: Path) -> None:
    first = run(*VISP_BY_AP, "--format", "json", store=own_filled).succeeded().json
    again = run(*VISP_BY_AP, "--format", "json", store=own_filled).succeeded().json
    assert (first["was_computed"], again["was_computed"]) == (True, False)
    assert again["ref"] == "by-AP@1"
    assert {**first, "was_computed": None} == {**again, "was_computed": None}
    shown = run(*VISP_BY_AP, store=own_filled).succeeded().out
    assert shown.startswith("Dataset  by-AP@1 (already in the store)\n")


def test_csv_has_the_groups_with_their_edges(run: Runner, own_filled: Path) -> None:
    rows = run(*VISP_BY_AP, "--format", "csv", store=own_filled).succeeded().rows
    assert [(row["group"], row["lower_um"], row["upper_um"], row["n"]) for row in rows] == [
        ("0", "8050.0", "8985.0", "2"),
        ("1", "8985.0", "9920.0", "3"),
    ]


@pytest.mark.parametrize(
    ("options", "recipe"),
    [
        ([], {"grouping": {"by": "none"}, "normalize": "none", "hemisphere_rule": "none", "statistics": ["mean"]}),
        (["--group-by", "ap", "--bin-method", "quantile", "--bins", "2"], {"grouping": {
            "by": "coordinate", "axis": "AP", "method": "quantile", "bins": 2}}),
        (["--group-by", "ML", "--edges", "0,5700,11400"], {"grouping": {
            "by": "coordinate", "axis": "ML", "method": "edges", "edges": [0.0, 5700.0, 11400.0]}}),
        (["--group-by", "region", "--region", "VISp", "--region", "rest=VISl+MOp"], {"grouping": {"by": "region",
            "groups": [{"label": "VISp", "regions": ["VISp"]}, {"label": "rest", "regions": ["VISl", "MOp"]}]}}),
        (["--group-by", "primary-structure"], {"grouping": {"by": "field", "field": "primary_structure"}}),
        (["--group-by", "line", "--group-by", "sex"], {"grouping": {"by": "crossed",
            "first": {"by": "field", "field": "line"}, "second": {"by": "field", "field": "sex"}}}),
        (["--normalize", "injection-volume"], {"normalize": "injection_volume"}),
        (["--hemisphere-rule", "subtract-contralateral"], {"hemisphere_rule": "subtract_contralateral"}),
        (["--statistic", "sd", "--statistic", "n"], {"statistics": ["mean", "sd", "n"]}),
        (["--missing", "leave-out"], {"missing": "leave_out"}),
        (["--bilateral-rule", "leave-out"], {"bilateral_rule": "leave_out"}),
        (["--weight-by", "injection-overlap"], {"weight_by": "injection_overlap", "weight_by_data_mask": False}),
        (["--dtype", "float64"], {"dtype": "float64"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_options_make_the_recipe(run: Runner, own_filled: Path, options: list[str], recipe: Mapping[str, Any]) -> None:
    done = run("aggregate", "--ids", ",".join(map(str, WILD_TYPE_VISP)), *options, "--name", "asked", "--format",
               "json", store=own_filled).succeeded()  # fmt: skip
    made = done.json["recipe"]
    assert {key: made[key] for key in recipe} == recipe
    assert made["selection"] == {"ids": list(WILD_TYPE_VISP), "version": 1}


def test_missing_volumes_are_named_with_the_command_that_fetches_them(run: Runner, own_filled: Path) -> None:
    ask = ["aggregate", "--ids", f"{VISP[0]},{UNMEASURED}", "--name", "gap"]
    done = run(*ask, store=own_filled).refused(2, str(UNMEASURED), f"bsv-store fetch --ids {UNMEASURED}")
    assert done.out == ""
    assert "gap" not in run("dataset", "list", store=own_filled).succeeded().out
    left_out = run(*ask, "--missing", "leave-out", store=own_filled).succeeded().out.split("\n\nLeft out\n")[1]
    assert left_out.splitlines()[2].split()[:2] == ["1", "the"]


def test_fetch_first_downloads_missing_data(run: Runner, server: SyntheticServer, own_filled: Path) -> None:
    ask = ["aggregate", "--ids", f"{VISP[0]},{UNMEASURED}", "--normalize", "injection-volume", "--name", "whole"]
    done = run(*ask, "--fetch", store=own_filled).succeeded()
    assert "Unionize tables: 1 fetched" in done.err
    assert "projection_density at 100 um: 1 fetched" in done.err
    assert "per mm³ injected" in done.out
    server.requests.clear()
    run(*ask, "--fetch", store=own_filled).succeeded()
    assert server.requests.total == 0


def test_fetch_also_downloads_masks(run: Runner, server: SyntheticServer, own_filled: Path) -> None:
    masks = ["--exclude-injection", "--weight-by-data-mask"]
    ask = ["aggregate", "--ids", f"{VISP[0]},{UNMEASURED}", *masks, "--name", "masked"]
    there = ["aggregate", "--ids", VISP[0], *masks, "--name", "masked"]
    run(*there, store=own_filled).refused(2, "the injection_fraction at 100 um", "--kind injection_fraction")
    done = run(*ask, "--fetch", "--format", "json", store=own_filled).succeeded()
    for kind, fetched in (("projection_density", 1), ("injection_fraction", 2), ("data_mask", 2)):
        assert f"{kind} at 100 um: {fetched} fetched" in done.err
    assert (done.json["recipe"]["exclude_injection"], done.json["recipe"]["weight_by_data_mask"]) == (True, True)
    shown = run("dataset", "show", "masked", store=own_filled).succeeded().out
    assert "exclude injection: True, weight by data mask: True" in shown
    members = run("dataset", "show", "masked", "--members", "--format", "csv", store=own_filled).succeeded().rows
    assert {(len(row["injection_fraction_sha256"]), len(row["data_mask_sha256"])) for row in members} == {(64, 64)}


def test_weights_are_shown_with_the_members(run: Runner, own_filled: Path) -> None:
    ask = ["aggregate", "--injected-in", "VISp", "--weight-by", "injection-overlap", "--name", "weighted"]
    answer = run(*ask, store=own_filled).succeeded().out
    shown = run("dataset", "show", "weighted", "--members", store=own_filled).succeeded().out
    assert "Rules        weight by: injection_overlap" in shown
    assert shown.split("Members\n")[1].splitlines()[0].split()[-1] == "weight"
    assert "weight" not in run("dataset", "show", "weighted", store=own_filled).succeeded().out.split("Groups")[1]
    rows = run("dataset", "show", "weighted", "--members", "--format", "csv", store=own_filled).succeeded().rows
    with open_store(own_filled) as store:
        weights = store.dataset("weighted").weights()
    ends = f"{min(weights.values()):.3g} to {max(weights.values()):.3g}"
    assert f"Weights  weighted by injection overlap: {ends}\n" in answer
    assert {int(row["experiment_id"]): float(row["weight"]) for row in rows} == weights
    cited = run("dataset", "cite", "weighted", store=own_filled).succeeded().out
    assert "weighted by the share of its injection" in cited
    both = "--weight-by injection-overlap and --weight-by-data-mask cannot be combined"
    run(*ask, "--weight-by-data-mask", store=own_filled).refused(2, both)


def test_fetch_needs_room_for_all_kinds_together(
    run: Runner, server: SyntheticServer, own_filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The volumes alone would fit; with the masks it is more than the disk has."""
    with open_store(own_filled) as store:
        kinds: tuple[VolumeKind, ...] = ("projection_density", "data_mask")
        density, mask = (store.plan_fetch(Selection(), kind=kind).store_bytes for kind in kinds)
    free = 100_000_000 + max(density, mask) + min(density, mask) // 2
    usage = SimpleNamespace(total=10**9, used=10**9 - free, free=free)
    monkeypatch.setattr("bsv_store.acquisition.plan.shutil.disk_usage", lambda _path: usage)
    for kind in kinds:
        run("fetch", "--all", "--kind", kind, "--dry-run", store=own_filled).succeeded()
    ask = ["aggregate", "--all", "--name", "masked", "--weight-by-data-mask", "--fetch"]
    done = run(*ask, store=own_filled).refused(7, "projection_density at 100 um of 7 experiments and data_mask at 100")
    assert done.out == ""
    assert server.requests.total == 0
    # What is there takes no room.
    there = ["aggregate", "--ids", VISP[0], "--name", "one", "--fetch"]
    run(*there, store=own_filled).succeeded()


def test_what_cannot_be_fetched_is_an_upstream_failure(run: Runner, server: SyntheticServer, own_filled: Path) -> None:
    server.fail(f"/{UNMEASURED}", Status(404), None)
    ask = ["aggregate", "--ids", f"{VISP[0]},{UNMEASURED}", "--name", "gap", "--fetch"]
    done = run(*ask, store=own_filled).refused(6, f"Experiment {UNMEASURED}: ", "404", "--missing leave-out")
    assert done.out == ""
    partly = run(*ask, "--missing", "leave-out", store=own_filled).succeeded()
    assert "Left out" in partly.out
    assert "404" in partly.err


@pytest.mark.parametrize("fetch", [[], ["--fetch"]])
def test_nothing_selected_is_an_error(run: Runner, server: SyntheticServer, own_filled: Path, fetch: list[str]) -> None:
    ask = [
        "aggregate",
        "--injected-in",
        "VISp",
        "--sex",
        "M",
        "--injected-hemisphere",
        "left",
        "--name",
        "none",
        *fetch,
    ]
    assert run(*ask, store=own_filled).refused(2, "no experiment matches").out == ""
    assert server.requests.total == 0


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--name", "x"], "--all"),
        (["--all"], "Missing option '--name'"),
        (["--all", "--name", "../x"], "'../x'"),
        (["--all", "--name", "x", "--bins", "3"], "--group-by AP"),
        (["--all", "--name", "x", "--group-by", "AP", "--bins", "0"], "bins must be a positive integer"),
        (["--all", "--name", "x", "--group-by", "AP", "--edges", "1,b"], "'1,b'"),
        (["--all", "--name", "x", "--group-by", "AP", "--edges", "1,2", "--bins", "2"], "cannot be combined"),
        (["--all", "--name", "x", "--group-by", "region"], "--region"),
        (["--all", "--name", "x", "--region", "VISp"], "--group-by region"),
        (["--all", "--name", "x", "--group-by", "region", "--region", "VISpp"], "VISpp"),
        (["--all", "--name", "x", "--group-by", "region", "--region", "VISp", "--region", "VISp"], "listed twice"),
        (["--all", "--name", "x", "--group-by", "selection"], "--group"),
        (["--all", "--name", "x", "--group", "a=1"], "--group-by selection"),
        (["--all", "--name", "x", "--group-by", "selection", "--group", "1,2"], "must be LABEL=SELECTION, got '1,2'"),
        (["--all", "--name", "x", "--group-by", "selection", "--group", "--sex=F"], "must be LABEL=SELECTION"),
        (["--all", "--name", "x", "--group-by", "selection", "--group", "a=1", "--group", "a=2"], "listed twice"),
        (["--all", "--name", "x", "--group-by", "selection", "--group", "a=saved"], "no selection is saved as 'saved'"),
        (["--all", "--name", "x", "--group-by", "AP", "--group-by", "ML", "--group-by", "sex"], "at most two"),
        (["--all", "--name", "x", "--hemisphere-rule", "flip"], "'flip-to-right'"),
        (["--all", "--name", "x", "--statistic", "median"], "'median'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_option_is_an_error_that_helps(run: Runner, filled: Path, options: list[str], text: str) -> None:
    assert run("aggregate", *options, store=filled).refused(2, text).out == ""


def test_selections_may_be_the_groups(run: Runner, own_filled: Path) -> None:
    groups = ("--group", "prim=--injected-in VISp --line wild-type", "--group", "any=--injected-in VISp --line any-cre")
    command = ("aggregate", "--injected-in", "VISp", "--group-by", "selection", *groups, "--name", "two")
    found = run(*command, "--format", "json", store=own_filled).succeeded().json
    assert [(group["label"], group["n"]) for group in found["groups"]] == [("prim", 3), ("any", 2)]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_several_processes_give_the_same_result(run: Runner, own_filled: Path) -> None:
    alone = run(*VISP_BY_AP, "--format", "json", store=own_filled).succeeded().json
    again = [*VISP_BY_AP[:-1], "together", "--workers", "2", "--format", "json"]
    together = run(*again, store=own_filled).succeeded().json
    assert together["was_computed"]
    assert together["content_sha256"] == alone["content_sha256"]
    run(*again[:-3], "0", store=own_filled).refused(2, "--workers")


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("fetch", "limit"), [([], 2), (["--fetch", "--exclude-injection", "--weight-by-data-mask"], 3)]
)
def test_the_selection_is_resolved_once_per_step(
    run: Runner, server: SyntheticServer, own_filled: Path, fetch: list[str], limit: int
) -> None:
    """Once to fetch what is missing; once, and once for the exclusion list, in the transaction of the average."""
    ask = ["aggregate", "--injected-in", "VISp", "--line", "wild-type", "--name", "counted", *fetch]
    with counted() as work:
        run(*ask, store=own_filled).succeeded()
    resolved = [each for each in work.statements if each.startswith("SELECT experiment.id") and "ancestor" in each]
    assert 0 < len(resolved) <= limit
