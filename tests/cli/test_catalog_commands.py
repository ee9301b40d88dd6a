"""Searches, structures, matrix, summary, named selections and exclusions from the command line."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from bsv_store import Selection, open_store
from tests.cli.conftest import UNMEASURED, VISP, WILD_TYPE_VISP
from tests.cli.running import Runner


def rows(text: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(text)
    return found


def ids(text: str) -> list[int]:
    return [row["experiment_id"] for row in rows(text)]


def test_summary_counts(run: Runner, filled: Path) -> None:
    done = run("catalog", "summary", "--injected-in", "VISp", "--format", "json", store=filled)
    assert done.code == 0, done.err
    counts = json.loads(done.out)
    assert counts["total"] == len(VISP)
    assert ["wild-type", len(WILD_TYPE_VISP)] in counts["lines"]
    table = run("catalog", "summary", "--injected-in", "VISp", store=filled)
    assert "injected hemisphere" in table.out
    assert f"{len(VISP)} experiments" in table.err


def test_snapshots_and_their_difference(run: Runner, filled: Path) -> None:
    taken = rows(run("catalog", "snapshots", "--format", "json", store=filled).out)
    lists = [row["snapshot"] for row in taken if row["what"] == "experiments"]
    assert lists
    same = run("catalog", "diff", lists[0], lists[0], store=filled)
    assert same.code == 0, same.err
    assert "0 entered, 0 left, 0 changed" in same.err
    assert run("catalog", "diff", lists[0], 10**6, store=filled).code == 2


@pytest.mark.usefixtures("server", "wide_terminal")
def test_unionize_tables_share_a_row_of_the_snapshots(run: Runner, own_filled: Path) -> None:
    for identifier in (9100000002, 9100000005, 9100000006):
        run("sync", "unionizes", "--ids", identifier, store=own_filled).succeeded()
    taken = rows(run("catalog", "snapshots", "--format", "json", store=own_filled).out)
    tables = [row for row in taken if row["what"] == "unionizes"]
    assert len(tables) > 2
    each = run("catalog", "snapshots", "--all", store=own_filled).succeeded().out.splitlines()
    assert len(each) == len(taken) + 2
    grouped = run("catalog", "snapshots", store=own_filled).succeeded().out.splitlines()
    assert len(grouped) == len(taken) - len(tables) + 1 + 2
    (line,) = [line.split() for line in grouped if "unionizes" in line]
    assert line[0] == f"{tables[0]['snapshot']}-{tables[-1]['snapshot']}"
    assert " ".join(line).count(f"{len(tables)} tables") == 1
    assert f"{sum(row['rows'] for row in tables):,}" in line


def test_structures(run: Runner, filled: Path) -> None:
    found = rows(run("structures", "find", "VISp", "--format", "json", store=filled).out)
    assert found[0]["structure"] == "VISp"
    near = run("structures", "find", "Vispp", store=filled)
    assert "similar" in near.err
    tree = run("structures", "tree", "VIS", store=filled).out.splitlines()
    assert tree[0].startswith("VIS  ")
    assert any(line.startswith("  VISp  ") for line in tree)
    assert len(run("structures", "tree", "VIS", "--depth", "0", store=filled).out.splitlines()) == 1
    sets = rows(run("structures", "sets", "--format", "json", store=filled).out)
    members = rows(run("structures", "sets", sets[0]["structure_set"], "--format", "json", store=filled).out)
    assert len(members) == sets[0]["members"]
    assert run("structures", "tree", "visp", store=filled).code == 2


def test_searches(run: Runner, filled: Path) -> None:
    def found(*arguments: object) -> list[int]:
        done = run("search", *arguments, "--format", "json", store=filled)
        assert done.code == 0, done.err
        return ids(done.out)

    assert sorted(found("source", "VISp")) == sorted(VISP)
    assert sorted(found("source", "VISp", "--line", "wild-type")) == sorted(WILD_TYPE_VISP)
    assert set(found("target", "VISp", "--limit", 3)) <= set(VISP)
    assert len(found("injection", "8000,1500,8500", "--limit", 4)) == 4
    assert set(found("point", "8050,1550,8550")) == set(VISP)
    assert set(found("correlation", VISP[0], "--structure-set", 184527634)) == set(VISP[1:])
    ranked = run(
        "structures",
        "rank",
        VISP[0],
        "--structure-set",
        184527634,
        "--threshold",
        0,
        "--limit",
        5,
        "--format",
        "json",
        store=filled,
    )
    assert [row["rank"] for row in rows(ranked.out)] == [1, 2, 3, 4, 5]
    for point in (["8000,1500"], ["8000", "1500", "8500"]):
        words = "must be three numbers separated by commas, such as 9000,1500,8000"
        run("search", "injection", *point, store=filled).refused(2, words)
    assert run("search", "correlation", UNMEASURED, "--structure-set", 184527634, store=filled).code == 2


@pytest.mark.parametrize("search", ["source VISp", "target VISp", "injection 8000,1500,8500", "point 8050,1550,8550"])
def test_tables_of_searches_fit_a_terminal(run: Runner, filled: Path, search: str) -> None:
    done = run("search", *search.split(), "--line", "wild-type", store=filled).succeeded()
    assert max(map(len, done.out.splitlines())) <= 90
    heading = done.out.splitlines()[0].split()
    assert heading[:5] == ["experiment", "structure", "line", "injected", "mm3"]
    csv = run("search", *search.split(), "--format", "csv", store=filled).succeeded().out
    assert csv.startswith("experiment_id,primary_structure,transgenic_line,product_id,injected_hemisphere,")


def test_a_point_of_millimeters_is_refused(run: Runner, filled: Path) -> None:
    for search in ("point", "injection"):
        run("search", search, "8,1.5,8.5", store=filled).refused(2, "mm", "If these are mm, use 8000,1500,8500.")


def test_matrix_as_csv_and_as_sql(run: Runner, filled: Path) -> None:
    options = ("--injected-in", "VISp", "--structure-set", 184527634, "--hemisphere", "both")
    done = run("matrix", *options, "--rows", "experiments", "--format", "csv", store=filled)
    assert done.code == 0, done.err
    table = list(csv.reader(io.StringIO(done.out)))
    assert table[0][0] == "experiment_id"
    assert sorted(int(row[0]) for row in table[1:]) == sorted(VISP)
    with open_store(filled) as store:
        frame = store.catalog.matrix(Selection(injected_in="VISp"), structure_set=184527634, hemisphere="both")
        cells = store.sql(run("matrix", *options, "--as-sql", store=filled).out)
    assert len(cells) == frame.size
    assert cells["normalized_projection_volume"].tolist() == pytest.approx(frame.to_numpy().ravel().tolist())


def test_named_selections_serve_as_options(run: Runner, own_filled: Path) -> None:
    saved = run("selection", "save", "visual", "--injected-in", "VISp", "--note", "why", store=own_filled)
    assert saved.code == 0, saved.err
    assert rows(run("selection", "list", "--format", "json", store=own_filled).out)[0]["note"] == "why"
    again = run("selection", "save", "visual", "--line", "wild-type", store=own_filled)
    assert again.code == 2
    narrowed = run("select", "--named", "visual", "--line", "wild-type", "--ids-only", store=own_filled)
    assert [int(line) for line in narrowed.out.split()] == sorted(WILD_TYPE_VISP)
    assert run("selection", "save", "visual", "--line", "wild-type", "--replace", store=own_filled).code == 0
    assert len(rows(run("selection", "history", "visual", "--format", "json", store=own_filled).out)) == 2
    assert json.loads(run("selection", "show", "visual@1", store=own_filled).out)["injected_in"] == ["VISp"]
    assert run("select", "--named", "visaul", store=own_filled).code == 2


def test_options_do_not_undo_what_a_selection_includes(run: Runner, own_filled: Path) -> None:
    excluded, other = WILD_TYPE_VISP[:2]
    assert run("exclude", "add", str(excluded), "--reason", "torn", store=own_filled).code == 0
    both = run("selection", "save", "both", "--ids", f"{excluded},{other}", "--include-excluded", store=own_filled)
    assert both.code == 0, both.err
    assert run("selection", "save", "visual", "--injected-in", "VISp", store=own_filled).code == 0

    def selected(*options: str) -> set[int]:
        found = run("select", *options, "--ids-only", store=own_filled)
        assert found.code == 0, found.err
        return {int(line) for line in found.out.split()}

    assert selected("--named", "both", "--injected-in", "VISp") == {excluded, other}
    assert selected("--named", "both", "--include-withdrawn") == {excluded, other}
    assert excluded not in selected("--named", "visual")
    assert excluded in selected("--named", "visual", "--include-excluded")
    assert excluded in selected("--named", "visual", "--include-excluded", "--line", "wild-type")


def test_exclusions(run: Runner, own_filled: Path) -> None:
    def selected(*options: str) -> set[int]:
        return {
            int(line)
            for line in run("select", "--injected-in", "VISp", "--ids-only", *options, store=own_filled).out.split()
        }

    assert run("exclude", "add", VISP[0], "--reason", "bad section", store=own_filled).code == 0
    assert selected() == set(VISP[1:])
    assert selected("--include-excluded") == set(VISP)
    listed = rows(run("exclude", "list", "--format", "json", store=own_filled).out)
    assert [(row["experiment_id"], row["reason"]) for row in listed] == [(VISP[0], "bad section")]
    counted = run("catalog", "summary", "--injected-in", "VISp", store=own_filled)
    assert "1 more are on the exclusion list" in counted.err
    assert run("exclude", "remove", VISP[0], store=own_filled).code == 0
    assert selected() == set(VISP)
    assert run("exclude", "remove", VISP[0], store=own_filled).code == 2
    assert run("exclude", "add", 7, "--reason", "x", store=own_filled).code == 2
