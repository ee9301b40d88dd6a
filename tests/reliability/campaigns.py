"""The campaigns: tests that repeat many random trials, small in the ordinary run and large in `make reliability`.

A campaign is a row of `CAMPAIGNS`. Its tests ask for their share of its trials and report how many they made:

    with campaign("power-loss", part=job.name, share=1 / len(JOBS)) as trials:
        for state in itertools.islice(states(seed=trials.seed), trials.size):
            ...
            trials.done()

A failure is an assertion, as in any other test. Its message names the trial, and a note that `campaign` adds the seed.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Name = Literal[
    "kills",
    "random-kills",
    "once",
    "writers",
    "readers",
    "lost-connections",
    "commits-between",
    "damage",
    "bad-bodies",
    "io-sweep",
    "power-loss",
    "schedules",
    "state-machine",
    "upgrades",
    "fuzzing",
    "soak",
]

# Multiplies the sizes of the long run; the ordinary run does not set it.
ROUNDS_VARIABLE = "BSV_STORE_RELIABILITY_ROUNDS"
SEED_VARIABLE = "BSV_STORE_RELIABILITY_SEED"
# The file to which each campaign appends what it did, as a line of JSON.
FIGURES_VARIABLE = "BSV_STORE_RELIABILITY_FIGURES"

# Read before the environment of each test is cleared.
_ENVIRONMENT = {
    name: os.environ[name] for name in (ROUNDS_VARIABLE, SEED_VARIABLE, FIGURES_VARIABLE) if name in os.environ
}


@dataclass(frozen=True)
class Campaign:
    """A row of the table in docs/reliability.md.

    Attributes
    ----------
    title : str
        What is tried.
    unit : str
        What is counted, in the plural.
    ordinary, long : int
        Number of trials in the ordinary run, and in ``make reliability`` with ``ROUNDS=1``.
    tests : str
        The file of its tests.
    """

    title: str
    unit: str
    ordinary: int
    long: int
    tests: str


CAMPAIGNS: dict[Name, Campaign] = {
    "kills": Campaign("SIGKILL at a named checkpoint, on both databases", "kills", 88, 1040, "test_kills.py"),
    "random-kills": Campaign("SIGKILL at a random time of a job, on both databases", "kills", 6, 400, "test_kills.py"),
    "once": Campaign("many processes fetch the same objects", "objects", 20, 480, "test_together.py"),
    "writers": Campaign("many processes add versions to one name", "versions", 12, 400, "test_together.py"),
    "readers": Campaign("reads during refreshes, fetches and collections", "reads", 200, 22_000, "test_together.py"),
    "lost-connections": Campaign(
        "Postgres killed, or its connection cut", "interruptions", 14, 1400, "test_lost_connections.py"
    ),
    "commits-between": Campaign(
        "another process commits between two statements of a job, on Postgres",
        "commits",
        10,
        4000,
        "test_commits_between.py",
    ),
    "damage": Campaign("random bits flipped in stored files", "flips", 40, 7800, "test_flips.py"),
    "bad-bodies": Campaign("random changes of what Allen sends", "replies", 60, 20_000, "test_bad_replies.py"),
    "io-sweep": Campaign("a file operation that fails, also SQLite's", "failures", 120, 24_000, "test_io_sweep.py"),
    # More than 100,000, since a job with few operations has few states.
    "power-loss": Campaign("states that a loss of power may leave", "states", 450, 110_000, "test_power_loss.py"),
    "schedules": Campaign("seeded schedules of several processes", "schedules", 60, 100_000, "test_schedules.py"),
    "state-machine": Campaign(
        "random sequences of commands against a model", "steps", 160, 20_000, "test_state_machine.py"
    ),
    "upgrades": Campaign("stores of past versions, upgraded and downgraded", "upgrades", 6, 48, "test_upgrades.py"),
    "fuzzing": Campaign("mutated inputs of readers", "inputs", 12_000, 4_000_000, "test_fuzzing.py"),
    "soak": Campaign(
        "mixed use by 12 processes and the server, with faults", "operations", 100, 50_000, "test_soak.py"
    ),
}


@dataclass
class Trials:
    """How many trials to make, and how many were made.

    Attributes
    ----------
    size : int
        At least 1.
    seed : int
        Of all random choices.
    made : int
    """

    size: int
    seed: int
    made: int = 0

    def done(self, count: int = 1) -> None:
        """Count trials that passed."""
        self.made += count


def is_long() -> bool:
    """True under ``make reliability``."""
    return ROUNDS_VARIABLE in _ENVIRONMENT


@contextmanager
def campaign(name: Name, *, part: str = "", share: float = 1.0, every: int | None = None) -> Iterator[Trials]:
    """The trials of one test of a campaign; their number is recorded at the end, also if the test fails.

    An error gets a note with the seed, and how many trials passed before.

    Parameters
    ----------
    name : Name
    part : str
        Distinguishes the tests of a campaign, such as the database or the job.
    share : float
        The share of the campaign's trials that this test makes.
    every : int, optional
        Number of all possible trials, all of which ``make reliability`` with ``ROUNDS=1`` makes, whatever the share.
    """
    row = CAMPAIGNS[name]
    if not is_long():
        total = row.ordinary * share
    else:
        rounds = float(_ENVIRONMENT[ROUNDS_VARIABLE])
        total = row.long * share * rounds if every is None else every * min(1.0, rounds)
    trials = Trials(max(1, math.ceil(total)), int(_ENVIRONMENT.get(SEED_VARIABLE, "1")))
    start = time.monotonic()
    is_passed = False
    try:
        yield trials
        is_passed = True
    except BaseException as error:
        where = f"campaign {name}{f' ({part})' if part else ''}"
        error.add_note(f"{where}, seed {trials.seed}, after {trials.made} of {trials.size} trials")
        raise
    finally:
        _record(name, part, trials, time.monotonic() - start, is_passed=is_passed)


def _record(name: Name, part: str, trials: Trials, seconds: float, *, is_passed: bool) -> None:
    target = _ENVIRONMENT.get(FIGURES_VARIABLE)
    if target is None:
        return
    values = {"campaign": name, "part": part, "trials": trials.made, "seconds": seconds, "passed": is_passed}
    # One write to a file opened for appending: several workers write to it.
    descriptor = os.open(Path(target), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, f"{json.dumps(values)}\n".encode())
    finally:
        os.close(descriptor)
