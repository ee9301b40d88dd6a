"""A process killed at any checkpoint, statement or time leaves nothing wrong, and the next run completes."""

from __future__ import annotations

import random
import sys

import pytest

from tests.conftest import DatabaseKind
from tests.reliability.campaigns import campaign, is_long
from tests.reliability.conftest import MakeWorlds
from tests.reliability.kill_jobs import BY_NAME, JOBS, Job
from tests.reliability.killing import Site, Worlds, draw_time, sites, try_kills

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kills processes as on Linux")

PAIRS = [(job, database) for job in JOBS for database in job.databases]
# In the ordinary run, a job is killed where no earlier one was.
_killed: set[Site] = set()


@pytest.fixture
def worlds(database: DatabaseKind, make_worlds: MakeWorlds) -> Worlds:
    """Stores on a database."""
    return make_worlds(database)


@pytest.mark.parametrize(
    ("job", "database"), PAIRS, indirect=["database"], ids=[f"{job.name}-{database}" for job, database in PAIRS]
)
def test_a_job_survives_a_kill_at_each_checkpoint(job: Job, worlds: Worlds, make_worlds: MakeWorlds) -> None:
    with campaign("kills", part=f"{job.name} {worlds.database}", share=1 / len(PAIRS)) as trials:
        # A job reaches the same checkpoints on both databases, but for the rows of a restore.
        is_second = not is_long() and worlds.database == "postgres" and job.name != "restore"
        if is_second and _killed.issuperset(make_worlds("sqlite").whole(job).reached):
            return
        whole = worlds.whole(job)
        points = whole.points()
        new = {site: kill for site, kill in points.items() if is_long() or site not in _killed}
        chosen = list(new)
        if not is_long() and worlds.database == "sqlite" and len(job.databases) > 1:
            # The others on Postgres.
            chosen = chosen[::2]
        _killed.update(chosen)
        kills_once = [new[site] for site in chosen]
        if is_long() and job.name in ("upgrade", "downgrade"):
            kills_once = whole.each("migrate:step") + kills_once
        for kill in kills_once:
            assert try_kills(worlds, job, [kill], "once") == 1, f"{job.name} did not reach {kill}"
            trials.done()
        draw = random.Random(f"{trials.seed} {job.name} {worlds.database}")
        for number in range(len(kills_once), trials.size if is_long() else 0):
            kills = [whole.draw(draw) for _ in range(1 + (draw.random() < 0.4))]
            trials.done(try_kills(worlds, job, kills, f"seed {trials.seed}, trial {number}"))


def test_a_job_survives_a_kill_at_a_random_time(worlds: Worlds) -> None:
    with campaign("random-kills", part=worlds.database, share=1 / 2) as trials:
        draw = random.Random(f"{trials.seed} {worlds.database}")
        jobs = [job for job in JOBS if worlds.database in job.databases]
        for number in range(trials.size):
            job = draw.choice(jobs)
            whole = worlds.whole(job)
            kills = [draw_time(whole, draw) for _ in range(1 + (draw.random() < 0.25))]
            try_kills(worlds, job, kills, f"seed {trials.seed}, trial {number}")
            trials.done()


def test_every_checkpoint_of_the_library_is_reached_by_a_job(
    make_worlds: MakeWorlds, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue("postgres")
    sqlite, postgres = make_worlds("sqlite"), make_worlds("postgres")
    reached = {site for job in JOBS for site in sqlite.whole(job).reached}
    # Rows are restored one by one on Postgres only.
    reached.update(postgres.whole(BY_NAME["restore"]).reached)
    missing = sites() - reached
    assert not missing, f"add a job to tests/reliability/kill_jobs.py that reaches {', '.join(map(str, missing))}"
