"""Each file operation of a job fails once: nothing is lost, the process goes on, and the next run works.

The calls of SQLite and HDF5 fail, too (`tests.reliability.disk`): with EIO, as on a broken disk; with ENOSPC, once or
from then on; with EINTR; or a write writes only a part. The job succeeds or raises an error of the package. The same
process then finds no damage and everything that was acknowledged, and repeats the job. It goes on with the next
failure: one process survives all failures of all jobs. If all files are the same as after an earlier failure, their
bytes are not verified again.

The long run lets every call of every job fail in each of these ways; the ordinary run a sample, of calls from different
places in the program. All jobs use SQLite, because Postgres does its own file operations.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import random
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence

import pytest

from tests.reliability.campaigns import campaign
from tests.reliability.conftest import Observed
from tests.reliability.disk import CALLS, SHORT, Call, Control, Counted, DiedError, Failure, own_control
from tests.reliability.jobs import JOBS, Facts, Job, Place, named

# The parts of paths that differ between runs.
_VARIABLE = re.compile(r"[0-9a-f]{8,}|\d+")


# Failures that jobs did not survive once: of the first such call in a function.
_FOUND: tuple[tuple[str, Call, str], ...] = (
    ("backup", "read", "_store_database"),
    ("restore", "unlink", "restore_snapshot"),
    ("prune", "unlink", "locked"),
    ("network", "read", "_foreign_content"),
    ("network", "read", "row_objects"),
    ("repair-results", "rename", "record_result"),
)


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
def test_a_job_survives_the_failure_of_a_file_operation(job: Job, observed: Observed) -> None:
    place = observed.place
    before, after, calls = observed.process.call(_traced, job.name, place, in_fork=False)
    failures = list(failures_of(calls))
    with campaign("io-sweep", part=job.name, share=1 / len(JOBS), every=len(failures)) as trials:
        for failure in [*_found_earlier(job, calls), *sampled(failures, calls, trials.seed)[: trials.size]]:
            what = f"{job.name}: {failure}"
            try:
                said = observed.process.call(_fail, job.name, place, failure, before, after, in_fork=False)
            except (AssertionError, DiedError) as error:
                raise AssertionError(f"{what}: {error}") from error
            assert said is None, f"{what}: {said}"
            trials.done()


def _found_earlier(job: Job, calls: Sequence[Counted]) -> Iterator[Failure]:
    for name, call, function in _FOUND:
        if name == job.name:
            found = (each.number for each in calls if each.call == call and f" in {function}\n" in each.stack)
            yield Failure(call, next(found), errno.EIO)


def failures_of(calls: Sequence[Counted]) -> Iterator[Failure]:
    """All ways in which each call of a job may fail."""
    for each in calls:
        yield Failure(each.call, each.number, errno.EIO)
        yield Failure(each.call, each.number, errno.EINTR)
        if each.call != "read":
            yield Failure(each.call, each.number, errno.ENOSPC)
            yield Failure(each.call, each.number, errno.ENOSPC, is_lasting=True)
        if each.call == "write":
            yield Failure(each.call, each.number, SHORT)


def sampled(failures: Iterable[Failure], calls: Sequence[Counted], seed: int) -> list[Failure]:
    """The failures in another order: first one call from each place in the program, the kinds of calls in turn."""
    draw = random.Random(seed)
    places = {(each.call, each.number): (_VARIABLE.sub("", each.path), each.stack, each.inner) for each in calls}
    tried = set()
    groups: dict[tuple[bool, Call], list[Failure]] = {key: [] for key in itertools.product((False, True), CALLS)}
    for failure in sorted(failures, key=lambda _: draw.random()):
        key = places[failure.call, failure.number], failure.error, failure.is_lasting
        groups[key in tried, failure.call].append(failure)
        tried.add(key)
    return [
        failure
        for is_again in (False, True)
        for together in itertools.zip_longest(*(groups[is_again, call] for call in CALLS))
        for failure in together
        if failure is not None
    ]


# -- in the observed process -------------------------------------------------------------------------------------------


def _prepare(job: Job, place: Place) -> None:
    for path in place.folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    place.begin(job.prepare)


def _traced(name: str, place: Place) -> tuple[Facts, dict[str, Facts], list[Counted]]:
    job, control = named(name), own_control()
    _prepare(job, place)
    before, after = job.told(place)
    _prepare(job, place)
    control.start(is_tracing=True)
    job.run(place)
    control.stop()
    return before, after, list(control.counted())


def _fail(name: str, place: Place, failure: Failure, before: Facts, after: dict[str, Facts]) -> str | None:
    """Run a job in which a call fails, and return a description of what is wrong."""
    job, control = named(name), own_control()
    _prepare(job, place)
    checked = place.templates / "checked"
    checked.mkdir(exist_ok=True)
    return job.wrong_after(place, before, after, _failing(control, failure), checked=checked)


@contextlib.contextmanager
def _failing(control: Control, failure: Failure) -> Iterator[Callable[[], bool]]:
    control.start(failure=failure)
    try:
        yield lambda: control.failed > 0
    finally:
        control.stop()
