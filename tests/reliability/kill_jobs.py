"""Jobs that are killed. Together they reach every checkpoint of the library.

A job is a sequence of steps, such as two downloads, one after the other. A step is acknowledged when it returns. A kill
during the third step must leave everything that the first two did; of the third step, all, a part or nothing; and
nothing else. `tests.reliability.jobs` is the list for failing disks and connections, and says why there are two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

from bsv_store.errors import BsvStoreError, NotAStoreError, SchemaTooOldError, StoreExistsError, StoreMismatchError
from bsv_store_synthetic import wire_volumes
from tests.reliability.stores import ATLAS, IDS, Facts, facts_of, opened, small_is_large
from tests.sealing import sealed_changes

if TYPE_CHECKING:
    from bsv_store import Store
    from bsv_store.vocabulary import VolumeKind

_NONE = timedelta(0)
_OLDEST = "0001"
Template = Literal["none", "lists", "full"]


@dataclass(frozen=True)
class World:
    """What a job may use.

    Attributes
    ----------
    folder : pathlib.Path
        Has the store, and the other files of the job.
    url : str
        Address of the synthetic Allen server.
    database : str or None
        An empty Postgres database for a store that the job creates; None on SQLite.
    served : str
        Address of the store on a server.
    """

    folder: Path
    url: str
    database: str | None = None
    served: str = ""

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @property
    def other(self) -> Path:
        """Folder of a store that the job creates."""
        return self.folder / "other"

    @property
    def cache(self) -> Path:
        """Of stores on servers."""
        return self.folder / "cache-of-servers"

    @property
    def target(self) -> str:
        """For backups."""
        return str(self.folder / "backups")


def _store_facts(world: World) -> Facts:
    return facts_of(world.store)


def _other_facts(world: World) -> Facts:
    try:
        return facts_of(world.other)
    except NotAStoreError:
        return frozenset()


# -- jobs -------------------------------------------------------------------------------------------------------------

Steps = Iterator[None]


def _nothing(_world: World) -> None:
    return None


@dataclass(frozen=True)
class Job:
    """A job of a user, and how it is checked.

    Attributes
    ----------
    run : callable
        A generator of steps. Run again after a kill, it completes the work.
    prepare : callable
        Called once, with the template.
    template : Template
        The store that the job starts from.
    facts : callable
        What is there; see `facts_of`.
    store : {'store', 'other'}
        The one that must be intact afterwards.
    refused : tuple of exception types
        With which a store may refuse to be opened between the kill and the next run.
    is_atomic : bool
        A step does all or nothing.
    is_damaged : bool
        The store is damaged until the job is done.
    asks_once : callable, optional
        Parts of the addresses that must not be requested again, from what the kill left.
    new_database : {'no', 'same', 'other'}
        The kind of the empty database that it needs.
    databases : tuple of str
    """

    name: str
    run: Callable[[World], Steps]
    prepare: Callable[[World], None] = _nothing
    template: Template = "full"
    facts: Callable[[World], Facts] = _store_facts
    store: Literal["store", "other"] = "store"
    refused: tuple[type[BsvStoreError], ...] = ()
    is_atomic: bool = False
    is_damaged: bool = False
    asks_once: Callable[[World], set[str]] | None = None
    new_database: Literal["no", "same", "other"] = "no"
    databases: tuple[str, ...] = ("sqlite", "postgres")


def _fetch(world: World) -> Steps:
    for ids in (IDS[:1], IDS):
        with opened(world.store) as store:
            report = store.fetch(ids, workers=2, api_url=world.url)
            assert not report.reasons, report.reasons
        yield


def _fetch_large(world: World) -> Steps:
    with small_is_large(), opened(world.store) as store:
        report = store.fetch(IDS[:2], kind="injection_density", api_url=world.url)
        assert not report.reasons, report.reasons
    yield


def _published(world: World, kind: VolumeKind) -> set[str]:
    folder = world.store / "volumes" / kind / "100um"
    return {f"/{path.name.partition('.')[0]}?" for path in folder.glob("*.h5")} if folder.is_dir() else set()


def _sync(world: World) -> Steps:
    from bsv_store.acquisition.sync import sync_unionizes
    from bsv_store.sources.allen import AllenClient

    for ids in (IDS[:1], IDS):
        with opened(world.store) as store, AllenClient(api_url=world.url) as client:
            # In small batches, so that the process can be killed between two.
            tables = sync_unionizes(store.database, client, ids, batch=1)
            assert not tables.reasons, tables.reasons
        yield


def _recorded_tables(world: World) -> set[str]:
    with opened(world.store) as store:
        return {f"section_data_set_id$in{i}]" for i in store.sql("SELECT DISTINCT experiment_id i FROM unionize")["i"]}


def _annotation(spacing_um: int) -> Callable[[World], Steps]:
    def run(world: World) -> Steps:
        with opened(world.store) as store:
            store.sync_annotation(spacing_um=spacing_um, download_url=world.url)
        yield

    return run


def _published_annotation(world: World) -> set[str]:
    return {"annotation"} if list((world.store / "volumes").rglob("annotation*.h5")) else set()


def _published_template(world: World) -> set[str]:
    return {"average_template"} if list((world.store / "volumes").rglob("template*.h5")) else set()


def _template(world: World) -> Steps:
    with opened(world.store) as store:
        store.sync_template(download_url=world.url)
    yield


def _write_template(world: World) -> None:
    (world.folder / "average_template_100.nrrd").write_bytes(wire_volumes.template_nrrd(100))


def _ingest_template(world: World) -> Steps:
    with opened(world.store) as store:
        store.ingest_template(world.folder / "average_template_100.nrrd")
    yield


def _write_annotation(world: World) -> None:
    (world.folder / "annotation_100.nrrd").write_bytes(wire_volumes.annotation_nrrd(100))


def _ingest_annotation(world: World) -> Steps:
    with opened(world.store) as store:
        store.ingest_annotation(world.folder / "annotation_100.nrrd")
    yield


def _write_cache(world: World) -> None:
    from tests.plausibility.caches import write_cache

    for i in IDS[:2]:
        write_cache(world.folder / "cache", i, {"projection_density": ATLAS.volume(i)})


def _adopt(world: World) -> Steps:
    with opened(world.store) as store:
        report = store.adopt(world.folder / "cache")
        assert not report.refused, report.refused
    yield


def _aggregate(world: World) -> Steps:
    for ids in (IDS[:1], IDS[1:]):
        with opened(world.store) as store:
            version = store.aggregate(ids, name="new")
            assert version.mean.max() > 0
        yield


def _aggregate_large(world: World) -> Steps:
    with small_is_large():
        yield from _aggregate(world)


def _damage_result(world: World) -> None:
    with opened(world.store) as store:
        path = store.dataset("average@2").path
    path.write_bytes(path.read_bytes()[:-1])


def _rebuild(world: World) -> Steps:
    with opened(world.store) as store:
        assert store.datasets.rebuild("average@2").is_identical
        assert store.dataset("average@2").mean.max() > 0
    yield


def _tag(world: World) -> Steps:
    for ref, tag, is_moved in (("average@2", "draft", False), ("average@2", "paper", True)):
        with opened(world.store) as store:
            store.datasets.tag(ref, tag, move=is_moved)
        yield


def _untag(world: World) -> Steps:
    with opened(world.store) as store:
        if store.dataset("average@1").tags:
            store.datasets.untag("average", "paper")
    yield


def _delete(world: World) -> Steps:
    for ref in ("average@1", "another@1"):
        with opened(world.store) as store:
            if ref in _refs(store):
                store.datasets.delete(ref, force=True)
        yield


def _refs(store: Store) -> set[str]:
    return {f"{row.name}@{row.number}" for row in store.datasets.versions().itertuples()}


def _litter(world: World) -> None:
    """Garbage of every kind."""
    from bsv_store.acquisition.work.claims import Claims

    with opened(world.store) as store:
        store.datasets.delete("average@1", force=True)
        store.datasets.delete("another@1")
        expired = Claims(store.database, lease_s=-1.0)
        with store.database.writing() as connection:
            expired.take(connection, [f"volume/projection_density/100/{IDS[0]}"])
    for name in (
        f"volumes/projection_density/100um/{IDS[0]}.0123456789abcdef.h5",
        f"tmp/{'0' * 16}-1-1-0123456789abcdef.tmp",
    ):
        (world.store / name).write_bytes(b"of a run that was aborted")
        (world.store / name).chmod(0o664)


def _collect(world: World) -> Steps:
    with opened(world.store) as store:
        store.admin.collect_garbage(apply=True, grace=_NONE, trash_days=0)
    yield


def _evict(world: World) -> Steps:
    with opened(world.store) as store:
        store.admin.enforce_quota(0, apply=True, unused_for=_NONE)
    yield


def _prepare_eviction(world: World) -> None:
    """Volumes that no version needs."""
    with opened(world.store) as store:
        store.fetch(IDS, kind="injection_density", api_url=world.url)


def _damage(world: World) -> None:
    """Damage for every kind of repair."""
    from tests.maintenance.backup.checks import flip

    with opened(world.store) as store:
        store.fetch(IDS, kind="injection_density", api_url=world.url)
        paths = {i: Path(store.volumes.describe(i)["path"]) for i in IDS}
        lost = Path(store.volumes.describe(IDS[0], kind="injection_density")["path"])
        unrecorded = store.volumes.describe(IDS[1], kind="injection_density")["path"]
        result = store.dataset("average@2").path
        with store.database.writing() as connection:
            name = Path(unrecorded).relative_to(store.path).as_posix()
            connection.exec_driver_sql(f"DELETE FROM volume WHERE path = '{name}'")
    # Two exchanged files, one with a flipped bit, and one that no server has any longer.
    first, second, third = paths.values()
    first.rename(first.with_suffix(".x"))
    second.rename(first)
    first.with_suffix(".x").rename(second)
    for path in (third, result, lost):
        flip(path)


def _repair(world: World) -> Steps:
    with opened(world.store) as store:
        report = store.admin.repair(apply=True, drop_missing=True, api_url=world.url)
        assert report.left == (), str(report)
    yield


def _forget_result(world: World) -> None:
    """A result whose version an older catalog does not have."""
    from bsv_store.datasets.refs import parse_ref
    from bsv_store.datasets.table import delete_version_rows, version_id

    with opened(world.store) as store:
        version = store.aggregate(IDS[1:], name="average")
        with sealed_changes(store.database) as connection:
            delete_version_rows(connection, version_id(connection, parse_ref(version.ref)))


def _adopt_results(world: World) -> Steps:
    with opened(world.store) as store:
        report = store.admin.repair(apply=True, offline=True, adopt_results=True)
        assert report.left == (), str(report)
        # A result that could not be adopted is no damage: the next run adopts it.
        is_done = all(step.outcome != "failed" for step in report.steps)
    if is_done:
        yield


def _lose_volume(world: World) -> None:
    """A damaged volume that its server no longer has."""
    from tests.maintenance.backup.checks import flip

    with opened(world.store) as store:
        store.fetch(IDS[:1], kind="injection_density", api_url=world.url)
        flip(Path(store.volumes.describe(IDS[0], kind="injection_density")["path"]))


def _drop(world: World) -> Steps:
    with opened(world.store) as store:
        store.admin.repair(apply=True, drop_missing=True, offline=True)
    yield


def _throw_away(world: World) -> None:
    with opened(world.store) as store:
        store.datasets.delete("average@2")
        store.fetch(IDS[:1], kind="injection_density", api_url=world.url)
        path = Path(store.volumes.describe(IDS[0], kind="injection_density")["path"])
        with sealed_changes(store.database) as connection:
            connection.exec_driver_sql("DELETE FROM volume WHERE kind = 'injection_density'")
        store.files.trash(path.relative_to(store.path).as_posix(), "orphan")
        for numbers in (store.path / "datasets" / ".numbers").iterdir():
            numbers.unlink()


def _untrash(world: World) -> Steps:
    for what in ("version/average@2", f"volume/injection_density/100/{IDS[0]}"):
        with opened(world.store) as store:
            if what in {each.what for each in store.admin.trash()}:
                store.admin.untrash(what)
        yield


def _bundle(world: World) -> None:
    with opened(world.store) as store:
        store.dataset("average@2").export(world.folder / "average.bsv.zip")
        store.datasets.delete("average@2", force=True)
        store.admin.collect_garbage(apply=True, grace=_NONE, trash_days=0)


def _import(world: World) -> Steps:
    with opened(world.store) as store:
        assert store.datasets.import_bundle(world.folder / "average.bsv.zip", name="theirs").mean.max() > 0
    yield


def _targets(world: World) -> tuple[str, str]:
    return world.target, f"file://{world.folder}/backups-by-url"


def _back_up(world: World) -> Steps:
    for target in _targets(world):
        with opened(world.store) as store:
            store.admin.backup(target)
        yield


def _backup_facts(world: World) -> Facts:
    """The snapshots of both targets, all of which must be intact: their number is what a step adds to."""
    from bsv_store.store.restoring import list_backups, verify_backup

    found = set(_store_facts(world))
    for number, target in enumerate(_targets(world)):
        if not (Path(target.removeprefix("file://")) / "bsv-backup.json").exists():
            continue
        snapshots, damaged = list_backups(target)
        assert not damaged, damaged
        assert verify_backup(target, deep=True).findings == ()
        if snapshots:
            found.add(f"backup in target {number}")
    return frozenset(found)


def _three_backups(world: World) -> None:
    for number in range(3):
        with opened(world.store) as store:
            store.admin.backup(world.target)
            store.aggregate(IDS[: 1 + number], name="other")


def _prune(world: World) -> Steps:
    from bsv_store.store.restoring import prune_backup

    prune_backup(world.target, keep_last=1, apply=True)
    yield


def _snapshot_facts(world: World) -> Facts:
    from bsv_store.store.restoring import list_backups, verify_backup

    snapshots, damaged = list_backups(world.target)
    assert not damaged, damaged
    assert verify_backup(world.target, deep=True).findings == ()
    return frozenset({*_store_facts(world), *(f"backup {number}" for number, _ in enumerate(snapshots))})


def _one_backup(world: World) -> None:
    with opened(world.store) as store:
        store.admin.backup(world.target)


def _restore(world: World) -> Steps:
    from bsv_store.store.restoring import restore_store

    # A store that is complete is never changed.
    with suppress(StoreExistsError):
        restore_store(world.target, world.other, database=world.database)
    yield


def _move(world: World) -> Steps:
    from bsv_store.config import read_store_config
    from bsv_store.store.restoring import move_store

    to = world.database or "sqlite"
    if read_store_config(world.store).database != to:
        move_store(world.store, database=to)
    yield


def _downgrade_all(world: World) -> None:
    from bsv_store.store.schema_changes import downgrade_store

    downgrade_store(world.store, revision=_OLDEST, make_backup=False)


def _upgrade(world: World) -> Steps:
    from bsv_store.store.opening import upgrade_store

    upgrade_store(world.store, make_backup=False)
    yield


def _downgrade(world: World) -> Steps:
    from bsv_store.store.opening import schema_state

    if schema_state(world.store).revision != _OLDEST:
        _downgrade_all(world)
    yield


def _create(world: World) -> Steps:
    from bsv_store import create_store

    with suppress(StoreExistsError):
        create_store(world.other, database=world.database).close()
    yield


def _read_over_network(world: World) -> Steps:
    from bsv_store.remote import unionizes

    with pytest.MonkeyPatch.context() as patch:
        # Small, so that there are several.
        patch.setattr(unionizes, "PACK", 1)
        with opened_url(world.served) as store:
            assert len(store.catalog.unionizes(IDS))
            assert store.volume(IDS[0]).max() > 0
            assert store.aggregate(IDS[1:], name="mine").mean.max() > 0
    yield


@contextmanager
def opened_url(url: str) -> Iterator[Store]:
    from bsv_store import open_store

    with open_store(url) as store:
        yield store


def _network_facts(world: World) -> Facts:
    """Values read from a server, and averages computed on this computer."""
    from bsv_store.remote.cache import list_cache, verify_cache

    assert verify_cache(folder=world.cache).findings == ()
    results = (each for server in list_cache(world.cache).servers for each in server.results)
    return _store_facts(world) | {f"average {each.name} {each.content_sha256}" for each in results}


JOBS = (
    Job(
        "create",
        _create,
        template="none",
        facts=_other_facts,
        store="other",
        refused=(NotAStoreError,),
        new_database="same",
    ),
    Job("fetch", _fetch, template="lists", asks_once=lambda world: _published(world, "projection_density")),
    Job("fetch-large", _fetch_large, template="lists", asks_once=lambda world: _published(world, "injection_density")),
    Job("sync", _sync, template="lists", asks_once=_recorded_tables),
    Job("annotation", _annotation(100), template="lists", is_atomic=True, asks_once=_published_annotation),
    Job("annotation-derived", _annotation(50), template="lists", asks_once=_published_annotation),
    Job("annotation-file", _ingest_annotation, _write_annotation, "lists", is_atomic=True),
    Job("template", _template, template="lists", is_atomic=True, asks_once=_published_template),
    Job("template-file", _ingest_template, _write_template, "lists", is_atomic=True),
    Job("adopt", _adopt, _write_cache, "lists"),
    Job("aggregate", _aggregate, is_atomic=True),
    Job("aggregate-large", _aggregate_large, is_atomic=True),
    Job("rebuild", _rebuild, _damage_result, is_damaged=True),
    Job("tag", _tag, is_atomic=True),
    Job("untag", _untag, is_atomic=True),
    Job("delete", _delete, is_atomic=True),
    Job("gc", _collect, _litter),
    Job("quota", _evict, _prepare_eviction),
    Job("repair", _repair, _damage, is_damaged=True),
    Job("repair-results", _adopt_results, _forget_result, is_damaged=True),
    Job("repair-drop", _drop, _lose_volume, is_damaged=True),
    Job("untrash", _untrash, _throw_away, is_atomic=True),
    Job("import", _import, _bundle, is_atomic=True),
    Job("backup", _back_up, facts=_backup_facts),
    Job("prune", _prune, _three_backups, facts=_snapshot_facts),
    Job(
        "restore",
        _restore,
        _one_backup,
        facts=_other_facts,
        store="other",
        refused=(NotAStoreError,),
        is_atomic=True,
        new_database="same",
    ),
    Job("move", _move, refused=(StoreMismatchError,), is_atomic=True, new_database="other"),
    Job("upgrade", _upgrade, _downgrade_all, refused=(SchemaTooOldError,), is_atomic=True),
    Job("downgrade", _downgrade, refused=(SchemaTooOldError,), is_atomic=True),
    Job("network", _read_over_network, facts=_network_facts, databases=("sqlite",)),
)
BY_NAME = {job.name: job for job in JOBS}
