"""Postgres is killed, or connections to it are cut, at any moment of a job: nothing is lost or done twice.

Connections are lost at each checkpoint of the library, while each transaction commits, before or after the server has
committed it, and at random moments; the ordinary run takes a sample of them. The command succeeds or raises an error of
the package. What it acknowledged is then in the store, there is no damage, and the command, run again, gives its result
without a second version or a gap.
"""

from __future__ import annotations

import contextlib
import gc
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from bsv_store.errors import StoreUnreachableError
from tests.conftest import require_postgres
from tests.postgres import PostgresServer
from tests.reliability import kill_jobs
from tests.reliability.campaigns import campaign, is_long
from tests.reliability.conftest import MakeWorlds
from tests.reliability.interrupted_postgres import (
    KINDS,
    Counts,
    InterruptedPlace,
    InterruptedPostgres,
    Interruption,
    Kind,
)
from tests.reliability.jobs import JOBS, Facts, Job
from tests.reliability.killing import try_kills

# A cursor whose connection was lost cannot be closed; psycopg warns when it is deleted.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")


@pytest.fixture(autouse=True)
def _deleted_cursors() -> Iterator[None]:
    """Delete such cursors within the test."""
    yield
    gc.collect()


# Other kinds of jobs do not write to the database, or only on SQLite.
_WRITING = tuple(job for job in JOBS if job.name not in ("export", "network", "prune"))
# Half of them around a commit.
_WEIGHTS = (3, 4, 2, 2, 1, 1, 1)
_COMMITTING: tuple[Kind, ...] = ("commit lost", "answer lost")
# The defaults of Postgres.
_DURABLE = {"synchronous_commit": "on", "full_page_writes": "on", "wal_level": "replica"}


@pytest.fixture(scope="module")
def postgres_place(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[InterruptedPlace]:
    """A place on a Postgres server of its own."""
    require_postgres()
    folder = tmp_path_factory.mktemp("interrupted")
    postgres = InterruptedPostgres()
    try:
        url = postgres.url("interrupted")
        yield InterruptedPlace(
            folder / "place",
            server_url,
            folder / "templates",
            url,
            server=postgres.server,
            name="interrupted",
            postgres=postgres,
        )
    finally:
        postgres.close()


def test_the_server_keeps_what_it_has_committed_when_it_is_killed(postgres_place: InterruptedPlace) -> None:
    assert postgres_place.postgres is not None
    with postgres_place.postgres.server.connect() as connection:
        found = {name: connection.execute(f"SHOW {name}").fetchone() for name in _DURABLE}
    assert found == {name: (value,) for name, value in _DURABLE.items()}


@pytest.mark.parametrize("job", _WRITING, ids=lambda job: job.name)
def test_a_job_survives_a_lost_connection(job: Job, postgres_place: InterruptedPlace) -> None:
    before, after, counts = _counted(job, postgres_place)
    with campaign("lost-connections", part=job.name, share=1 / len(_WRITING)) as trials:
        draw = random.Random(f"{job.name} {trials.seed}")
        plans = []
        if is_long():
            plans = [Interruption(kind, 1 + each) for kind in _COMMITTING for each in range(counts.commits)]
        while len(plans) < trials.size:
            kind = draw.choices(KINDS, _WEIGHTS)[0]
            plans.append(Interruption(kind, draw.randint(1, max(1, counts.of(kind)))))
        for number, plan in enumerate(plans):
            _begin(job, postgres_place)
            wrong = job.wrong_after(postgres_place, before, after, _interrupting(postgres_place, plan))
            assert wrong is None, f"{job.name}, seed {trials.seed}, trial {number}, {plan}: {wrong}"
            trials.done()


def test_a_job_survives_connections_lost_at_a_checkpoint(make_worlds: MakeWorlds, postgres: PostgresServer) -> None:
    worlds = make_worlds("postgres")
    with campaign("lost-connections", part="checkpoints", share=1 / 4) as trials:
        jobs = [job for job in kill_jobs.JOBS if "postgres" in job.databases]
        if not is_long():
            jobs = random.Random(trials.seed).sample(jobs, trials.size)
        for job in jobs:
            cuts = [replace(kill, is_cut=True) for kill in worlds.whole(job).points().values()]
            if not is_long():
                cuts = random.Random(f"{job.name} {trials.seed}").sample(cuts, 1)
            for cut in cuts:
                assert try_kills(worlds, job, [cut], "") == 1, f"{job.name} did not reach {cut}"
                trials.done()


def test_a_commit_whose_answer_is_lost_is_looked_up(postgres_place: InterruptedPlace) -> None:
    (job,) = (each for each in _WRITING if each.name == "edit")
    step = job.steps[0]
    assert postgres_place.postgres is not None
    _begin(job, postgres_place)
    postgres_place.postgres.begin(None)
    step.run(postgres_place)
    commits = postgres_place.postgres.end().commits
    found = set()
    for kind in _COMMITTING:
        for number in range(1, commits + 1):
            _begin(job, postgres_place)
            postgres_place.postgres.begin(Interruption(kind, number))
            with contextlib.suppress(StoreUnreachableError):
                step.run(postgres_place)
            postgres_place.postgres.end()
            found.add((kind, "tag average figure" in job.read(postgres_place)))
            step.run(postgres_place)
            assert "tag average figure" in job.read(postgres_place)
    # Both outcomes of the commit of the tag were tried.
    assert {("commit lost", False), ("answer lost", True)} <= found


def _begin(job: Job, place: InterruptedPlace) -> None:
    shutil.rmtree(place.folder, ignore_errors=True)
    place.begin(job.prepare)


def _counted(job: Job, place: InterruptedPlace) -> tuple[Facts, dict[str, Facts], Counts]:
    postgres = place.postgres
    assert postgres is not None
    total = Counts()

    @contextlib.contextmanager
    def counting() -> Iterator[None]:
        nonlocal total
        postgres.begin(None)
        yield
        total += postgres.end()

    _begin(job, place)
    before, after = job.told(place, counting)
    return before, after, total


@contextlib.contextmanager
def _interrupting(place: InterruptedPlace, plan: Interruption) -> Iterator[Callable[[], bool]]:
    postgres = place.postgres
    assert postgres is not None
    postgres.begin(plan)
    try:
        yield lambda: postgres.is_done
    finally:
        postgres.end()
