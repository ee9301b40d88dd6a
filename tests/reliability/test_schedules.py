"""Seeded schedules: several processes on one store stop wherever they can interfere, continue in any order, and die.

``python -m tests.reliability.schedules SEED`` repeats one schedule and prints its steps.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import DatabaseKind
from tests.postgres import SUPERUSER
from tests.reliability.campaigns import campaign
from tests.reliability.schedules import Outcome, run_schedules

# Of the schedules, the share on Postgres, where each needs a copy of a database.
_POSTGRES_SHARE = 0.1
# Schedules per process, so that a long run shows progress.
_AT_ONCE = 500
# Of each seed of the campaign.
_SEEDS = 1_000_000
_REPEATED = 4


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file in which the first process stores the expected answers for the others."""
    return tmp_path_factory.mktemp("answers") / "answers.json"


def _message(failed: Outcome, database: DatabaseKind) -> str:
    steps = "\n".join(failed.steps)
    return f"{steps}\nschedule {failed.seed} on {database}: {'; '.join(failed.failures)}"


def test_no_schedule_of_processes_loses_or_damages_anything(
    database: DatabaseKind, request: pytest.FixtureRequest, answers: Path
) -> None:
    """After each: nothing acknowledged is lost, no answer was wrong, and what was interrupted completes."""
    share = _POSTGRES_SHARE if database == "postgres" else 1 - _POSTGRES_SHARE
    server = None
    if database == "postgres":
        server = request.getfixturevalue("postgres").url("postgres", account=SUPERUSER)
    with campaign("schedules", part=database, share=share) as trials:
        first = 1 + (trials.seed - 1) * _SEEDS
        digests = {}
        for start in range(first, first + trials.size, _AT_ONCE):
            seeds = range(start, min(start + _AT_ONCE, first + trials.size))
            for outcome in run_schedules(seeds, database=server, answers=answers):
                assert not outcome.failures, _message(outcome, database)
                digests[outcome.seed] = outcome.digest
                trials.done()
        if database == "sqlite":
            # So that a failure can be repeated: another process takes the same steps.
            again = run_schedules(range(first, first + min(_REPEATED, trials.size)), steps=True, answers=answers)
            assert {each.seed: each.digest for each in again}.items() <= digests.items()
            steps = "\n".join(line for each in again for line in each.steps)
            assert all(each in steps for each in ("write:begin", "publish:renamed", "read:ended", "start")), steps
