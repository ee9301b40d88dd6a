"""What tests of backups compare, and what processes of their own do."""

from __future__ import annotations

import itertools
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from bsv_store import Selection, open_store
from bsv_store.catalog.database.models import Base
from tests.processes import Child

if TYPE_CHECKING:
    from bsv_store import Store
    from bsv_store.vocabulary import VolumeKind

# Not restored; the seals of definitions exist on SQLite only.
_OWN = {"claim", "store_link", "activity"}


def rows(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    """All rows that a restored or moved catalog has in common with the original."""
    found = {}
    with store.database.reading() as connection:
        for table in Base.metadata.sorted_tables:
            if table.name not in _OWN:
                read = [tuple(row) for row in connection.execute(select(table))]
                found[table.name] = sorted((row for row in read if row[0] != "schema"), key=repr)
    return found


def assert_intact(location: Path) -> None:
    """A deep verification finds no damage, and every result can be read."""
    with open_store(location) as store:
        report = store.admin.verify(deep=True)
        assert report.is_intact, report.damage
        for summary in store.datasets.list():
            store.dataset(f"{summary.name}@latest").statistic("mean")


def assert_usable(location: Path) -> None:
    """The store takes new rows in every way: ids, version numbers, the state of the catalog."""
    with open_store(location) as store:
        before = {summary.name: summary.latest for summary in store.datasets.list()}
        state = change_count(store)
        # Recorded answers are still valid, although the rows were copied.
        if "test" in before:
            assert not store.aggregate(Selection(ids=[1, 2]), name="test").was_computed
        store.catalog.exclude([3], reason="after the restore")
        assert change_count(store) > state
        assert store.aggregate(Selection(ids=[4, 5, 6]), name="test").number == before.get("test", 0) + 1
        assert store.catalog.verify().is_intact


def change_count(store: Store) -> int:
    return int(store.sql("SELECT count(*) AS n FROM catalog_change").n[0])


def contents(folder: Path) -> dict[str, bytes]:
    return {str(each.relative_to(folder)): each.read_bytes() for each in sorted(folder.rglob("*")) if each.is_file()}


def killed(what: Any, *arguments: Any, at: str) -> None:
    """Call a function of this module in a process that dies at that checkpoint."""
    child = Child(what, *arguments, kill_at=at)
    output, errors = child.communicate(timeout=120)
    assert (child.returncode, output, errors) == (-signal.SIGKILL, "", "")


def back_up(location: Path, target: str) -> None:
    with open_store(location) as store:
        store.admin.backup(target)


def restore(target: str, location: Path, database: str | None) -> None:
    from bsv_store.store.restoring import restore_store

    restore_store(target, location, database=database)


def move(location: Path, database: str) -> None:
    from bsv_store.store.restoring import move_store

    move_store(location, database=database)


def work(location: Path, url: str, stop: Path, kind: str) -> None:
    """Fetch again, or compute and delete versions, until the file ``stop`` exists; every error is one."""
    from tests.client_defaults import client_defaults

    client_defaults()["backoff_s"] = 0.01
    with open_store(location) as store:
        ids = store.select()
        for number in itertools.count(1):
            if stop.exists():
                return
            if kind == "fetch":
                report = store.fetch(Selection(ids=ids[:6]), kind="injection_fraction", api_url=url, refresh=number > 1)
                assert not report.reasons, report.reasons
                if number > 1:
                    replace_file(store)
            else:
                volumes = store.sql("SELECT experiment_id FROM volume WHERE kind = 'projection_density'")
                some = sorted(map(int, volumes.experiment_id))[: 2 + number % 3]
                version = store.aggregate(Selection(ids=some), name=f"busy-{number % 2}")
                store.datasets.delete(version.ref)
                if number % 2:
                    purge(location)


def replace_file(store: Store) -> None:
    """Give a volume another file, as when Allen's bytes change: the old one goes to the trash."""
    from bsv_store.catalog.volumes import find_volumes, record_volume
    from bsv_store.volumes.library import publish_volume, read_array
    from bsv_store.volumes.volume import Volume

    kind: VolumeKind = "injection_fraction"
    with store.database.reading() as connection:
        query = "SELECT min(experiment_id) FROM volume WHERE kind = 'injection_fraction'"
        experiment = int(connection.exec_driver_sql(query).scalar_one())
        found = find_volumes(connection, [experiment], kind=kind, spacing_um=100)[experiment]
    volume = Volume(kind, read_array(store.files, found))
    published = publish_volume(store.files, volume, experiment_id=experiment, source=f"again {time.monotonic()}")
    with store.database.writing() as connection:
        before = record_volume(connection, published)
    if before is not None and before != published.path:
        store.files.trash(before, "replaced")


def purge(location: Path) -> None:
    """Remove all files in the trash, as a garbage collection without grace does."""
    for path in (location / "trash").iterdir():
        path.unlink(missing_ok=True)


def flip(path: Path, offset: int = -9) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


def prune_to_one(target: str) -> None:
    from bsv_store.store.restoring import prune_backup

    prune_backup(target, keep_last=1, apply=True)
