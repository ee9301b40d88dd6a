"""What past versions of the package do in the tests of upgrades. A script that imports them instead of this version."""

from __future__ import annotations

import hashlib
import json
import sys
import warnings
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

import bsv_store
from bsv_store import Selection, create_store, open_store


def _hash(array: Any) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def _datasets(store: Any) -> Any:
    # A method until revision 0004.
    return store.versions if hasattr(store, "versions") else store.datasets


def _id(excluded: Any) -> int:
    # The name until revision 0005.
    return int(excluded.id if hasattr(excluded, "id") else excluded.experiment_id)


def fill(folder: str, url: str, database: str, bundle: str) -> dict[str, Any]:
    """Create a store, and fill it with everything that a store of any revision can contain."""
    options: dict[str, Any] = {"database": database} if database else {}
    with closing(create_store(folder, **options)) as store:
        store.sync_structures(api_url=url)
        store.sync_experiments(api_url=url)
        store.sync_unionizes(api_url=url)
        ids = [int(each) for each in store.select(Selection())]
        store.fetch(Selection(ids=ids[:3]), api_url=url)
        places: list[Any] = [store, getattr(store, "anatomy", None), getattr(store, "atlas", None)]
        for place in places:
            if hasattr(place, "sync_annotation"):
                place.sync_annotation(download_url=url)
                break
        versions = [store.aggregate(Selection(ids=ids[:count]), name="visual") for count in (2, 3)]
        _datasets(store).tag("visual@1", "figure-1")
        store.catalog.save_selection("mine", Selection(ids=ids[:2]), note="for figure 1")
        store.catalog.exclude([ids[3]], "bad section")
        versions[0].export(bundle)
        if hasattr(store, "admin") and hasattr(store.admin, "backup"):
            store.admin.backup(Path(bundle).with_name("backup"))
        return _facts(store, ids)


def read(folder: str, *, versions: bool = True) -> dict[str, Any]:
    """The content of a store that `fill` made."""
    with closing(open_store(folder)) as store:
        ids = {*store.select(Selection()), *map(_id, store.catalog.exclusions())}
        return _facts(store, sorted(map(int, ids)), with_versions=versions)


def _facts(store: Any, ids: list[int], *, with_versions: bool = True) -> dict[str, Any]:
    sums = store.sql(
        "SELECT experiment_id, count(*) AS n, sum(projection_volume) AS total FROM unionize"
        " GROUP BY experiment_id ORDER BY experiment_id"
    )
    facts: dict[str, Any] = {}
    if with_versions:
        versions = [store.dataset(f"visual@{number}") for number in (1, 2)]
        facts = {
            "contents": [each.content_sha256 for each in versions],
            "means": [_hash(each.mean) for each in versions],
            "tagged": store.dataset("visual@figure-1").number,
        }
    return {
        **facts,
        "ids": ids,
        "volumes": [_hash(store.volume(each)) for each in ids[:3]],
        "selected": [int(each) for each in store.select(store.catalog.selection("mine"))],
        "notes": [each.note for each in store.catalog.selections()],
        "exclusions": [[_id(each), each.reason] for each in store.catalog.exclusions()],
        "sums": [[int(row.experiment_id), int(row.n), round(float(row.total), 9)] for row in sums.itertuples()],
    }


def try_to_open(folder: str) -> dict[str, Any]:
    """The names of the classes of the error that opening raises, and its text; no names if it is opened."""
    try:
        open_store(folder).close()
    except Exception as error:  # noqa: BLE001 - the test that reads the answer judges it
        return {"error": [each.__name__ for each in type(error).__mro__], "text": str(error)}
    return {"error": [], "text": ""}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    calls: dict[str, Callable[..., dict[str, Any]]] = {"fill": fill, "read": read, "try_to_open": try_to_open}
    answer = calls[sys.argv[1]](*sys.argv[2:])
    sys.stdout.write(json.dumps({**answer, "package": bsv_store.__file__}))
