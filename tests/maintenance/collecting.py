"""What processes of their own do with a store while garbage is collected."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bsv_store import Store

NONE = timedelta(0)


def missing_files(store: Store) -> list[str]:
    """The files that the database expects and the folder does not have."""
    from bsv_store.maintenance.inventory import expected_objects

    with store.database.reading() as connection:
        return [each.path for each in expected_objects(connection) if not (store.path / each.path).exists()]


def collect(location: Path, rounds: int) -> None:
    """Collect garbage without a grace period, ``rounds`` times; 0 is once, and purges the trash."""
    from bsv_store import open_store

    with open_store(location) as store:
        for _ in range(rounds or 1):
            store.admin.collect_garbage(apply=True, grace=NONE, trash_days=30 if rounds else 0)


def use(location: Path, url: str, what: str, ids: tuple[int, ...], rounds: int) -> None:
    """Use the store in one way, ``rounds`` times."""
    from bsv_store import open_store

    with open_store(location) as store:
        for number in range(rounds):
            if what == "refresh":
                report = store.fetch(ids, refresh=True, workers=2, api_url=url)
                assert not report.reasons, report.reasons
            elif what == "average":
                version = store.aggregate(ids[: 1 + number % len(ids)], name="averages")
                assert version.mean.max() > 0
            elif what == "read":
                for identifier in ids:
                    assert store.volume(identifier).max() > 0
            elif what == "delete":
                version = store.aggregate(ids, name="deleted")
                assert version.mean.max() > 0
                store.datasets.delete(version.ref)
            else:
                raise ValueError(what)
