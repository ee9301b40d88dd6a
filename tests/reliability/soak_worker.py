"""One process of the soak: random operations on the shared store, whose answers are compared with the right ones."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bsv_store import Selection, open_store
from bsv_store.errors import (
    BsvStoreError,
    BusyError,
    DamagedFileError,
    MissingDataError,
    NoSpaceError,
    StoreUnreachableError,
    UnknownDatasetError,
    UpstreamError,
)
from bsv_store.owner import has_ended
from bsv_store.remote.client import AbsentOnServerError
from bsv_store.sources.allen import AllenClient
from bsv_store.vocabulary import VolumeKind
from tests.reliability.soak_truth import KINDS, SUBSETS, Truth

if TYPE_CHECKING:
    from bsv_store import DatasetVersion, Store

# Errors that faults of the soak cause; any other one is a finding.
_FAULTS = (BusyError, UpstreamError, StoreUnreachableError)
_OF_FILES = (*_FAULTS, DamagedFileError, MissingDataError)


@dataclass(frozen=True)
class Places:
    """Folders and addresses of the soak.

    Attributes
    ----------
    store, truth, work : pathlib.Path
        The store; what is known; logs, backups, caches and temporary files.
    upstream, server : str
        Addresses of the synthetic atlas and of the server of the store.
    controller : str
        The identity of the process that started all others.
    """

    store: Path
    truth: Path
    work: Path
    upstream: str
    server: str
    controller: str

    @property
    def stop(self) -> Path:
        """The file that ends the processes."""
        return self.work / "stop"

    @property
    def is_over(self) -> bool:
        """Whether the processes are to end."""
        return self.stop.exists() or has_ended(self.controller)

    @property
    def backup(self) -> Path:
        """The target of backups."""
        return self.work / "backup"

    @property
    def temporary(self) -> Path:
        """The folder for temporary files of all processes."""
        return self.work / "tmp"

    def log(self, name: str) -> Path:
        """The log of a process."""
        return self.work / "logs" / f"{name}.jsonl"


class WrongError(AssertionError):
    """An answer differs from the right one."""


@dataclass(frozen=True)
class Operation:
    """An operation that a process may choose.

    Attributes
    ----------
    run : callable
    weight : int
    allowed : tuple of exception types
        Errors that faults of the soak may cause.
    """

    run: Callable[[Worker], None]
    weight: int
    allowed: tuple[type[BsvStoreError], ...] = _FAULTS


class Worker:
    """A process of the soak.

    Parameters
    ----------
    places : Places
    name : str
        Of the process, which its successor has too.
    seed : str
        Of all random choices.
    """

    def __init__(self, places: Places, name: str, seed: str) -> None:
        self.places = places
        self.name = name
        self.random = random.Random(seed)
        self.truth = Truth(places.truth)
        self._log = os.open(places.log(name), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self._store: Store | None = None
        # A process that was killed had the same name.
        self._unique = f"{name}-{os.getpid()}-{time.time_ns():x}"
        self._count = 0

    @property
    def store(self) -> Store:
        """The shared store, open."""
        if self._store is None:
            self._store = open_store(self.places.store)
        return self._store

    def reopen(self) -> None:
        """Open the store again at the next use."""
        if self._store is not None:
            self._store.close()
            self._store = None

    def write(self, **values: Any) -> None:
        """Append to the log, in one write, which a kill does not cut."""
        os.write(self._log, f"{json.dumps(values)}\n".encode())

    def new_name(self) -> str:
        """A name that no other process uses."""
        self._count += 1
        return f"{self._unique}-{self._count}"

    def ids(self, count: int) -> list[int]:
        """Experiments that are never excluded."""
        return self.random.sample(self.truth.ids[:-1], count)

    def require(self, holds: bool, *what: object) -> None:
        """Raise unless an answer is right."""
        if not holds:
            raise WrongError(" ".join(map(str, what)))

    def run(self, operations: dict[str, Operation]) -> None:
        """Do random operations until told to stop."""
        names, weights = list(operations), [each.weight for each in operations.values()]
        while not self.places.is_over:
            (name,) = self.random.choices(names, weights)
            operation = operations[name]
            self.write(begin=name)
            begun = time.monotonic()
            error: str | None = None
            wrong: str | None = None
            try:
                operation.run(self)
            except operation.allowed as raised:
                error = type(raised).__name__
            except Exception:  # noqa: BLE001 - the process that reads the log is told
                wrong = traceback.format_exc()
            self.write(done=name, error=error, wrong=wrong, seconds=round(time.monotonic() - begun, 3))
            if self.random.random() < 0.02:
                self.reopen()
        self.reopen()


# -- operations on the folder -----------------------------------------------------------------------------------------


def _kind(worker: Worker) -> VolumeKind:
    return worker.random.choice(KINDS)


def fetch(worker: Worker) -> None:
    ids, kind = worker.ids(2), _kind(worker)
    refresh = worker.random.random() < 0.2
    worker.store.fetch(Selection(ids=ids), kind=kind, api_url=worker.places.upstream, refresh=refresh)


def adopt(worker: Worker) -> None:
    report = worker.store.adopt(worker.places.truth / "cache")
    worker.require(not report.refused, report.refused)


def sync(worker: Worker) -> None:
    store, url = worker.store, worker.places.upstream
    choice = worker.random.randrange(4)
    if choice == 0:
        store.sync_structures(api_url=url)
    elif choice == 1:
        store.sync_experiments(api_url=url)
    elif choice == 2:
        store.sync_annotation(download_url=url, refresh=worker.random.random() < 0.3)
    else:
        store.sync_unionizes(Selection(ids=worker.ids(2)), refresh=True, api_url=url)


def read_volume(worker: Worker) -> None:
    check_volume(worker, worker.store)


def check_volume(worker: Worker, store: Store) -> None:
    (experiment,), kind = worker.ids(1), _kind(worker)
    expected = worker.truth.volume(experiment, kind)
    if worker.random.random() < 0.3:
        found = store.volume(experiment, kind=kind)
        worker.require(np.array_equal(found, expected, equal_nan=True), "volume", experiment, kind)
        return
    low = [worker.random.randrange(size - 20) for size in expected.shape]
    box = [(start * 100, (start + 15) * 100) for start in low]
    part = store.volumes.read(experiment, kind=kind, box=box)
    slices = tuple(slice(start, start + 15) for start in low)
    worker.require(np.array_equal(part, expected[slices], equal_nan=True), "box", box, experiment, kind)


def aggregate(worker: Worker) -> None:
    subset = worker.random.randrange(len(SUBSETS))
    # Own names get new versions all the time; versions of the common ones are computed by one of all.
    name = "common" if worker.random.random() < 0.5 else f"own-{worker.name}"
    selection = Selection(ids=worker.truth.subset(subset))
    if worker.random.random() < 0.8:
        worker.store.fetch(selection, api_url=worker.places.upstream)
    version = worker.store.aggregate(selection, name=name, api_url=worker.places.upstream)
    worker.write(version=version.ref, subset=subset, content=version.content_sha256)
    check_version(worker, version, subset)


def check_version(worker: Worker, version: DatasetVersion, subset: int) -> None:
    worker.require(version.content_sha256 == worker.truth.contents[subset], version.ref, "has another hash")
    worker.require(np.array_equal(version.mean, worker.truth.mean(subset), equal_nan=True), version.ref, "mean")


def _own_versions(worker: Worker) -> list[str]:
    rows = worker.store.datasets.versions()
    return [f"{row.name}@{row.number}" for row in rows.itertuples() if row.name == f"own-{worker.name}"]


def tag(worker: Worker) -> None:
    refs = _own_versions(worker)
    if refs:
        ref, name = worker.random.choice(refs), f"t-{worker.new_name()}"
        worker.store.datasets.tag(ref, name)
        worker.write(tag=name, ref=ref)


def delete(worker: Worker) -> None:
    refs = _own_versions(worker)
    if refs:
        ref = worker.random.choice(refs)
        worker.write(deleting=ref)
        worker.store.datasets.delete(ref, force=True)
        worker.write(deleted=ref)


def read_version(worker: Worker) -> None:
    check_any_version(worker, worker.store)


def check_any_version(worker: Worker, store: Store) -> None:
    rows = store.datasets.versions()
    if len(rows):
        row = rows.iloc[worker.random.randrange(len(rows))]
        version = store.dataset(f"{row['name']}@{row['number']}")
        (subset,) = [i for i, each in enumerate(worker.truth.contents) if each == version.content_sha256]
        check_version(worker, version, subset)


def select(worker: Worker) -> None:
    check_selections(worker, worker.store)


def check_selections(worker: Worker, store: Store) -> None:
    acronym, expected = worker.random.choice(worker.truth.injected)
    found = store.select(Selection(injected_in=acronym, include_excluded=True))
    worker.require(list(found) == expected, "selection", acronym, found, expected)
    ids = sorted(worker.ids(3))
    rows = store.catalog.unionizes(Selection(ids=ids))
    worker.require(worker.truth.has_unionizes(ids, rows), "unionizes", ids)


def sql(worker: Worker) -> None:
    check_sql(worker, worker.store)


def check_sql(worker: Worker, store: Store) -> None:
    (experiment,) = worker.ids(1)
    frame = store.sql(
        "SELECT count(*) AS n, sum(projection_volume) AS total FROM unionize WHERE experiment_id = :id",
        {"id": experiment},
    )
    count, total = worker.truth.unionize_sums[experiment]
    found = (int(frame["n"].iloc[0]), float(frame["total"].iloc[0]))
    worker.require(found[0] == count and np.isclose(found[1], total, rtol=1e-9), "sql", experiment, found)


def exclude(worker: Worker) -> None:
    last = worker.truth.ids[-1]
    if worker.random.random() < 0.5:
        worker.store.catalog.exclude([last], f"because {worker.name}", replace=True)
    elif worker.store.catalog.excluded_from(Selection(ids=[last], include_excluded=True)):
        worker.store.catalog.lift_exclusion([last])


def save_selection(worker: Worker) -> None:
    name = f"s-{worker.name}"
    saved = worker.store.catalog.save_selection(name, Selection(ids=worker.ids(2)), note=worker.name, replace=True)
    worker.write(selection=name, number=saved.number)


def collect(worker: Worker) -> None:
    worker.store.admin.collect_garbage(apply=True, grace=timedelta(0), trash_days=0, allow_many=True)


def verify(worker: Worker) -> None:
    worker.store.admin.verify(deep=worker.random.random() < 0.3)


def repair(worker: Worker) -> None:
    worker.store.admin.repair(apply=True, api_url=worker.places.upstream)


def backup(worker: Worker) -> None:
    worker.store.admin.backup(worker.places.backup)


def export(worker: Worker) -> None:
    rows = worker.store.datasets.versions()
    if len(rows):
        row = rows.iloc[worker.random.randrange(len(rows))]
        target = worker.places.work / f"export-{worker.name}.bsv.zip"
        worker.store.dataset(f"{row['name']}@{row['number']}").export(target, overwrite=True)


def quota(worker: Worker) -> None:
    worker.store.admin.enforce_quota(2_000_000, apply=True, unused_for=timedelta(0))


def on_full_disk(worker: Worker) -> None:
    """Fetch and average where no file can have more than a few bytes, as with a full quota of the file system."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    # The log must stay writable.
    limit = os.fstat(worker._log).st_size + 4096 + worker.random.randrange(20_000)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        fetch(worker)
        aggregate(worker)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


# -- operations of a remote client ------------------------------------------------------------------------------------


def _remote(read: Callable[[Worker, Store], None]) -> Callable[[Worker], None]:
    def run(worker: Worker) -> None:
        with open_store(worker.places.server) as store:
            read(worker, store)

    return run


LOCAL: dict[str, Operation] = {
    # New volumes are compared with the annotation, which may be damaged.
    "fetch": Operation(fetch, 10, (*_FAULTS, DamagedFileError)),
    "adopt": Operation(adopt, 2, (*_FAULTS, DamagedFileError)),
    "sync": Operation(sync, 4, (*_FAULTS, DamagedFileError)),
    "read volume": Operation(read_volume, 16, _OF_FILES),
    "aggregate": Operation(aggregate, 14, (*_OF_FILES, UnknownDatasetError)),
    "tag": Operation(tag, 4, (*_FAULTS, UnknownDatasetError)),
    "delete": Operation(delete, 4, (*_FAULTS, UnknownDatasetError)),
    "read version": Operation(read_version, 10, (*_FAULTS, DamagedFileError, UnknownDatasetError)),
    "select": Operation(select, 8),
    "sql": Operation(sql, 6),
    "exclude": Operation(exclude, 3),
    "save selection": Operation(save_selection, 3),
    "gc": Operation(collect, 3),
    "verify": Operation(verify, 3),
    "repair": Operation(repair, 3, (*_FAULTS, DamagedFileError)),
    "backup": Operation(backup, 1, (*_FAULTS, DamagedFileError)),
    "export": Operation(export, 3, (*_FAULTS, DamagedFileError, UnknownDatasetError)),
    "quota": Operation(quota, 1),
    "full disk": Operation(on_full_disk, 2, (*_OF_FILES, NoSpaceError, UnknownDatasetError)),
}
# The volume may be evicted while the client still has an older catalog.
_OF_SERVER = (*_OF_FILES, UnknownDatasetError, AbsentOnServerError)
REMOTE: dict[str, Operation] = {
    "remote volume": Operation(_remote(check_volume), 4, _OF_SERVER),
    "remote version": Operation(_remote(check_any_version), 3, _OF_SERVER),
    "remote select": Operation(_remote(check_selections), 3, _OF_SERVER),
    "remote sql": Operation(_remote(check_sql), 2, _OF_SERVER),
}


@contextmanager
def _settings() -> Iterator[None]:
    defaults: Any = AllenClient.__init__.__kwdefaults__
    before = dict(defaults)
    defaults.update(backoff_s=0.05, read_timeout_s=10)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        defaults.update(before)


def work(places: Places, name: str, seed: str) -> None:
    """Run operations until told to stop; called in a separate process."""
    os.environ["TMPDIR"] = str(places.temporary)
    tempfile.tempdir = None
    os.environ["BSV_STORE_CACHE"] = str(places.work / "remote-cache")
    pd.set_option("mode.copy_on_write", True)
    with _settings():
        Worker(places, name, seed).run(REMOTE if name.startswith("remote") else LOCAL)
