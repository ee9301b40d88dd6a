"""Each file operation of a job fails once: nothing is lost, the process goes on, and the next run works.

The calls of SQLite and HDF5 fail, too (`tests.reliability.disk`): with EIO, as on a broken disk; with ENOSPC, once or
from then on; with EINTR; or a write writes only a part. The job succeeds or raises an error of the package. The same
process then finds no damage and everything that was acknowledged, and repeats the job. The ordinary run takes a sample
of the operations, rare kinds first. All jobs use SQLite, because Postgres does its own file operations.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import random
import shutil
from collections.abc import Callable, Iterator

import pytest

from tests.reliability.campaigns import campaign
from tests.reliability.conftest import Observed
from tests.reliability.disk import CALLS, SHORT, Call, Control, DiedError, Failure, own_control
from tests.reliability.jobs import JOBS, Facts, Job, Place, named

_CHANGES: tuple[Call, ...] = ("open", "write", "fsync", "rename", "unlink", "mkdir", "link", "truncate")


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
def test_a_job_survives_the_failure_of_a_file_operation(job: Job, observed: Observed) -> None:
    place = observed.place
    before, after, counts = observed.process.call(_count, job.name, place)
    with campaign("io-sweep", part=job.name, share=1 / len(JOBS)) as trials:
        for failure in itertools.islice(_failures(counts, trials.seed), trials.size):
            what = f"{job.name}: {failure}"
            try:
                said = observed.process.call(_fail, job.name, place, failure, before, after)
            except (AssertionError, DiedError) as error:
                raise AssertionError(f"{what}: {error}") from error
            assert said is None, f"{what}: {said}"
            trials.done()


def _failures(counts: dict[Call, int], seed: int) -> Iterator[Failure]:
    """All failures of a job, each kind of call in turn."""
    draw = random.Random(seed)
    each: list[list[Failure]] = []
    for call in CALLS:
        found = [Failure(call, number, errno.EIO) for number in range(1, counts[call] + 1)]
        found += [Failure(call, number, errno.EINTR) for number in range(1, counts[call] + 1)]
        if call in _CHANGES:
            for is_lasting in (False, True):
                found += [Failure(call, number, errno.ENOSPC, is_lasting) for number in range(1, counts[call] + 1)]
        if call == "write":
            found += [Failure(call, number, SHORT) for number in range(1, counts[call] + 1)]
        draw.shuffle(found)
        each.append(found)
    for together in itertools.zip_longest(*each):
        yield from (failure for failure in together if failure is not None)


# -- in the observed process -------------------------------------------------------------------------------------------


def _prepare(job: Job, place: Place) -> None:
    for path in place.folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    place.begin(job.prepare)


def _count(name: str, place: Place) -> tuple[Facts, dict[str, Facts], dict[Call, int]]:
    job, control = named(name), own_control()
    _prepare(job, place)
    before, after = job.told(place)
    _prepare(job, place)
    control.start()
    job.run(place)
    counts = control.counts()
    control.stop()
    return before, after, counts


def _fail(name: str, place: Place, failure: Failure, before: Facts, after: dict[str, Facts]) -> str | None:
    """Run a job in which a call fails, and return a description of what is wrong."""
    job, control = named(name), own_control()
    _prepare(job, place)
    return job.wrong_after(place, before, after, _failing(control, failure))


@contextlib.contextmanager
def _failing(control: Control, failure: Failure) -> Iterator[Callable[[], bool]]:
    control.start(failure=failure)
    try:
        yield lambda: control.failed > 0
    finally:
        control.stop()
