"""Jobs of users, and the facts about a store that they establish.

They run in the process that checks them, while the power fails, file operations fail, or connections to Postgres are
lost. `tests.reliability.kill_jobs` is another list, for processes that are killed: its jobs start from the templates of
all tests on both databases, reach every checkpoint, and tell for each step what may be there when it is killed, whether
it does all or nothing, and what must not be requested again. Here the steps are few and short, because each operation
of a file is tried, and facts have values, because a step may be undone or done in part by the disk.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import traceback
import warnings
import zipfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from bsv_store import Store, create_store, open_store
from bsv_store.datasets.refs import parse_ref
from bsv_store.datasets.table import delete_version_rows, version_id
from bsv_store.errors import (
    BsvStoreError,
    BsvStoreWarning,
    InputError,
    NotAStoreError,
    SchemaTooOldError,
    StoreExistsError,
)
from bsv_store.maintenance.repair_plan import RepairReport
from bsv_store.remote import unionizes
from bsv_store.remote.cache import list_cache, verify_cache
from bsv_store.store.opening import schema_state, upgrade_store
from bsv_store.store.restoring import prune_backup, restore_store, verify_backup
from bsv_store.store.schema_changes import downgrade_store
from bsv_store_synthetic import wire, wire_volumes
from tests.reliability.power_loss import digests_of, key_of, read_folder
from tests.reliability.stores import ATLAS, IDS, QUERIES, fill_lists, small_is_large
from tests.sealing import sealed_changes

Facts = dict[str, object]
"""What a user was told, and can look up again: names with comparable values."""


class IncompleteError(BsvStoreError):
    """A report says what could not be done, and why."""


_VERSIONS = "SELECT d.name, count(*) FROM dataset_version v JOIN dataset d ON d.id = v.dataset_id GROUP BY d.name"
_OLD_REVISION = "0012"
_OLD = b"an older file of the same name"


@dataclass(frozen=True)
class Place:
    """Where a job works.

    Attributes
    ----------
    folder : pathlib.Path
        With the store in ``store``, exported files and backups.
    url : str
        Of the synthetic atlas.
    templates : pathlib.Path
        Initial states of jobs, to be copied.
    database : str or None
        URL of the store's database on Postgres; None on SQLite.
    served : str
        Address of a store on a server.
    """

    folder: Path
    url: str
    templates: Path
    database: str | None = None
    served: str = ""

    @property
    def store(self) -> Path:
        """The store's folder."""
        return self.folder / "store"

    @property
    def cache(self) -> Path:
        """The cache of stores on servers."""
        return self.folder / "cache"

    def open(self) -> Store:
        """The store."""
        return open_store(self.store)

    def begin(self, prepare: Callable[[Place], object]) -> None:
        """Fill the folder, which must not exist, with what ``prepare`` makes."""
        template = self.templates / prepare.__name__
        if not template.exists():
            template.mkdir(parents=True)
            prepare(replace(self, folder=template))
        shutil.copytree(template, self.folder, dirs_exist_ok=True)

    def forget_store(self) -> None:
        """Remove the store, as if it had never existed."""
        shutil.rmtree(self.store)


@dataclass(frozen=True)
class Step:
    """A command of a user, whose result is acknowledged when it returns."""

    name: str
    run: Callable[[Place], object]


@dataclass(frozen=True)
class Job:
    """A sequence of commands of a user.

    Attributes
    ----------
    name : str
    prepare : callable
        Makes the initial state in an empty folder.
    steps : tuple of Step
        Each may be repeated.
    facts : callable
        More facts than `facts_of` the store.
    removes : tuple of str
        Prefixes of the facts that the job may remove or change.
    repeats : tuple of str
        Prefixes of the facts that may be lost, since repeating the job does no harm.
    is_damaged : bool
        Whether the store is damaged before the job.
    is_new : bool
        Whether there is no store before the first step has returned.
    is_old : bool
        Whether the store has an old schema before.
    """

    name: str
    prepare: Callable[[Place], object]
    steps: tuple[Step, ...]
    facts: Callable[[Place], Facts] = lambda _place: {}
    removes: tuple[str, ...] = ()
    repeats: tuple[str, ...] = ()
    is_damaged: bool = False
    is_new: bool = False
    is_old: bool = False

    def run(self, place: Place) -> None:
        """All steps."""
        for step in self.steps:
            step.run(place)

    def check(
        self,
        place: Place,
        acknowledged: Sequence[str],
        before: Facts,
        after: Mapping[str, Facts],
        *,
        is_verified: bool = False,
    ) -> None:
        """Check a place after an accident during the job: nothing is lost, and the job can be run again.

        Parameters
        ----------
        place : Place
        acknowledged : sequence of str
            Steps that had returned.
        before : Facts
            What users were told before the job.
        after : mapping of str to Facts
            What they are told by its steps.
        is_verified : bool
            Whether a place with the same files was checked before: then only the next run is.

        Raises
        ------
        AssertionError, BsvStoreError
        """
        if not is_verified:
            told = after[acknowledged[-1]] if acknowledged else before
            later = [after[step.name] for step in self.steps[len(acknowledged) :]]
            found = self.look(place, is_complete=not later)
            missing = lost(told, found, later=later, removes=(*(self.removes if later else ()), *self.repeats))
            assert not missing, f"lost: {missing}"
        self.run(place)
        expected = after[self.steps[-1].name]
        found = self.read(place) if is_verified else self.look(place, is_complete=True)
        assert found == expected, f"run again: {sorted(found.items() ^ expected.items())}"

    def told(
        self, place: Place, observed: Callable[[], AbstractContextManager[object]] = nullcontext
    ) -> tuple[Facts, dict[str, Facts]]:
        """The facts before the job, and after each of its steps, which are not interrupted.

        Parameters
        ----------
        place : Place
        observed : callable
            Returns a context in which each step is run, without the reads of the facts.
        """
        before = self.look(place)
        after: dict[str, Facts] = {}
        for step in self.steps:
            with observed():
                step.run(place)
            after[step.name] = self.read(place)
        return before, after

    def wrong_after(
        self,
        place: Place,
        before: Facts,
        after: Mapping[str, Facts],
        accident: AbstractContextManager[Callable[[], bool]],
        *,
        checked: Path | None = None,
    ) -> str | None:
        """Run the job in an accident; returns what is wrong then, in words.

        Parameters
        ----------
        place : Place
        before, after
            See `check`.
        accident : context manager
            The accident happens at most once while it is entered. Its value says whether it has happened.
        checked : pathlib.Path, optional
            A folder that records which states were checked, so that the bytes of their files are not verified again.
        """
        acknowledged = []
        said: Exception | None = None
        with accident as has_happened:
            try:
                for step in self.steps:
                    step.run(place)
                    acknowledged.append(step.name)
            except Exception as error:  # noqa: BLE001 (examined below)
                said = error
        if said is not None and not isinstance(said, BsvStoreError):
            return "raised " + "".join(traceback.format_exception(said)[-8:])
        if said is not None and not has_happened():
            return f"raised {said!r}, although nothing had happened"
        record = None if checked is None else checked / f"{self.name}-{_key(place, acknowledged).hex()}"
        try:
            self.check(place, acknowledged, before, after, is_verified=record is not None and record.exists())
        except (AssertionError, BsvStoreError) as error:
            return f"{'succeeded' if said is None else repr(said)}, and then {error!r}"
        if record is not None:
            record.touch()
        return None

    def read(self, place: Place) -> Facts:
        """The facts now, without a verification."""
        with place.open() as store:
            return {**self.facts(place), **facts_of(store)}

    def look(self, place: Place, *, is_complete: bool = False) -> Facts:
        """The facts now. The store has no damage, and can be opened unless the job may leave none.

        Parameters
        ----------
        place : Place
        is_complete : bool
            Whether the job has returned.
        """
        try:
            store = place.open()
        except (NotAStoreError, SchemaTooOldError) as error:
            if is_complete or not (self.is_new if isinstance(error, NotAStoreError) else self.is_old):
                raise
            return {}
        with store:
            if is_complete or not self.is_damaged:
                damage = store.admin.verify(deep=True, workers=1).damage
                assert not damage, damage
            return {**self.facts(place), **facts_of(store)}


def _key(place: Place, acknowledged: Sequence[str]) -> bytes:
    """Differs between states with different content, except that of temporary files."""
    folders, files = read_folder(place.folder)
    digests = digests_of({name: b"" if "/tmp/" in name else data for name, data in files.items()})
    return key_of(folders, digests, acknowledged)


def facts_of(store: Store) -> Facts:
    """The facts of a store."""
    facts: Facts = {}
    with store.database.reading() as connection:
        for name, query in {**QUERIES, "versions": _VERSIONS}.items():
            for row in connection.execute(text(query)):
                *key, value = row
                facts[" ".join(map(str, (name, *key)))] = value
    return facts


# -- what is there before ----------------------------------------------------------------------------------------------


def _nothing(_place: Place) -> None:
    return None


def _empty(place: Place) -> None:
    create_store(place.store, database=place.database).close()


def _listed(place: Place) -> None:
    with create_store(place.store, database=place.database) as store:
        fill_lists(store, place.url)
        store.sync_unionizes(api_url=place.url)


def fetched(place: Place) -> None:
    """A store with lists, tables and two volumes."""
    place.begin(_listed)
    _fetch(place, 0)
    _fetch(place, 1)


def averaged(place: Place) -> None:
    """A store with lists, tables, two volumes and their average."""
    place.begin(fetched)
    _aggregate(place)


def _with_cache(place: Place) -> None:
    place.begin(_empty)
    cache = place.folder / "mouse"
    first = cache / f"experiment_{IDS[0]}"
    first.mkdir(parents=True)
    (cache / "structures.json").write_text(json.dumps(wire.structure_rows(structure_sets=True)))
    lines = [row for each in IDS for row in wire.connectivity_rows(ATLAS.experiment(each))]
    (cache / "experiments.json").write_text(json.dumps(lines))
    (first / "projection_density_100.nrrd").write_bytes(
        wire_volumes.grid_nrrd(ATLAS, IDS[0], "projection_density", 100)
    )


def _with_bundle(place: Place) -> None:
    place.begin(averaged)
    with place.open() as store:
        store.dataset("average@1").export(place.folder / "given.bsv.zip")
    place.forget_store()
    place.begin(fetched)


def _with_old_exports(place: Place) -> None:
    place.begin(averaged)
    for name in _EXPORTED:
        (place.folder / name).write_bytes(_OLD)


def _with_garbage(place: Place) -> None:
    place.begin(averaged)
    with place.open() as store:
        store.aggregate(IDS[:1], name="other")
        store.datasets.delete("other@1", force=True)
        volume = next((store.path / "volumes").rglob("*.h5"))
        shutil.copy(volume, volume.with_name(f"9999999999.{'0' * 16}.h5"))


def _with_old_schema(place: Place) -> None:
    place.begin(averaged)
    downgrade_store(place.store, revision=_OLD_REVISION, make_backup=False)


def _backed_up(place: Place) -> None:
    place.begin(averaged)
    _back_up(place)
    place.forget_store()


def _backed_up_twice(place: Place) -> None:
    place.begin(averaged)
    _back_up(place)
    _tag(place)
    _back_up(place)


def _tagged(place: Place) -> None:
    place.begin(averaged)
    _tag(place)


def _with_annotation_file(place: Place) -> None:
    place.begin(_listed)
    (place.folder / "annotation_100.nrrd").write_bytes(wire_volumes.annotation_nrrd(100))


def _with_unrecorded_result(place: Place) -> None:
    """The result of a version that an older catalog does not have."""
    place.begin(averaged)
    with place.open() as store:
        version = store.aggregate(IDS[1:2], name="average")
        with sealed_changes(store.database) as connection:
            delete_version_rows(connection, version_id(connection, parse_ref(version.ref)))


def _with_lost_volume(place: Place) -> None:
    """A volume that is missing, and cannot be downloaded again without a network."""
    place.begin(averaged)
    with place.open() as store:
        store.fetch(IDS[:1], kind="injection_density", api_url=place.url)
        Path(store.volumes.describe(IDS[0], kind="injection_density")["path"]).unlink()


def _with_trash(place: Place) -> None:
    place.begin(averaged)
    _tag(place)
    _delete(place)


def damaged(place: Place) -> None:
    """A store with an average, of which a volume is missing and the result is damaged."""
    place.begin(averaged)
    first, *_ = sorted((place.store / "volumes").rglob("*.h5"))
    first.unlink()
    _damage_result(place)


def _with_damaged_result(place: Place) -> None:
    place.begin(averaged)
    _damage_result(place)


def _damage_result(place: Place) -> None:
    (result,) = (place.store / "datasets").rglob("*.nc")
    data = bytearray(result.read_bytes())
    data[len(data) // 2] ^= 1
    result.write_bytes(data)


# -- steps -------------------------------------------------------------------------------------------------------------


def _create(place: Place) -> None:
    try:
        create_store(place.store, database=place.database).close()
    except StoreExistsError:
        place.open().close()


def _sync(what: str) -> Callable[[Place], None]:
    def run(place: Place) -> None:
        with place.open() as store:
            getattr(store, f"sync_{what}")(api_url=place.url)

    return run


def _fetch(place: Place, number: int) -> None:
    with place.open() as store:
        report = store.fetch(IDS[number : number + 1], api_url=place.url)
    if report.reasons:
        raise IncompleteError(f"not fetched: {report.reasons}")


def _annotate(place: Place) -> None:
    with place.open() as store:
        store.sync_annotation(download_url=place.url)


def _sync_template(place: Place) -> None:
    with place.open() as store:
        store.sync_template(download_url=place.url)


def _ingest_annotation(place: Place) -> None:
    with place.open() as store:
        store.ingest_annotation(place.folder / "annotation_100.nrrd")


def _adopt(place: Place) -> None:
    with place.open() as store:
        report = store.adopt(place.folder / "mouse")
    if report.refused:
        raise IncompleteError(f"not adopted: {report.refused}")


def _aggregate(place: Place) -> None:
    with place.open() as store:
        store.aggregate(IDS[:2], name="average", workers=1)


def _fetch_large(place: Place) -> None:
    with small_is_large():
        _fetch(place, 0)


def _aggregate_large(place: Place) -> None:
    with small_is_large():
        _aggregate(place)


def _import(place: Place) -> None:
    with place.open() as store:
        store.datasets.import_bundle(place.folder / "given.bsv.zip", workers=1)


_EXPORTED = ("average.bsv.zip", "average.nrrd")


def _export(name: str) -> Callable[[Place], None]:
    def run(place: Place) -> None:
        with place.open() as store:
            store.dataset("average@1").export(place.folder / name, overwrite=True)

    return run


def _tag(place: Place) -> None:
    with place.open() as store:
        store.datasets.tag("average@1", "figure")


def _untag(place: Place) -> None:
    with place.open() as store:
        if store.dataset("average@1").tags:
            store.datasets.untag("average", "figure")


def _exclude(place: Place) -> None:
    with place.open() as store:
        store.catalog.exclude(IDS[2:], "a bad injection", replace=True)


def _delete(place: Place) -> None:
    with place.open() as store:
        if store.datasets.list():
            store.datasets.delete("average@1", force=True)


def _collect(place: Place) -> None:
    with place.open() as store:
        # The second time purges what the first one moved to the trash.
        for _ in range(2):
            store.admin.collect_garbage(apply=True, grace=timedelta(0), trash_days=0)


def _upgrade(place: Place) -> None:
    upgrade_store(place.store)


def _downgrade_and_upgrade(place: Place) -> None:
    if schema_state(place.store).revision != _OLD_REVISION:
        downgrade_store(place.store, revision=_OLD_REVISION, make_backup=False)
    upgrade_store(place.store, make_backup=False)


def _back_up(place: Place) -> None:
    with place.open() as store, warnings.catch_warnings():
        # A complete backup that cannot be recorded, after the catalog was lost.
        warnings.simplefilter("ignore", BsvStoreWarning)
        report = store.admin.backup(place.folder / "backup")
    if report.snapshot.problems:
        raise IncompleteError(f"not backed up: {report.snapshot.problems}")


def _restore(place: Place) -> None:
    try:
        restore_store(place.folder / "backup", place.store, database=place.database)
    except StoreExistsError:
        # An earlier run has finished.
        place.open().close()


def _repair(place: Place) -> None:
    with place.open() as store:
        _require_repaired(store.admin.repair(apply=True, api_url=place.url, workers=1))


def _adopt_results(place: Place) -> None:
    with place.open() as store:
        _require_repaired(store.admin.repair(apply=True, offline=True, adopt_results=True, workers=1))


def _drop(place: Place) -> None:
    with place.open() as store:
        _require_repaired(store.admin.repair(apply=True, offline=True, drop_missing=True, workers=1))


def _require_repaired(report: RepairReport) -> None:
    failed = [step for step in report.steps if step.outcome == "failed"]
    if report.left or failed:
        raise IncompleteError(f"not repaired: {report.left} {failed}")


def _rebuild(place: Place) -> None:
    with place.open() as store:
        report = store.datasets.rebuild("average@1", workers=1)
    if not report.is_identical:
        raise IncompleteError(f"not rebuilt: {report}")


def _untrash(place: Place) -> None:
    with place.open() as store:
        if not store.datasets.list():
            store.admin.untrash("version/average@1")


def _evict(place: Place) -> None:
    with place.open() as store:
        store.admin.enforce_quota(0, apply=True, unused_for=timedelta(0))


def _prune(place: Place) -> None:
    prune_backup(place.folder / "backup", keep_last=1, apply=True)


def _read_over_network(place: Place) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BSV_STORE_CACHE", str(place.cache))
        # Small, so that there are several.
        patch.setattr(unionizes, "PACK", 1)
        with open_store(place.served) as store:
            assert len(store.catalog.unionizes(IDS))
            assert store.volume(IDS[0]).max() > 0
            store.aggregate(IDS[:2], name="mine")


# -- facts beside the store --------------------------------------------------------------------------------------------


def _exports(place: Place) -> Facts:
    """Each export is complete: the older file, or the new one."""
    facts: Facts = {}
    for name in _EXPORTED:
        content = (place.folder / name).read_bytes()
        if content == _OLD:
            continue
        if name.endswith(".zip"):
            with zipfile.ZipFile(place.folder / name) as archive:
                assert archive.testzip() is None
                members = tuple(
                    (each.filename, each.CRC) for each in archive.infolist() if each.filename.endswith(".nc")
                )
            facts[f"export {name}"] = members
        else:
            facts[f"export {name}"] = hashlib.sha256(content).hexdigest()
    return facts


def _snapshots(place: Place) -> Facts:
    """All snapshots can be restored."""
    try:
        check = verify_backup(place.folder / "backup", deep=True)
    except InputError:
        # There is no backup yet.
        return {}
    assert not check.findings, check.findings
    # A repetition makes one more.
    return {f"snapshot {number}": True for number in range(min(check.snapshots, 2))}


def _deleted(place: Place) -> Facts:
    """The version is there, or its file is in the trash with all that restores it."""
    with place.open() as store:
        versions, items = store.datasets.list(), store.admin.trash()
        assert versions or any(each.what == "version/average@1" for each in items), items
    return {} if versions else {"deleted": True}


def _garbage(place: Place) -> Facts:
    with place.open() as store:
        return {} if store.admin.trash() else {"collected": True}


def _cached(place: Place) -> Facts:
    """No file in the cache is damaged, and averages computed here are kept."""
    findings = verify_cache(folder=place.cache).findings
    assert not findings, findings
    results = (each for server in list_cache(place.cache).servers for each in server.results)
    return {f"average {each.name}": each.content_sha256 for each in results}


def _schema(place: Place) -> Facts:
    with place.open() as store, store.database.reading() as connection:
        return {"revision": connection.execute(text("SELECT version_num FROM bsv_store_version")).scalar_one()}


JOBS = (
    Job("create", _nothing, (Step("create", _create),), is_new=True),
    Job("ingest", _empty, tuple(Step(each, _sync(each)) for each in ("structures", "experiments", "unionizes"))),
    Job(
        "fetch",
        _listed,
        (Step("first", lambda place: _fetch(place, 0)), Step("second", lambda place: _fetch(place, 1))),
    ),
    Job("fetch-large", _listed, (Step("fetch", _fetch_large),)),
    Job("annotation", _listed, (Step("annotation", _annotate),)),
    Job("annotation-file", _with_annotation_file, (Step("annotation", _ingest_annotation),)),
    Job("template", _listed, (Step("template", _sync_template),)),
    Job("adopt", _with_cache, (Step("adopt", _adopt),)),
    Job("aggregate", fetched, (Step("aggregate", _aggregate),)),
    Job("aggregate-large", fetched, (Step("aggregate", _aggregate_large),)),
    Job("import", _with_bundle, (Step("import", _import),)),
    Job("export", _with_old_exports, tuple(Step(each, _export(each)) for each in _EXPORTED), facts=_exports),
    Job("edit", averaged, (Step("tag", _tag), Step("exclude", _exclude))),
    Job("untag", _tagged, (Step("untag", _untag),), removes=("tag",)),
    Job("delete", averaged, (Step("delete", _delete),), facts=_deleted, removes=("version",)),
    Job("gc", _with_garbage, (Step("collect", _collect),), facts=_garbage, repeats=("collected",)),
    Job("migrate", _with_old_schema, (Step("upgrade", _upgrade),), facts=_schema, removes=("revision",), is_old=True),
    # Nothing can be read while the schema is old.
    Job(
        "downgrade",
        averaged,
        (Step("downgrade", _downgrade_and_upgrade),),
        facts=_schema,
        removes=("",),
        is_old=True,
    ),
    Job("backup", averaged, (Step("first", _back_up), Step("second", _back_up)), facts=_snapshots),
    Job("restore", _backed_up, (Step("restore", _restore),), is_new=True),
    Job("repair", damaged, (Step("repair", _repair),), is_damaged=True),
    Job("repair-results", _with_unrecorded_result, (Step("adopt", _adopt_results),), is_damaged=True),
    Job("repair-drop", _with_lost_volume, (Step("drop", _drop),), removes=("volume",), is_damaged=True),
    Job("rebuild", _with_damaged_result, (Step("rebuild", _rebuild),), is_damaged=True),
    Job("untrash", _with_trash, (Step("untrash", _untrash),), facts=_deleted, removes=("deleted",)),
    Job("quota", fetched, (Step("evict", _evict),), removes=("volume",)),
    Job("network", _empty, (Step("read", _read_over_network),), facts=_cached),
    Job("prune", _backed_up_twice, (Step("prune", _prune),), facts=_snapshots, removes=("snapshot",)),
)


def lost(told: Facts, found: Facts, *, later: Sequence[Facts] = (), removes: tuple[str, ...] = ()) -> list[str]:
    """Descriptions of the facts that are no longer true.

    Parameters
    ----------
    told, found : Facts
        What users were told, and what they find.
    later : sequence of Facts
        What they would be told by the next steps, which may be done already.
    removes : tuple of str
        Prefixes of the facts that those may remove.
    """
    return [
        f"{name}: {value!r} became {found.get(name)!r}"
        for name, value in told.items()
        if found.get(name) not in (value, *(each.get(name, value) for each in later))
        and not (removes and name.startswith(removes) and name not in found)
    ]


def named(name: str) -> Job:
    """A job, by its name."""
    (job,) = (each for each in JOBS if each.name == name)
    return job
