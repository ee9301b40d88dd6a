"""Changes that another process commits between two statements of a job on Postgres.

A transaction that writes runs at READ COMMITTED: each of its statements sees what others have committed until then. A
job stops after one of its statements until the other process has made a change. If that process has to wait for a lock
of the job, it gives up.
"""

from __future__ import annotations

import os
import random
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event, text

from bsv_store import Selection, Store, open_store
from bsv_store.config import read_store_config
from bsv_store.errors import (
    BsvStoreError,
    BusyError,
    DamagedCatalogError,
    DamagedFileError,
    NotReproducibleError,
    StoreMismatchError,
    StoreUnreachableError,
)
from tests.reliability.jobs import Facts, facts_of
from tests.reliability.stores import IDS

_LOCK_TIMEOUT_MS = 150
# A change that has not ended by then waits for a claim of the job, which goes on.
_PAUSE_S = 2.0
_END_S = 60.0
_NONE = timedelta(0)

# What no concurrent change excuses.
_FORBIDDEN = (
    DamagedCatalogError,
    DamagedFileError,
    NotReproducibleError,
    StoreMismatchError,
    StoreUnreachableError,
)
# Of an error of a driver without a class of its own, such as a constraint that failed.
_UNKNOWN = "the database refused the request"

_MORE = {
    # Without numbers, which depend on who saves first.
    "selection": "SELECT name, selection, count(*) FROM named_selection GROUP BY name, selection",
    "gaps": "SELECT name, max(number) - count(*) FROM named_selection GROUP BY name",
    "token": "SELECT name, revoked_at IS NULL FROM access_token",
    "last": "SELECT name, last_number FROM dataset",
    "twins": "SELECT count(*) - count(DISTINCT lower(name)) FROM dataset",
    "included": "SELECT subject, count(*) FROM activity WHERE action = 'included' GROUP BY subject",
}


# -- changes ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Atlases:
    """Addresses of synthetic atlases.

    Attributes
    ----------
    url : str
        With the experiments `IDS`.
    wider : str
        With one more.
    """

    url: str
    wider: str


@dataclass(frozen=True)
class Change:
    """A change of a store.

    Attributes
    ----------
    make : callable
        With the store, the atlases, and a generator.
    refusals : tuple of str
        Names of the errors with which a job may end because of it.
    affects : tuple of str
        Prefixes of the facts that may be other ones because of it.
    is_verification : bool
        It fails if the store is damaged.
    """

    make: Callable[[Store, Atlases, random.Random], object]
    refusals: tuple[str, ...] = ()
    affects: tuple[str, ...] = ()
    is_verification: bool = False


def _save(store: Store, _atlases: Atlases, draw: random.Random) -> None:
    store.catalog.save_selection("mine", Selection(ids=draw.sample(IDS, 2), include_excluded=True), replace=True)


def _exclude(store: Store, _atlases: Atlases, draw: random.Random) -> None:
    store.catalog.exclude(draw.sample(IDS, draw.randint(1, 2)), f"reason {draw.randint(1, 3)}", replace=True)


def _lift(store: Store, _atlases: Atlases, _draw: random.Random) -> None:
    excluded = [each.experiment_id for each in store.catalog.exclusions()]
    if excluded:
        store.catalog.lift_exclusion(excluded)


def _list(store: Store, atlases: Atlases, draw: random.Random) -> None:
    store.sync_experiments(api_url=draw.choice((atlases.url, atlases.wider)), allow_shrinking=True)


def _tables(store: Store, atlases: Atlases, draw: random.Random) -> None:
    listed = [int(each) for each in store.sql("SELECT id FROM experiment ORDER BY id")["id"]]
    missing = [each for each in listed if each not in IDS]
    store.sync_unionizes(missing or draw.sample(IDS, 1), refresh=not missing, api_url=atlases.wider)


def _structures(store: Store, atlases: Atlases, _draw: random.Random) -> None:
    store.sync_structures(api_url=atlases.url)


def _fetch(store: Store, atlases: Atlases, draw: random.Random) -> None:
    report = store.fetch(draw.sample(IDS, 1), refresh=draw.random() < 0.5, workers=1, api_url=atlases.url)
    if report.reasons:
        raise AssertionError(f"not fetched: {report.reasons}")


def _aggregate(store: Store, _atlases: Atlases, draw: random.Random) -> None:
    ids = draw.choice((IDS[:1], IDS[:2]))
    store.aggregate(ids, name=draw.choice(("average", "other")), workers=1)


def _twin(store: Store, _atlases: Atlases, _draw: random.Random) -> None:
    store.aggregate(IDS[:1], name="Average", workers=1)


def _tag(store: Store, _atlases: Atlases, draw: random.Random) -> None:
    store.datasets.tag("average@1", draw.choice(("figure", "draft")), move=True)


def _untag(store: Store, _atlases: Atlases, _draw: random.Random) -> None:
    store.datasets.untag("average", "figure")


def _delete(store: Store, _atlases: Atlases, _draw: random.Random) -> None:
    store.datasets.delete("average@1", force=True)


def _untrash(store: Store, _atlases: Atlases, _draw: random.Random) -> None:
    store.admin.untrash("version/average@1")


def _quota(store: Store, _atlases: Atlases, _draw: random.Random) -> None:
    store.admin.enforce_quota(0, apply=True, unused_for=_NONE)


def _collect(store: Store, _atlases: Atlases, _draw: random.Random) -> None:
    store.admin.collect_garbage(apply=True, grace=_NONE, trash_days=0, allow_many=True)


def _set(store: Store, _atlases: Atlases, draw: random.Random) -> None:
    store.admin.configure("trash_days", draw.randint(1, 99))


def _token(store: Store, _atlases: Atlases, draw: random.Random) -> None:
    name = f"token{draw.randint(1, 2)}"
    if any(each.name == name for each in store.admin.tokens()):
        store.admin.revoke_token(name)
    else:
        store.admin.add_token(name)


def _verify(store: Store, _atlases: Atlases, _draw: random.Random) -> None:
    damage = store.admin.verify(deep=True, workers=1).damage
    if damage:
        raise AssertionError(f"damage: {[str(each) for each in damage]}")


def _repair(store: Store, atlases: Atlases, _draw: random.Random) -> None:
    report = store.admin.repair(apply=True, api_url=atlases.url, workers=1)
    if report.left:
        raise AssertionError(f"not repaired: {report}")


_LOST_VOLUME = ("MissingDataError", "IncompleteError")

CHANGES: Mapping[str, Change] = {
    "save": Change(_save),
    "exclude": Change(_exclude, ("ExcludedExperimentError", "InputError"), ("version", "exclusion")),
    "lift": Change(_lift, ("InputError",), ("exclusion",)),
    "list": Change(_list),
    "tables": Change(_tables),
    "structures": Change(_structures),
    "fetch": Change(_fetch),
    "aggregate": Change(_aggregate, affects=("version", "last")),
    "twin": Change(_twin, ("InputError",), ("version", "last")),
    # Quotas spare the inputs of versions with a tag.
    "tag": Change(_tag, ("InputError",), ("volume",)),
    "untag": Change(_untag, ("UnknownDatasetError",), ("volume",)),
    # IncompleteError: a repair says that the version to rebuild is gone.
    "delete": Change(
        _delete, ("UnknownDatasetError", "InputError", "IncompleteError"), ("version", "tag", "last", "volume")
    ),
    "untrash": Change(_untrash, ("InputError",), ("version", "tag", "last", "volume")),
    "quota": Change(_quota, _LOST_VOLUME, ("version", "volume")),
    "collect": Change(_collect, ("InputError",), ("version",)),
    "set": Change(_set),
    "token": Change(_token, ("InputError",)),
    "verify": Change(_verify, is_verification=True),
    # It downloads what another repair dropped.
    "repair": Change(_repair, affects=("volume",), is_verification=True),
}


# -- in the other process ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Told:
    """What a call said.

    Attributes
    ----------
    error : str or None
        Name of the class; None if it succeeded.
    words : str
        Of the error.
    is_wrong : bool
        Whether no concurrent change excuses it.
    before, after : mapping
        Facts.
    """

    error: str | None
    words: str
    is_wrong: bool
    before: Facts
    after: Facts


def said_by(error: Exception) -> tuple[str, str, bool]:
    """The class and the words of an error, and whether no concurrent change excuses it."""
    is_wrong = not isinstance(error, BsvStoreError) or isinstance(error, _FORBIDDEN) or _UNKNOWN in str(error)
    words = "".join(traceback.format_exception(error)) if is_wrong else str(error)
    return type(error).__name__, words, is_wrong


def serve(pipe: Connection) -> None:
    """Make the changes that another process asks for."""
    os.environ["PGOPTIONS"] = f"-c lock_timeout={_LOCK_TIMEOUT_MS}"
    warnings.simplefilter("ignore")
    while True:
        try:
            folder, name, atlases, seed = pipe.recv()
        except EOFError:
            return
        pipe.send(_made(folder, CHANGES[name], atlases, random.Random(seed)))


def _made(folder: Path, change: Change, atlases: Atlases, draw: random.Random) -> Told:
    error: tuple[str | None, str, bool] = (None, "", False)
    before: Facts = {}
    after: Facts = {}
    try:
        with open_store(folder) as store:
            before = after = facts_about(store)
            try:
                change.make(store, atlases, draw)
            finally:
                after = facts_about(store)
    except Exception as raised:  # noqa: BLE001 (examined by the caller)
        error = said_by(raised)
    return Told(*error, before, after)


def facts_about(store: Store) -> Facts:
    """The facts of `tests.reliability.jobs`, and more."""
    facts = facts_of(store)
    with store.database.reading() as connection:
        for name, query in _MORE.items():
            for *key, value in connection.execute(text(query)):
                facts[" ".join(map(str, (name, *key)))] = value
    facts["setting trash_days"] = read_store_config(store.path).trash_days
    return {name: value for name, value in facts.items() if not name.startswith("versions ")}


# -- in the process of the job ----------------------------------------------------------------------------------------


class Statements:
    """The statements of this process on Postgres, counted; after one of them it may stop.

    Attributes
    ----------
    texts : list of str
        Of the statements.
    writing : list of bool
        Of each statement, whether its transaction may write.
    """

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.writing: list[bool] = []
        self._lock = threading.Lock()
        self._number: int | None = None
        self._then: Callable[[], None] | None = None

    @contextmanager
    def counted(self, number: int | None = None, then: Callable[[], None] | None = None) -> Iterator[None]:
        """Count the statements of a block, and call ``then`` after the statement with this number."""
        self.texts, self.writing, self._number, self._then = [], [], number, then
        event.listen(Engine, "after_cursor_execute", self._after)
        try:
            yield
        finally:
            event.remove(Engine, "after_cursor_execute", self._after)

    def _after(self, connection: Any, _cursor: object, statement: str, *_arguments: object) -> None:
        if connection.dialect.name == "sqlite":
            return
        with self._lock:
            is_chosen = len(self.texts) == self._number
            self.texts.append(statement)
            self.writing.append(not connection.get_execution_options().get("postgresql_readonly", False))
        if is_chosen and self._then is not None:
            self._then()


class OtherProcess:
    """The process that makes changes. Close it.

    Parameters
    ----------
    pipe : multiprocessing.connection.Connection
        To a process that runs `serve`.
    """

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._is_asked = False
        self._told: Told | None = None

    def change(self, folder: Path, name: str, atlases: Atlases, seed: int) -> None:
        """Make a change, or begin it if it must wait for something else than a lock."""
        self._pipe.send((folder, name, atlases, seed))
        self._is_asked, self._told = True, None
        if self._pipe.poll(_PAUSE_S):
            self._told = self._pipe.recv()

    def told(self) -> Told | None:
        """What the last change said; None if none was made."""
        if self._is_asked and self._told is None:
            if not self._pipe.poll(_END_S):
                raise AssertionError("the change of the other process does not end")
            self._told = self._pipe.recv()
        self._is_asked = False
        told, self._told = self._told, None
        return told


def lost_or_wrong(
    before: Facts, steps: Sequence[Facts], told: Told, found: Facts, *, is_refused: bool, affected: tuple[str, ...]
) -> list[str]:
    """The facts that neither the job nor the change explains.

    Parameters
    ----------
    before, found : Facts
        Before the two, and after them.
    steps : sequence of Facts
        After each step of the job without the change.
    told : Told
        By the change.
    is_refused : bool
        Whether the job ended with an error.
    affected : tuple of str
        Prefixes of the facts that are not compared.
    """
    wrong = []
    for name in sorted({*before, *told.before, *told.after, *found}.union(*steps)):
        old = before.get(name)
        ours = [each.get(name) for each in steps]
        theirs = told.before.get(name), told.after.get(name)
        allowed = [ours[-1]]
        if is_refused:
            allowed += [old, *ours]
        if theirs[0] != theirs[1]:
            allowed = [theirs[1], *(allowed if any(each != old for each in ours) else ())]
        if found.get(name) not in allowed and not (affected and name.startswith(affected)):
            wrong.append(f"{name}: {found.get(name)!r} is none of {allowed!r}")
    return wrong


def is_busy(told: Told) -> bool:
    """Whether the change was not made because it had to wait."""
    return told.error == BusyError.__name__
