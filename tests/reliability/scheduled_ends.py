"""Changes and checks of the store of a schedule before and after it, each in a separate process."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from bsv_store import open_store
from bsv_store.volumes.files import StoreFiles
from tests.reliability.scheduled_jobs import Job, Place, attempted, described

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
        before = after = _contents(store, place)
        reruns = []
        if left:
            # Before they are run again, which may replace what is damaged.
            problems["damage"] = _damage_of(store)
            reruns = [attempted(store, place, job) for job in left]
            after = _contents(store, place)
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


def _damage_of(store: Any) -> list[str]:
    return [str(each) for each in store.admin.verify(deep=True).findings if each.is_damage]


def _contents(store: Any, place: Place) -> dict[str, Any]:
    rows = store.datasets.versions()
    refs = [f"{row.name}@{row.number}" for row in rows.itertuples()]
    found = [store.dataset(ref) for ref in refs]
    return {
        "versions": [{**described(each), "tags": each.tags} for each in found],
        "volumes": {
            experiment_id: store.volumes.recorded(experiment_id).layout.array_sha256
            for experiment_id in place.ids
            if store.volumes.of_experiment(experiment_id)
        },
        "excluded": sorted(each.experiment_id for each in store.catalog.exclusions()),
    }


def _restored(backup: Path, target: Path, snapshot: str) -> list[str]:
    from bsv_store.store.restoring import restore_store

    restore_store(backup, target, snapshot=snapshot)
    with open_store(target) as store:
        return [str(each) for each in store.admin.verify(deep=True).findings if each.is_damage]
