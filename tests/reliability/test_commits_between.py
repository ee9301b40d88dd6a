"""Another process commits between two statements of a job on Postgres: nothing is lost, and nothing looks damaged."""

from __future__ import annotations

import contextlib
import random
import shutil
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache

import pytest

from bsv_store import Store
from bsv_store.errors import InputError, MissingDataError, UnknownDatasetError
from bsv_store.store.opening import upgrade_store
from bsv_store_synthetic import SyntheticAtlas, SyntheticServer
from tests.postgres import OWNER, PostgresServer
from tests.processes import forked
from tests.reliability.campaigns import campaign
from tests.reliability.commits_between import (
    CHANGES,
    Atlases,
    Change,
    OtherProcess,
    Statements,
    facts_about,
    is_busy,
    lost_or_wrong,
    said_by,
    serve,
)
from tests.reliability.interrupted_postgres import PostgresPlace
from tests.reliability.jobs import JOBS, Facts, Job, Place, Step, averaged, damaged, fetched
from tests.reliability.stores import IDS

# Most statements of a job are in transactions that only read, which see a single state.
_READING_SHARE = 0.2
_MAX_SKIPPED = 20
# Of the known pairs: the change concerns the same volume or dataset as the job.
_SEED = 2


@dataclass(frozen=True)
class SharedPlace(PostgresPlace):
    """A place whose store another process changes, too.

    Attributes
    ----------
    atlases : Atlases
    """

    atlases: Atlases = field(default_factory=lambda: Atlases("", ""))


def _wide(place: Place) -> None:
    """A store with an experiment that has no table, an exclusion, a tag and saved selections."""
    assert isinstance(place, SharedPlace)
    place.begin(averaged)
    with place.open() as store:
        store.sync_experiments(api_url=place.atlases.wider)
        store.datasets.tag("average@1", "figure")
        store.catalog.exclude(IDS[2:], "a bad injection")
        CHANGES["save"].make(store, place.atlases, random.Random(0))


def _step(name: str) -> Step:
    def run(place: Place) -> None:
        assert isinstance(place, SharedPlace)
        with place.open() as store:
            CHANGES[name].make(store, place.atlases, random.Random(1))

    return Step(name, run)


def _tag_early(place: Place) -> None:
    """Tag a version that may not exist yet."""
    with place.open() as store, contextlib.suppress(UnknownDatasetError):
        store.datasets.tag("average@1", "figure")


def _drop(place: Place) -> None:
    with place.open() as store:
        report = store.admin.repair(apply=True, drop_missing=True, offline=True, workers=1)
    # Such as a version that has got a tag.
    if report.left:
        raise InputError(f"not dropped: {report.left}")


_MORE_JOBS = (
    Job("early tag", fetched, (Step("tag", _tag_early),), repeats=("tag",)),
    Job("drop", damaged, (Step("drop", _drop),), is_damaged=True),
)
# Other changes are jobs, too.
_NO_JOBS = ("untrash", "aggregate", "twin", "repair")
# Errors that a change may raise in a store whose files were damaged before.
_DAMAGE = ("DamagedFileError", "DamagedInputsError")
# A version is deleted with all tags that it has at that time.
_REMOVES = {"delete": ("tag",)}
# A tag that is there already is set again if it was removed meanwhile. A token that was added meanwhile is revoked, and
# all exclusions that are there by then are lifted.
_REPEATS = {"tag": ("tag",), "token": ("token",), "lift": ("included",)}
# They are refused when they are repeated.
_ONCE = ("change delete", "change untag", "change lift")
_JOBS: dict[str, Job] = {
    **{job.name: job for job in JOBS if job.name not in ("export", "network", "prune")},
    **{job.name: job for job in _MORE_JOBS},
    **{
        f"change {name}": Job(
            f"change {name}",
            _wide,
            (_step(name),),
            removes=_REMOVES.get(name, ()),
            repeats=_REPEATS.get(name, ()),
        )
        for name in CHANGES
        if name not in _NO_JOBS
    },
}


@pytest.fixture(scope="module")
def place(server_url: str, postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedPlace]:
    """A place on Postgres."""
    folder = tmp_path_factory.mktemp("shared")
    name = "commits_between"
    with SyntheticServer(SyntheticAtlas(experiments=len(IDS) + 1)) as wider:
        yield SharedPlace(
            folder / "place",
            server_url,
            folder / "templates",
            postgres.url(name),
            server=postgres,
            name=name,
            atlases=Atlases(server_url, wider.url),
        )
    postgres.drop_database(name)


@pytest.fixture(scope="module")
def other() -> Iterator[OtherProcess]:
    """The process that makes the changes."""
    with forked(serve) as pipe:
        yield OtherProcess(pipe)


@dataclass(frozen=True)
class _Clean:
    """A job without another process: the facts before it and after each step, and the statements of all steps."""

    before: Facts
    after: list[Facts]
    texts: list[str]
    writing: list[bool]


class _Trials:
    """Trials of jobs on one place, which count the statements of each job once."""

    def __init__(self, place: SharedPlace, other: OtherProcess) -> None:
        self._place = place
        self._other = other
        self._statements = Statements()
        self.clean: Callable[[str], _Clean] = cache(self._clean)

    def _begin(self, job: Job) -> None:
        shutil.rmtree(self._place.folder, ignore_errors=True)
        self._place.begin(job.prepare)

    def _look(self) -> Facts:
        with self._place.open() as store:
            return facts_about(store)

    def _clean(self, name: str) -> _Clean:
        job = _JOBS[name]
        self._begin(job)
        before = {} if job.is_new or job.is_old else self._look()
        clean = _Clean(before, [], [], [])
        for step in job.steps:
            with self._statements.counted():
                step.run(self._place)
            clean.texts.extend(self._statements.texts)
            clean.writing.extend(self._statements.writing)
            clean.after.append(self._look())
        return clean

    def wrong_after(self, name: str, change_name: str, number: int, seed: int) -> str | None:
        """What is wrong after a change in a job, in words; None if nothing is and no change was made.

        Parameters
        ----------
        name, change_name : str
        number : int
            Of the statement after which the change is made, from 0.
        seed : int
            Of the change.
        """
        job, change = _JOBS[name], CHANGES[change_name]
        clean = self.clean(name)
        before, after = clean.before, clean.after
        self._begin(job)
        place, other = self._place, self._other
        refused = None
        with self._statements.counted(number, lambda: other.change(place.store, change_name, place.atlases, seed)):
            try:
                job.run(place)
            except Exception as error:  # noqa: BLE001 (examined below)
                refused = said_by(error)
        told = other.told()
        if told is None or is_busy(told):
            if refused is not None:
                return f"the job alone raised {refused}"
            return None
        is_excused = job.is_damaged and (change.is_verification or told.error in _DAMAGE)
        if told.is_wrong and not is_excused:
            return f"the change raised {told.error}: {told.words}"
        if refused is not None and (refused[2] or refused[0] not in ("BusyError", *change.refusals)):
            return f"the job raised {refused[0]}: {refused[1]}"
        if refused is not None and job.is_new:
            return ""
        wrong = self._wrong_now(
            job,
            change,
            lambda found: lost_or_wrong(
                before,
                after,
                told,
                found,
                is_refused=refused is not None,
                affected=(*job.removes, *job.repeats, *change.affects),
            ),
            known={**before, **after[-1]},
            is_refused=refused is not None,
        )
        return wrong or (None if told.error else "")

    def _wrong_now(
        self, job: Job, change: Change, unexplained: Callable[[Facts], list[str]], *, known: Facts, is_refused: bool
    ) -> str:
        with self._place.open() as store:
            if not (job.is_damaged and is_refused):
                damage = store.admin.verify(deep=True, workers=1).damage
                if damage:
                    return f"damage: {[str(each) for each in damage]}"
            found = facts_about(store)
            if wrong := unexplained(found):
                return f"wrong: {wrong}"
            if wrong := self._wrong_versions(store, known, found):
                return f"not reproducible: {wrong}"
        if job.name in _ONCE:
            return ""
        try:
            job.run(self._place)
        except Exception as error:  # noqa: BLE001 (examined)
            said = said_by(error)
            if said[2] or said[0] not in change.refusals:
                return f"run again, the job raised {said[0]}: {said[1]}"
        return ""

    def _wrong_versions(self, store: Store, known: Facts, found: Facts) -> list[str]:
        wrong = []
        for name, content in found.items():
            if not name.startswith("version "):
                continue
            _, dataset, number, fingerprint = name.split()
            if fingerprint in _contents(known):
                if _contents(known)[fingerprint] != content:
                    wrong.append(name)
            elif not self._is_rebuilt(store, f"{dataset}@{number}"):
                wrong.append(name)
        return wrong

    def _is_rebuilt(self, store: Store, ref: str) -> bool:
        try:
            return store.datasets.rebuild(ref, workers=1).is_identical
        except MissingDataError:
            # A quota deleted a volume that can be downloaded again. Other losses have been found by now.
            store.fetch(IDS, api_url=self._place.atlases.url, workers=1)
            return store.datasets.rebuild(ref, workers=1).is_identical


def _contents(facts: Facts) -> dict[str, object]:
    """The content of versions by fingerprint."""
    return {name.split()[3]: content for name, content in facts.items() if name.startswith("version ")}


def test_a_commit_between_two_statements_loses_nothing(place: SharedPlace, other: OtherProcess) -> None:
    """The job and the change succeed, or say that the other one has changed something."""
    made = _Trials(place, other)
    with campaign("commits-between") as trials, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        draw = random.Random(f"commits between {trials.seed}")
        skipped = 0
        while trials.made < trials.size:
            name, change = draw.choice(list(_JOBS)), draw.choice(list(CHANGES))
            writing = made.clean(name).writing
            chosen = [n for n, may_write in enumerate(writing) if may_write or draw.random() < _READING_SHARE]
            if not chosen:
                continue
            number, seed = draw.choice(chosen), draw.randrange(1 << 32)
            wrong = made.wrong_after(name, change, number, seed)
            where = f"seed {trials.seed}, trial {trials.made}: {change!r} after statement {number} of the job {name!r}"
            assert not wrong, f"{where}, seed {seed}: {wrong}"
            if wrong is None:
                skipped += 1
                assert skipped < _MAX_SKIPPED * trials.size
            else:
                trials.done()


@pytest.mark.parametrize(
    ("name", "change", "read"),
    [
        # Damage that there was not: the table's snapshot and its seal were read one after the other.
        ("change list", "tables", "FROM seal"),
        # Both processes recorded that they had lifted the exclusion.
        ("change lift", "lift", "FROM exclusion"),
        # Two datasets that differ only by case.
        ("aggregate", "twin", "FROM dataset"),
        # A tag of a dataset that had not been there.
        ("early tag", "aggregate", "FROM dataset"),
    ],
)
def test_what_was_read_may_change(name: str, change: str, read: str, place: SharedPlace, other: OtherProcess) -> None:
    """Pairs that once failed, with the change after the first statements that read its rows."""
    made = _Trials(place, other)
    clean = made.clean(name)
    reads = [number for number, text in enumerate(clean.texts) if clean.writing[number] and read in text]
    assert reads
    for number in reads[:2]:
        wrong = made.wrong_after(name, change, number, _SEED)
        assert not wrong, f"{change!r} after statement {number} of the job {name!r}: {wrong}"


def test_no_row_is_written_while_the_schema_changes(place: SharedPlace, postgres: PostgresServer) -> None:
    import psycopg

    (job,) = (each for each in JOBS if each.name == "migrate")
    shutil.rmtree(place.folder, ignore_errors=True)
    place.begin(job.prepare)
    statements, tried = Statements(), []
    with statements.counted():
        upgrade_store(place.store)
    first = next(number for number, text in enumerate(statements.texts) if "seal" in text and "SELECT" in text)
    shutil.rmtree(place.folder)
    place.begin(job.prepare)
    with postgres.connect(place.name, account=OWNER) as connection:
        connection.execute("SET lock_timeout = 50")

        def write() -> None:
            for table in ("exclusion", "named_selection", "volume"):
                with pytest.raises(psycopg.errors.LockNotAvailable):
                    connection.execute(f"DELETE FROM {table} WHERE false")
                tried.append(table)

        with statements.counted(first, write):
            upgrade_store(place.store)
    assert tried


def test_a_writer_can_end_its_transaction_before_the_schema_changes(
    place: SharedPlace, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    (job,) = (each for each in JOBS if each.name == "migrate")
    shutil.rmtree(place.folder, ignore_errors=True)
    place.begin(job.prepare)
    # Instead of waiting for the writer of this test without end.
    monkeypatch.setenv("PGOPTIONS", "-c lock_timeout=2000")
    waited = []
    with postgres.connect(place.name, account=OWNER) as connection:
        connection.execute("BEGIN")
        connection.execute("DELETE FROM volume WHERE false")

        def end(seconds: float) -> None:
            waited.append(seconds)
            # The upgrade must not have locked another table meanwhile.
            connection.execute("DELETE FROM experiment WHERE false")
            connection.execute("COMMIT")

        monkeypatch.setattr("bsv_store.catalog.database.schema.time.sleep", end)
        upgrade_store(place.store)
    assert len(waited) == 1
