"""``bsv-store fetch``."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bsv_store import open_store
from bsv_store_synthetic import SyntheticServer
from bsv_store_synthetic.faults import Hang, Status
from tests.cli.conftest import ATLAS, UNMEASURED, VISP
from tests.cli.running import Runner, child_environment, command_line


def _stored(location: Path) -> set[int]:
    with open_store(location) as store:
        frame = store.sql("select experiment_id from volume where kind = 'projection_density' and spacing_um = 100")
    return {int(each) for each in frame["experiment_id"]}


def test_downloads_missing_volumes_and_reports_the_size(run: Runner, server: SyntheticServer, own_filled: Path) -> None:
    done = run("fetch", "--injected-in", "VIS", "--line", "wild-type", store=own_filled).succeeded()
    assert done.out == ""
    assert done.err.startswith("projection_density at 100 um: 3 fetched (")
    assert "3 already present, 0 failed." in done.err
    assert UNMEASURED in _stored(own_filled)


def test_programs_learn_what_became_of_each(run: Runner, server: SyntheticServer, own_filled: Path) -> None:
    options = ["fetch", "--ids", f"{VISP[0]},{UNMEASURED}"]
    rows = run(*options, "--format", "csv", store=own_filled).succeeded().rows
    assert rows == [
        {"experiment_id": str(VISP[0]), "outcome": "present", "reason": ""},
        {"experiment_id": str(UNMEASURED), "outcome": "fetched", "reason": ""},
    ]
    report = run(*options, "--format", "json", store=own_filled).succeeded().json
    assert (report["present"], report["fetched"], report["failed"]) == ([VISP[0], UNMEASURED], [], [])


@pytest.mark.usefixtures("wide_terminal")
def test_failed_downloads_are_listed_and_the_others_stored(
    run: Runner, server: SyntheticServer, own_filled: Path
) -> None:
    server.fail(f"/{UNMEASURED}", Status(404), None)
    done = run("fetch", "--ids", f"{UNMEASURED},9100000005", store=own_filled).refused(6, "1 fetched", "1 failed")
    title, head, _, row = done.out.strip().splitlines()
    assert (title, head.split()) == ("Failed", ["experiment", "reason"])
    assert row.startswith(f"{UNMEASURED}  ")
    assert 9100000005 in _stored(own_filled)
    report = run("fetch", "--ids", UNMEASURED, "--format", "csv", store=own_filled).refused(6)
    assert [(row["outcome"], "404" in row["reason"]) for row in report.rows] == [("failed", True)]


def test_refresh_fetches_again(run: Runner, server: SyntheticServer, own_filled: Path) -> None:
    assert "1 fetched" in run("fetch", "--ids", VISP[0], "--refresh", store=own_filled).succeeded().err


def test_kind_and_spacing_say_which_volumes(run: Runner, server: SyntheticServer, own_filled: Path) -> None:
    options = ["--kind", "injection_fraction", "--spacing", "50"]
    run("fetch", "--ids", VISP[0], *options, store=own_filled).succeeded()
    with open_store(own_filled) as store:
        assert store.volume(VISP[0], kind="injection_fraction", spacing_um=50).shape == (264, 160, 228)


def test_nothing_selected_is_an_error(run: Runner, server: SyntheticServer, filled: Path) -> None:
    done = run("fetch", "--injected-in", "VISp", "--line", "any-cre", "--injected-hemisphere", "left", store=filled)
    done.refused(2, "no experiment matches")
    assert done.out == ""
    assert server.requests.total == 0


def test_the_whole_atlas_is_only_fetched_on_demand(run: Runner, server: SyntheticServer, own_filled: Path) -> None:
    run("fetch", store=own_filled).refused(2, "--all")
    run("fetch", "--include-withdrawn", store=own_filled).refused(2, "--all")
    run("fetch", "--all", "--line", "wild-type", store=own_filled).refused(2, "--all")
    assert server.requests.total == 0
    assert f"{len(ATLAS.experiment_ids) - len(VISP)} fetched" in run("fetch", "--all", store=own_filled).succeeded().err


def test_wrong_options_are_refused(run: Runner, filled: Path) -> None:
    run("fetch", "--ids", VISP[0], "--kind", "densities", store=filled).refused(2, "'densities'", "projection-density")
    run("fetch", "--ids", VISP[0], "--spacing", "33", store=filled).refused(2, "'33'", "'25'")
    run("fetch", "--ids", VISP[0], "--workers", "0", store=filled).refused(2, "--workers")
    run("fetch", "--ids", "5", store=filled).refused(2, "no experiment 5")


@pytest.mark.skipif(sys.platform == "win32", reason="signals differ")
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_ctrl_c_ends_in_one_sentence(server: SyntheticServer, own_filled: Path) -> None:
    server.fail("grid_data", Hang(), None)
    process = subprocess.Popen(
        command_line("fetch", "--ids", UNMEASURED, store=own_filled),
        env=child_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert server.requests.wait_for(1, seconds=60)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    assert err.strip() == "Interrupted. Finished work is stored, and the next run continues from there."
