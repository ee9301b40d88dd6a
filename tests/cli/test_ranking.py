"""The commands that rank the targets of a selection and the sources of a target."""

from __future__ import annotations

from pathlib import Path

import pytest

from bsv_store import Selection, open_store
from tests.cli.conftest import VISP
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
    assert "2 targets, possibly more (--limit); projection_density" in done.err


def test_sources_say_which_experiments_are_left_out(run: Runner, filled: Path) -> None:
    target = run("targets", *IDS, "--limit", "1", "--format", "csv", store=filled).succeeded().rows[0]["structure"]
    done = run("sources", target, "--format", "csv", store=filled).succeeded()
    assert [row["structure"] for row in done.rows] == ["VISp"]
    assert int(done.rows[0]["n"]) == len(VISP)
    assert "left out" in done.err


def test_hemispheres_that_do_not_depend_on_the_injection_are_refused(run: Runner, filled: Path) -> None:
    run("targets", *IDS, "--hemisphere", "left", store=filled).refused(2, "--hemisphere")
