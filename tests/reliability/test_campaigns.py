"""The size of the campaigns, which `make reliability` sets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.reliability.__main__ import Figures, figures_of, table
from tests.reliability.campaigns import CAMPAIGNS, FIGURES_VARIABLE, ROUNDS_VARIABLE, SEED_VARIABLE, campaign

# As the fixture that clears the environment of each test does.
_PROGRAM = """
import os
import pytest

from tests.reliability.__main__ import Figures, figures_of, table
from tests.reliability.campaigns import campaign
for name in [name for name in os.environ if name.startswith("BSV_STORE")]:
    del os.environ[name]
with campaign("kills", part="all", share=0.5) as trials:
    trials.done(trials.size)
print(trials.seed)
"""


def test_a_long_run_has_its_size_in_tests_whose_environment_was_cleared(tmp_path: Path) -> None:
    figures = tmp_path / "figures.jsonl"
    chosen = {ROUNDS_VARIABLE: "2", SEED_VARIABLE: "7", FIGURES_VARIABLE: str(figures)}
    command = [sys.executable, "-c", _PROGRAM]
    checkout = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        command, cwd=checkout, env={**os.environ, **chosen}, capture_output=True, text=True, check=True
    )
    assert done.stdout == "7\n"
    (line,) = map(json.loads, figures.read_text(encoding="utf-8").splitlines())
    assert (line["trials"], line["part"], line["passed"]) == (CAMPAIGNS["kills"].long, "all", True)


def _recorded(trials: int, *, passed: bool = True) -> dict[str, object]:
    return {"campaign": "kills", "part": "", "trials": trials, "seconds": 60.0, "passed": passed}


@pytest.mark.parametrize(
    ("lines", "trials", "failures"),
    [
        ([_recorded(3), _recorded(4)], 7, 0),
        ([_recorded(3), _recorded(4, passed=False)], 7, 1),
        ([_recorded(0, passed=False)], 0, 1),
        ([_recorded(0)], 0, 1),
        ([], 0, 1),
    ],
    ids=["passed", "a part failed", "failed at once", "without trials", "skipped"],
)
def test_a_campaign_without_trials_has_failed(lines: list[dict[str, object]], trials: int, failures: int) -> None:
    figures = figures_of(["kills"], lines)
    assert figures == [Figures("kills", trials, failures, 60.0 * len(lines))]
    row = table(figures, heading="").splitlines()[-1]
    assert row.startswith(
        f"| `kills` | {CAMPAIGNS['kills'].title} | {f'{trials} kills' if trials else 'none: not run'} |"
    )
    assert f"| {failures} |" in row


def _failing() -> None:
    with campaign("once", part="sqlite") as trials:
        trials.done(2)
        raise ValueError(trials.seed, trials.size)


def test_a_failure_has_a_note_with_the_seed() -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - its note is examined
        _failing()
    seed, size = caught.value.args
    assert caught.value.__notes__ == [f"campaign once (sqlite), seed {seed}, after 2 of {size} trials"]
