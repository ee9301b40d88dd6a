"""What processes do with one store at the same time. Not a test module, because they would import it again."""

from __future__ import annotations

import hashlib
import sys
import warnings
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from bsv_store import Store

# In um.
_BOX = ((5000, 6000), (2000, 4000), (3000, 8000))
Change = Literal["refresh", "collect", "verify", "delete"]


def _opened(location: Path) -> Store:
    """The store, without warnings on standard error that another process is using the catalog."""
    from bsv_store import open_store
    from bsv_store.errors import WaitingWarning

    warnings.simplefilter("ignore", WaitingWarning)
    return open_store(location)


def fetch(location: Path, url: str, ids: Sequence[int]) -> None:
    """Fetch volumes, and fail unless all of them are in the store afterwards."""
    from tests.client_defaults import client_defaults

    client_defaults()["backoff_s"] = 0.01
    with _opened(location) as store:
        report = store.fetch(ids, workers=2, api_url=url)
        assert not report.reasons, report.reasons
        assert set(report.fetched) | set(report.present) == set(ids)


def aggregate(location: Path, name: str, questions: Sequence[Sequence[int]]) -> None:
    """Average the experiments of each question, and write the numbers of the versions."""
    with _opened(location) as store:
        for ids in questions:
            sys.stdout.write(f"{store.aggregate(ids, name=name).number}\n")


def answers(store: Store, ids: Sequence[int]) -> dict[str, str]:
    """A digest of what each way of reading returns."""
    version = store.dataset("kept@1")
    matrix = store.catalog.matrix(ids, measure="projection_volume")
    found: dict[str, Any] = {
        "volumes": [store.volume(i) for i in ids[:2]],
        "slices": [store.volumes.read(ids[-1], box=_BOX)],
        "sql": store.sql("SELECT experiment_id, kind, array_sha256 FROM volume ORDER BY 1, 2").to_csv(),
        "select": store.select(),
        "dataset": [version.content_sha256, version.mean],
        "matrix": np.nan_to_num(matrix.to_numpy(dtype=float)),
    }
    return {what: _digest(value) for what, value in found.items()}


def _digest(value: Any) -> str:
    parts = value if isinstance(value, list) else [value]
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.tobytes() if isinstance(part, np.ndarray) else repr(part).encode())
    return digest.hexdigest()


def read(location: Path, ids: Sequence[int], expected: dict[str, str], rounds: int) -> None:
    """Read a number of times in every way; a value that differs from the expected one is an error."""
    for number in range(rounds):
        # Half of the readers' work is done by one that was opened long ago.
        with _opened(location) as store:
            for _ in range(2 if number else 1):
                found = answers(store, ids)
                assert found == expected, {what for what in expected if found[what] != expected[what]}
                sys.stdout.write(f"{len(found)}\n")
                sys.stdout.flush()


def change(location: Path, url: str, what: Change, ids: Sequence[int], stop: Path) -> None:
    """Change the store in one way, until the file ``stop`` exists; write a line each time."""
    from tests.client_defaults import client_defaults

    client_defaults()["backoff_s"] = 0.01
    with _opened(location) as store:
        while not stop.exists():
            if what == "refresh":
                report = store.fetch(ids, refresh=True, workers=2, api_url=url)
                assert not report.reasons, report.reasons
                store.sync_unionizes(ids, refresh=True, api_url=url)
            elif what == "collect":
                store.admin.collect_garbage(apply=True, grace=timedelta(0), trash_days=0)
            elif what == "verify":
                verified = store.admin.verify(deep=True)
                assert verified.is_intact, verified.damage
            else:
                version = store.aggregate(ids[1:], name="deleted")
                store.datasets.delete(version.ref)
            sys.stdout.write("done\n")
            sys.stdout.flush()
