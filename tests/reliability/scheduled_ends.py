"""Changes and checks of the store of a schedule before and after it, each in a separate process."""

from __future__ import annotations

import signal
from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from bsv_store import Store, open_store
from bsv_store.volumes.files import StoreFiles
from tests.reliability.scheduled_jobs import Job, Place, attempted

_TIMEOUT_S = 120
# Findings about versions whose inputs have been refreshed.
_USUAL = ("changed_inputs",)


def damage(path: Path, what: str, place: Place) -> None:
    """Flip a bit of a stored file."""
    with open_store(path) as store:
        if what == "volume":
            file = store.files.path(store.volumes.recorded(place.ids[0]).path)
        else:
            file = store.dataset("base@2").path
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 16
    file.write_bytes(bytes(data))


def rerun(path: Path, place: Place, left: list[Job], *, is_damaged: bool) -> dict[str, Any]:
    """The content of the store before and after the jobs of killed actors were run again."""
    signal.alarm(_TIMEOUT_S)
    problems: dict[str, list[str]] = {}
    with open_store(path) as store:
        if is_damaged:
            problems["not repaired"] = [str(each) for each in store.admin.repair(apply=True, api_url=place.url).left]
        before = after = _contents(store)
        reruns = []
        if left:
            # Before they are run again, which may replace what is damaged.
            problems["damage"] = _damage_of(store)
            reruns = [attempted(store, place, job) for job in left]
            after = _contents(store)
    return {"problems": problems, "before": before, "after": after, "reruns": reruns}


def collected(path: Path, place: Place, snapshots: list[str]) -> dict[str, list[str]]:
    """What is wrong with the backups, and with the store after a garbage collection, which must leave nothing."""
    signal.alarm(_TIMEOUT_S)
    problems = {}
    with open_store(path) as store:
        # The first collection moves to the trash what the second one purges.
        for _ in range(2):
            store.admin.collect_garbage(apply=True, grace=timedelta(0), trash_days=0, allow_many=True)
        report = store.admin.verify(deep=True)
        problems["after the collection"] = [str(each) for each in report.findings if each.kind not in _USUAL]
        problems["files left"] = [str(each.relative_to(path)) for each in _rest(store.files)]
        problems["claims left"] = [each for each in store.admin.claims()["object"]]
    problems["restored"] = []
    for number, snapshot in enumerate(snapshots):
        problems["restored"] += _restored(place.backup, path.parent / f"restored-{number}", snapshot)
    return problems


def _rest(files: StoreFiles) -> Iterator[Path]:
    for name in ("tmp", "trash"):
        folder = files.root / name
        yield from folder.iterdir() if folder.is_dir() else ()


def _damage_of(store: Store) -> list[str]:
    return [str(each) for each in store.admin.verify(deep=True).findings if each.is_damage]


# Not through the methods of a store, which take ten times as long: `verify` reads the versions like these.
_VERSIONS = (
    "SELECT v.id, d.name, v.number, v.fingerprint, v.content_sha256"
    " FROM dataset_version v JOIN dataset d ON d.id = v.dataset_id ORDER BY d.name, v.number"
)
_MEMBERS = "SELECT version_id, experiment_id FROM dataset_member ORDER BY version_id, experiment_id"
_TAGS = "SELECT version_id, tag FROM dataset_tag ORDER BY version_id, tag"
_VOLUMES = "SELECT experiment_id, array_sha256 FROM volume WHERE kind = 'projection_density' AND spacing_um = 100"
_EXCLUDED = "SELECT experiment_id FROM exclusion WHERE lifted_at IS NULL ORDER BY experiment_id"


def _contents(store: Store) -> dict[str, Any]:
    members, tags = defaultdict[int, list[int]](list), defaultdict[int, list[str]](list)
    with store.database.reading() as connection:
        for version, experiment_id in connection.exec_driver_sql(_MEMBERS):
            members[version].append(experiment_id)
        for version, tag in connection.exec_driver_sql(_TAGS):
            tags[version].append(tag)
        return {
            "versions": [
                {
                    "ref": f"{name}@{number}",
                    "fingerprint": fingerprint,
                    "content": content,
                    "ids": tuple(members[version]),
                    "tags": tags[version],
                }
                for version, name, number, fingerprint, content in connection.exec_driver_sql(_VERSIONS)
            ],
            "volumes": {key: sha256 for key, sha256 in connection.exec_driver_sql(_VOLUMES)},
            "excluded": [key for (key,) in connection.exec_driver_sql(_EXCLUDED)],
        }


def _restored(backup: Path, target: Path, snapshot: str) -> list[str]:
    from bsv_store.store.restoring import restore_store

    restore_store(backup, target, snapshot=snapshot)
    with open_store(target) as store:
        return [str(each) for each in store.admin.verify(deep=True).findings if each.is_damage]
