"""Jobs of users, and what of each must be in the store afterwards."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bsv_store import Store


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


def copied(template: Path, target: Path) -> Path:
    """A copy of a store, which replaces what is at the target's folder."""
    shutil.rmtree(target.parent, ignore_errors=True)
    shutil.copytree(template, target)
    return target
