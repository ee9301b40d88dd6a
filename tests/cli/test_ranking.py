"""The commands that rank the targets of a selection and the sources of a target."""

from __future__ import annotations

from pathlib import Path

import pytest

from bsv_store import Selection, open_store
from bsv_store_cli.options.ranking import _with_error
from tests.cli.conftest import UNMEASURED, VISP
from tests.cli.running import Runner

IDS = ("--ids", ",".join(map(str, VISP[:3])))


def test_targets_are_those_of_the_library(run: Runner, filled: Path) -> None:
    rows = run("targets", *IDS, "--format", "json", store=filled).succeeded().json
    with open_store(filled) as store:
        frame = store.search.targets_of(Selection(ids=VISP[:3]))
    assert [row["structure"] for row in rows] == frame["structure"].to_list()
    assert [row["ipsilateral_sem"] for row in rows] == pytest.approx(frame["ipsilateral_sem"].to_list(), rel=1e-12)
    assert {row["n"] for row in rows} == {3}


def test_tables_are_limited_and_name_the_measure(run: Runner, filled: Path) -> None:
    done = run("targets", *IDS, "--limit", "2", "--measure", "projection-density", store=filled).succeeded()
    assert "ipsilateral" in done.out
    assert len(done.out.splitlines()) == 4
    assert "±" in done.out
    assert "2 targets, possibly more (--limit, --all); projection_density" in done.err


def test_sources_say_which_experiments_are_left_out(run: Runner, filled: Path) -> None:
    target = run("targets", *IDS, "--limit", "1", "--format", "csv", store=filled).succeeded().rows[0]["structure"]
    done = run("sources", target, "--format", "csv", store=filled).succeeded()
    assert [row["structure"] for row in done.rows] == ["VISp"]
    assert int(done.rows[0]["n"]) == len(VISP)
    assert "left out" in done.err


def test_hemispheres_that_do_not_depend_on_the_injection_are_refused(run: Runner, filled: Path) -> None:
    run("targets", *IDS, "--hemisphere", "left", store=filled).refused(2, "--hemisphere")


def test_the_matrix_is_limited_in_tables_only(run: Runner, filled: Path) -> None:
    cut = run("matrix", *IDS, "--layout", "long", "--limit", "3", store=filled).succeeded()
    assert len(cut.out.splitlines()) == 5
    assert "limited to 3 rows (--limit, --all)" in cut.err
    table = run("matrix", *IDS, store=filled).succeeded()
    assert "limited to 8 targets" in table.err
    for layout in ("wide", "transposed"):
        few = run("matrix", *IDS, "--target", "CP", "--layout", layout, store=filled).succeeded()
        assert "limited" not in few.err
    every = run("matrix", *IDS, "--all", store=filled).succeeded()
    assert "limited" not in every.err
    wide = run("matrix", *IDS, "--format", "csv", store=filled).succeeded().rows
    transposed = run("matrix", *IDS, "--layout", "transposed", "--format", "csv", store=filled).succeeded().rows
    assert len(transposed) == len(wide[0]) - 1 > 8
    assert {row["hemisphere"] for row in transposed} == {"ipsilateral", "contralateral"}


def test_sources_without_tables_are_counted_instead_of_printed_as_empty_rows(run: Runner, filled: Path) -> None:
    ids = ("--ids", f"{VISP[0]},{UNMEASURED}", "--target", "CP", "--hemisphere", "both")
    table = run("matrix", *ids, store=filled).succeeded()
    assert "VISp" in table.out
    assert "VISl" not in table.out
    assert "1 source without a value left out of the table" in table.err
    turned = run("matrix", *ids, "--layout", "transposed", store=filled).succeeded()
    assert "VISl" not in turned.out
    assert "1 source without a value" in turned.err
    every = run("matrix", *ids, "--format", "csv", store=filled).succeeded()
    assert [row["source"] for row in every.rows] == ["VISl", "VISp"]
    assert "left out of the table" not in every.err


def test_animals_are_weighted_on_request(run: Runner, filled: Path) -> None:
    for command in (("targets", "--injected-in", "VISp"), ("sources", "CP")):
        done = run(*command, "--weight-by", "injection-overlap", store=filled).succeeded()
        assert "weighted by injection overlap" in done.err
        assert "weighted" not in run(*command, store=filled).succeeded().err


@pytest.mark.parametrize(
    ("mean", "error", "text"),
    [
        (2.0626e-6, 2.24e-6, "2.1e-06 ± 2.2e-06"),
        (2.0626e-6, 2.24e-7, "2.06e-06 ± 2.2e-07"),
        (12_345.6, 2_345.6, "1.23e+04 ± 2.3e+03"),
        (0.26123, 0.03456, "0.261 ± 0.035"),
        (0.0, 3e-9, "0 ± 3e-09"),
    ],
)
def test_means_have_the_precision_of_their_error(mean: float, error: float, text: str) -> None:
    assert _with_error(mean, error) == text
