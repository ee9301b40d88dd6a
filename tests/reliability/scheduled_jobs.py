"""The jobs of the actors of a schedule, and which answers are right."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bsv_store.datasets.compute import DamagedInputsError
from bsv_store.errors import (
    BsvStoreError,
    BusyError,
    DamagedFileError,
    ExcludedExperimentError,
    InputError,
    MissingDataError,
    UnknownDatasetError,
)

if TYPE_CHECKING:
    from bsv_store import DatasetVersion, Store

# Experiments by position in the catalog. The store of a schedule begins with the volumes of the first two.
QUESTIONS = ((0, 1), (1, 2), (0, 1, 2))
NAMES = ("base", "new")
# The versions of the dataset "base" at the start, by number, and the tag of the first.
BASE = {1: (0,), 2: (0, 1)}
TAGS = ("old", "paper", "draft")
_READS = 2
_NO_BYTES = 0


@dataclass(frozen=True)
class Job:
    """One call of a user.

    Attributes
    ----------
    name : str
        Of a function of `JOBS`.
    arguments : mapping
    """

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.name}({', '.join(f'{key}={value}' for key, value in self.arguments.items())})"


@dataclass(frozen=True)
class Place:
    """Where a job works.

    Attributes
    ----------
    ids : tuple of int
        Experiments of the catalog.
    url : str
        Of the Allen API.
    backup : pathlib.Path
        Folder of the backups.
    grace : datetime.timedelta
        Age from which files without a row are collected.
    """

    ids: tuple[int, ...]
    url: str
    backup: Path
    grace: timedelta = timedelta(0)

    def chosen(self, positions: tuple[int, ...]) -> tuple[int, ...]:
        """The experiments at these positions."""
        return tuple(self.ids[each] for each in positions)


class WrongAnswerError(AssertionError):
    """A reader got a wrong answer."""


def _fetch(store: Store, place: Place, positions: tuple[int, ...], refresh: bool) -> object:
    report = store.fetch(place.chosen(positions), refresh=refresh, workers=1, api_url=place.url)
    if report.failed or report.not_attempted:
        raise WrongAnswerError(f"not fetched: {report.failed} {report.not_attempted}")
    return {"fetched": report.fetched, "recovered": report.recovered}


def _aggregate(store: Store, place: Place, positions: tuple[int, ...], name: str) -> object:
    return described(store.aggregate(place.chosen(positions), name=name))


def described(version: DatasetVersion) -> dict[str, Any]:
    """What identifies a version and its content."""
    return {
        "ref": version.ref,
        "fingerprint": version.fingerprint,
        "content": version.content_sha256,
        "ids": tuple(each.experiment_id for each in version.experiments),
        "was_computed": version.was_computed,
    }


def _tag(store: Store, _place: Place, ref: str, tag: str, move: bool) -> object:
    return store.datasets.tag(ref, tag, move=move).ref


def _untag(store: Store, _place: Place, name: str, tag: str) -> None:
    store.datasets.untag(name, tag)


def _delete(store: Store, _place: Place, ref: str, force: bool) -> object:
    return store.datasets.delete(ref, force=force).ref


def _collect(store: Store, place: Place) -> object:
    report = store.admin.collect_garbage(apply=True, grace=place.grace, trash_days=0, allow_many=True)
    return [each.path for each in report.garbage]


def _verify(store: Store, _place: Place) -> object:
    return [str(each) for each in store.admin.verify(deep=True).findings if each.is_damage]


def _quota(store: Store, _place: Place) -> object:
    return len(store.admin.enforce_quota(_NO_BYTES, apply=True, unused_for=timedelta(0)).evicted)


def _repair(store: Store, place: Place) -> object:
    return [str(each) for each in store.admin.repair(apply=True, api_url=place.url).left]


def _sync(store: Store, place: Place, positions: tuple[int, ...]) -> object:
    report = store.sync_unionizes(place.chosen(positions), refresh=True, api_url=place.url)
    if report.failed or report.not_attempted:
        raise WrongAnswerError(f"not synced: {report.failed} {report.not_attempted}")
    return None


def _sync_experiments(store: Store, place: Place) -> None:
    store.sync_experiments(api_url=place.url)


def _exclude(store: Store, place: Place, position: int) -> None:
    store.catalog.exclude(place.chosen((position,)), "blurred")


def _lift(store: Store, place: Place, position: int) -> None:
    store.catalog.lift_exclusion(place.chosen((position,)))


def _backup(store: Store, place: Place) -> object:
    report = store.admin.backup(place.backup)
    return {"snapshot": report.snapshot.id, "problems": [str(each) for each in report.snapshot.problems]}


def _read(store: Store, place: Place, ref: str) -> object:
    """Read a volume, rows and a version, several times."""
    found = []
    for _ in range(_READS):
        voxels = hashlib.sha256(store.volume(place.ids[0]).tobytes()).hexdigest()
        rows = store.sql("SELECT count(*) AS n FROM experiment WHERE NOT withdrawn")
        version = store.dataset(ref)
        mean = hashlib.sha256(version.mean.tobytes()).hexdigest()
        found.append({"voxels": voxels, "rows": int(rows["n"].iloc[0]), **described(version), "mean": mean})
    return found


JOBS: dict[str, Callable[..., object]] = {
    "fetch": _fetch,
    "aggregate": _aggregate,
    "tag": _tag,
    "untag": _untag,
    "delete": _delete,
    "collect": _collect,
    "verify": _verify,
    "quota": _quota,
    "repair": _repair,
    "sync": _sync,
    "sync_experiments": _sync_experiments,
    "exclude": _exclude,
    "lift": _lift,
    "backup": _backup,
    "read": _read,
}

# How often each job is drawn.
_WEIGHTS = {
    "fetch": 6,
    "aggregate": 7,
    "tag": 3,
    "untag": 1,
    "delete": 4,
    "collect": 4,
    "verify": 2,
    "quota": 1,
    "repair": 1,
    "sync": 1,
    "sync_experiments": 1,
    "exclude": 1,
    "lift": 1,
    "backup": 1,
    "read": 3,
}


def drawn(generator: random.Random, allowed: frozenset[str]) -> Job:
    """A random job of an actor."""
    names = [name for name in JOBS if name in allowed]
    name = generator.choices(names, [_WEIGHTS[each] for each in names])[0]
    ref = f"{generator.choice(('base', 'base', 'new'))}@{generator.choice((1, 2, 2, 3))}"
    some = tuple(sorted(generator.sample(range(4), generator.choice((1, 2, 2)))))
    arguments: dict[str, dict[str, Any]] = {
        "fetch": {"positions": some, "refresh": generator.random() < 0.3},
        "aggregate": {"positions": generator.choice(QUESTIONS), "name": generator.choice(NAMES)},
        "tag": {"ref": ref, "tag": generator.choice(TAGS), "move": generator.random() < 0.6},
        "untag": {"name": ref.partition("@")[0], "tag": generator.choice(TAGS)},
        "delete": {"ref": ref, "force": generator.random() < 0.7},
        "sync": {"positions": some},
        "exclude": {"position": generator.randrange(4)},
        "lift": {"position": generator.randrange(4)},
        "read": {"ref": f"base@{generator.choice((1, 2))}"},
    }
    return Job(name, arguments.get(name, {}))


def may_refuse(job: Job, error: str, others: frozenset[str], *, is_damaged: bool, is_late: bool) -> bool:
    """Whether a job may end with this error.

    Parameters
    ----------
    job : Job
    error : str
        Name of the class.
    others : frozenset of str
        The names of all jobs of the schedule.
    is_damaged : bool
        Whether the schedule damaged a file.
    is_late : bool
        Whether the clocks jumped, so that waits ended.
    """
    allowed = {BusyError.__name__} if is_late else set()
    if job.name in ("tag", "untag", "delete", "lift", "exclude"):
        # The version, tag or exclusion does not exist, or is another one.
        allowed |= {InputError.__name__, UnknownDatasetError.__name__}
    if job.name == "read" and others & {"delete", "repair"}:
        allowed.add(UnknownDatasetError.__name__)
    if job.name in ("aggregate", "fetch", "sync", "read") and "exclude" in others:
        allowed.add(ExcludedExperimentError.__name__)
    if job.name == "aggregate":
        # Its third volume is there only after it was fetched.
        allowed.add(MissingDataError.__name__)
    if job.name == "read" and others & {"quota"}:
        allowed |= {MissingDataError.__name__, InputError.__name__}
    if is_damaged and job.name in ("aggregate", "read"):
        allowed |= {DamagedFileError.__name__, DamagedInputsError.__name__}
    return error in allowed


def attempted(store: Store, place: Place, job: Job) -> tuple[str, Any]:
    """The outcome of a job: "done" with its value, "refused" with the error's class and text.

    A wrong answer is "refused", too, with a class that `may_refuse` never allows.
    """
    try:
        return "done", JOBS[job.name](store, place, **job.arguments)
    except (BsvStoreError, WrongAnswerError) as error:
        return "refused", (type(error).__name__, str(error))
