"""Every file operation of a job fails once, with EIO and with ENOSPC: nothing is lost, and the next run works.

The ordinary run samples the operations; the long one fails each of them. The operations of SQLite itself are not
counted, since they are not made by Python; Postgres makes its own.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bsv_store import open_store
from bsv_store.errors import BsvStoreError
from tests.reliability.failing_io import CALLS, ERRORS, FailingDisk, failing
from tests.reliability.jobs import JOBS, Job, copied

if TYPE_CHECKING:
    pass

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads names of open files from /proc")

# In the ordinary run, one of so many operations fails.
_SAMPLE = 7


def _sweep(job: Job, template: Path, url: str, folder: Path, *, step: int) -> int:
    """Fail operations of a job one at a time; returns how many failed."""
    prepared = copied(template, folder / "prepared" / "store")
    with open_store(prepared) as store:
        job.prepare(store, url)
    location = folder / "tried" / "store"
    counted = FailingDisk(location.parent)
    with open_store(copied(prepared, location)) as store:
        with failing(counted):
            job.run(store, url)
        expected = job.result(store)
    tried = 0
    for call in CALLS:
        for number in range(1 + tried % step, counted.counts[call] + 1, step):
            for word, error in ERRORS.items():
                disk = FailingDisk(location.parent, call, number, error)
                _fail(job, copied(prepared, location), url, disk, f"{job.name}: {call} {number} fails with {word}")
                with open_store(location) as store:
                    assert job.result(store) == expected, (job.name, call, number, word)
                tried += 1
    return tried


def _fail(job: Job, location: Path, url: str, disk: FailingDisk, what: str) -> None:
    with open_store(location) as store:
        try:
            with failing(disk):
                job.run(store, url)
        except BsvStoreError as error:
            if not disk.failed:
                raise AssertionError(f"{what}: {error!r}") from error
        except BaseException as error:
            raise AssertionError(f"{what}: {error!r}") from error
    with open_store(location) as store:
        damage = [each for each in store.admin.verify(deep=True).findings if each.is_damage]
        assert not damage, (what, damage)
        job.run(store, url)
        damage = [each for each in store.admin.verify(deep=True).findings if each.is_damage]
        assert not damage, (what, damage)


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
def test_a_job_survives_the_failure_of_a_file_operation(job: Job, lists: Path, server_url: str, tmp_path: Path) -> None:
    assert _sweep(job, lists, server_url, tmp_path, step=_SAMPLE) > 0


@pytest.mark.long
@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
def test_a_job_survives_the_failure_of_each_file_operation(
    job: Job, lists: Path, server_url: str, tmp_path: Path
) -> None:
    assert _sweep(job, lists, server_url, tmp_path, step=1) >= 10
