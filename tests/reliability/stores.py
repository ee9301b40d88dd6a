"""The synthetic atlas of most campaigns, stores that are filled from it, and what a store has."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bsv_store.errors import SchemaTooOldError
from bsv_store_synthetic import SyntheticAtlas

if TYPE_CHECKING:
    from bsv_store import Store

ATLAS = SyntheticAtlas(experiments=3)
IDS = ATLAS.experiment_ids
Facts = frozenset[str]

QUERIES = {
    "structures": "SELECT count(*) FROM structure",
    "experiment": "SELECT id, product_id, injection_volume FROM experiment",
    "unionizes": "SELECT experiment_id, count(*), min(id), max(id) FROM unionize GROUP BY experiment_id",
    "coverage": "SELECT experiment_id, part, content_sha256 FROM unionize_coverage",
    "volume": "SELECT kind, spacing_um, experiment_id, array_sha256 FROM volume",
    "annotation": "SELECT spacing_um, origin, derived_from_um IS NULL, array_sha256 FROM annotation",
    "template": "SELECT spacing_um, dtype, array_sha256 FROM template",
    "version": "SELECT d.name, v.number, v.fingerprint, v.content_sha256 FROM dataset_version v"
    " JOIN dataset d ON d.id = v.dataset_id",
    "tag": "SELECT d.name, t.tag, v.number FROM dataset_tag t JOIN dataset_version v ON v.id = t.version_id"
    " JOIN dataset d ON d.id = v.dataset_id",
    "exclusion": "SELECT experiment_id, reason FROM exclusion WHERE lifted_at IS NULL",
}
"""What a user was told, and can look up again: the last column is the value of what the others name."""


@contextmanager
def opened(location: Path) -> Iterator[Store]:
    from bsv_store import open_store

    with open_store(location) as store:
        yield store


def fill_lists(store: Store, url: str) -> None:
    """Structures and experiments."""
    store.sync_structures(api_url=url)
    store.sync_experiments(api_url=url)


def fill_full(store: Store, url: str) -> None:
    """Everything that a store can have."""
    fill_lists(store, url)
    store.sync_unionizes(api_url=url)
    store.sync_annotation(download_url=url)
    store.sync_template(download_url=url)
    store.fetch(IDS, api_url=url)
    store.aggregate(IDS[:2], name="average")
    store.aggregate(IDS, name="average")
    store.aggregate(IDS[1:], name="another")
    store.datasets.tag("average@1", "paper")


@contextmanager
def small_is_large() -> Iterator[None]:
    """Process volumes as at 25 um, at a size that a test can afford."""
    from bsv_store.formats import nrrd
    from bsv_store.volumes import grid

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grid, "LARGE_VOXELS", 1)
        patch.setattr(nrrd, "_BLOCK_BYTES", 1 << 20)
        yield


def facts_of(location: Path) -> Facts:
    """What a store has, one sentence for each object; for a schema that is too old, a digest of each table."""
    try:
        with opened(location) as store, store.database.reading() as connection:
            found = {
                f"{what} {tuple(row)}"
                for what, query in QUERIES.items()
                for row in connection.exec_driver_sql(query).all()
            }
            return frozenset({*found, "revision current"})
    except SchemaTooOldError:
        return _old_facts(location)


def _old_facts(location: Path) -> Facts:
    from contextlib import closing

    from bsv_store.config import read_store_config
    from bsv_store.store.connection import connect
    from tests.catalog.revisions.stores import all_rows

    with closing(connect(location, read_store_config(location), read_only=True)) as database:
        rows = all_rows(database)
    return frozenset(
        f"{table} {hashlib.sha256(repr(sorted(map(repr, found))).encode()).hexdigest()}"
        for table, found in rows.items()
        # Their rows have times.
        if table not in ("activity", "catalog_change", "schema_history", "store_link")
    )
