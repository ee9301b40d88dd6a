"""Every file operation of a job fails once, with EIO and with ENOSPC: nothing is lost, and the next run works.

The ordinary run samples the operations; the long one fails each of them. The operations of SQLite itself are not
counted, since they are not made by Python; Postgres makes its own.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bsv_store import open_store
from bsv_store.errors import BsvStoreError
from bsv_store_synthetic import SyntheticAtlas, SyntheticServer
from tests.reliability.failing_io import CALLS, ERRORS, FailingDisk, failing

if TYPE_CHECKING:
    from bsv_store import Store

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads names of open files from /proc")

# In the ordinary run, one of so many operations fails.
_SAMPLE = 7


@dataclass(frozen=True)
class Job:
    """What a user does, and what of it must be in the store afterwards.

    Attributes
    ----------
    prepare, run, result : callable
        Called with the store and the address of the synthetic server; ``result`` returns comparable values.
    """

    name: str
    prepare: Callable[[Store, str], object]
    run: Callable[[Store, str], object]
    result: Callable[[Store], object]


def _nothing(_store: Store, _url: str) -> None:
    return None


def _ids(store: Store) -> tuple[int, ...]:
    return store.select()[:2]


def _fetch(store: Store, url: str) -> None:
    store.fetch(_ids(store), api_url=url)


def _aggregate(store: Store, _url: str) -> None:
    store.aggregate(_ids(store), name="average")


def _stored(store: Store) -> object:
    return [str(store.volumes.describe(each)["array_sha256"]) for each in _ids(store)]


def _average(store: Store) -> object:
    return store.dataset("average@1").content_sha256, store.dataset("average@1").mean.tobytes()


def _delete(store: Store, _url: str) -> None:
    if store.datasets.list():
        store.datasets.delete("average@1", force=True)


def _fetched_and_averaged(store: Store, url: str) -> None:
    _fetch(store, url)
    _aggregate(store, url)


def _export(store: Store, _url: str) -> None:
    store.dataset("average@1").export(store.path.parent / "average.bsv.zip", overwrite=True)


def _bundle(store: Store) -> object:
    return (store.path.parent / "average.bsv.zip").is_file() and _average(store)


def _annotate(store: Store, url: str) -> None:
    store.sync_annotation(download_url=url)


JOBS = (
    Job("fetch", _nothing, _fetch, _stored),
    Job("annotation", _nothing, _annotate, lambda store: store.atlas.annotation().tobytes()),
    Job("aggregate", _fetch, _aggregate, _average),
    Job("delete", _fetched_and_averaged, _delete, lambda store: store.datasets.list()),
    Job("export", _fetched_and_averaged, _export, _bundle),
)


@pytest.fixture(scope="module")
def server() -> Iterator[SyntheticServer]:
    with SyntheticServer(SyntheticAtlas(experiments=3)) as running:
        yield running


@pytest.fixture(scope="module")
def template(server: SyntheticServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from bsv_store import create_store

    folder = tmp_path_factory.mktemp("sweep") / "store"
    with create_store(folder) as store:
        store.sync_structures(api_url=server.url)
        store.sync_experiments(api_url=server.url)
        store.sync_unionizes(api_url=server.url)
    return folder


def _copy(template: Path, target: Path) -> Path:
    shutil.rmtree(target.parent, ignore_errors=True)
    shutil.copytree(template, target)
    return target


def _sweep(job: Job, template: Path, url: str, folder: Path, *, step: int) -> int:
    """Fail operations of a job one at a time; returns how many failed."""
    prepared = _copy(template, folder / "prepared" / "store")
    with open_store(prepared) as store:
        job.prepare(store, url)
    location = folder / "tried" / "store"
    counted = FailingDisk(location.parent)
    with open_store(_copy(prepared, location)) as store:
        with failing(counted):
            job.run(store, url)
        expected = job.result(store)
    tried = 0
    for call in CALLS:
        for number in range(1 + tried % step, counted.counts[call] + 1, step):
            for word, error in ERRORS.items():
                disk = FailingDisk(location.parent, call, number, error)
                _fail(job, _copy(prepared, location), url, disk, f"{job.name}: {call} {number} fails with {word}")
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
def test_a_job_survives_the_failure_of_a_file_operation(
    job: Job, template: Path, server: SyntheticServer, tmp_path: Path
) -> None:
    assert _sweep(job, template, server.url, tmp_path, step=_SAMPLE) > 0


@pytest.mark.long
@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
def test_a_job_survives_the_failure_of_each_file_operation(
    job: Job, template: Path, server: SyntheticServer, tmp_path: Path
) -> None:
    assert _sweep(job, template, server.url, tmp_path, step=1) > 20
