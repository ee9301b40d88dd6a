"""Every command that takes the selection options answers for the experiments of ``select`` with the same options."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from bsv_store import open_store
from tests.cli.conftest import ATLAS, UNMEASURED, VISP
from tests.cli.running import Outcome, Runner

WITHDRAWN, EXCLUDED = VISP[1], VISP[2]


@pytest.fixture
def varied(own_filled: Path) -> Path:
    """The filled store with one experiment withdrawn and one on the exclusion list."""
    from sqlalchemy import update

    from bsv_store.catalog.database.models import Experiment

    with open_store(own_filled) as store:
        store.catalog.exclude([EXCLUDED], "bad section")
        with store.database.writing() as connection:
            connection.execute(update(Experiment).where(Experiment.id == WITHDRAWN).values(withdrawn=True))
    return own_filled


WISHES: list[list[Any]] = [
    [],
    ["--include-withdrawn"],
    ["--include-excluded"],
    ["--include-withdrawn", "--include-excluded"],
    ["--ids", WITHDRAWN],
    ["--ids", f"{WITHDRAWN},{VISP[0]}"],
    ["--ids", EXCLUDED],
    ["--ids", EXCLUDED, "--include-excluded"],
    ["--exclude-ids", VISP[0], "--include-withdrawn"],
    ["--line", "wild-type", "--include-withdrawn"],
    ["--injected-in", "VISp", "--injection", "any", "--include-excluded"],
    ["--sex", "female", "--include-withdrawn"],
    ["--injected-hemisphere", "right"],
    ["--selection", f'{{"version":1,"ids":[{WITHDRAWN}]}}'],
    ["--selection", f'{{"version":1,"ids":[{WITHDRAWN}]}}', "--line", "any-cre", "--line", "wild-type"],
]
MEASURED, EVERY = set(VISP), set(ATLAS.experiment_ids)
COMMANDS: Sequence[tuple[Sequence[object], Any]] = [
    (["search", "source", "root", "--scope", "any"], EVERY),
    (["search", "target", "root"], MEASURED),
    (["search", "injection", "8000,1500,8500"], EVERY),
    (["search", "correlation", VISP[0]], MEASURED - {VISP[0]}),
    (["search", "point", "8000,1500,8500"], MEASURED),
    (["matrix", "--rows", "experiments", "--hemisphere", "both"], EVERY),
    (["select"], EVERY),
]


def _ids(outcome: Outcome) -> set[int]:
    return {int(row["experiment_id"]) for row in outcome.succeeded().rows}


def test_commands_answer_for_what_select_lists(run: Runner, varied: Path) -> None:
    for wish in WISHES:
        listed = run("select", *wish, "--ids-only", store=varied)
        if listed.code == 2:
            for command, _ in COMMANDS:
                run(*command, *wish, "--format", "csv", store=varied).refused(2, "on the exclusion list")
            continue
        selected = {int(line) for line in listed.succeeded().out.split()}
        assert int(run("catalog", "summary", *wish, "--format", "json", store=varied).succeeded().json["total"]) == len(
            selected
        )
        for command, possible in COMMANDS:
            done = run(*command, *wish, "--format", "csv", store=varied)
            if done.code == 2:
                # The others answer with nothing.
                assert not selected & possible, (command, wish, done.err)
                continue
            assert _ids(done) == selected & possible, (command, wish)
    assert UNMEASURED not in MEASURED
