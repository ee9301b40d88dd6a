"""A store with everything that a server can serve: made once for each database."""

from __future__ import annotations

from pathlib import Path

from bsv_store import Selection, by_coordinate, create_store
from bsv_store_synthetic import SyntheticAtlas, SyntheticServer

EXPERIMENTS = 8


def make(folder: Path, database: str | None) -> Path:
    """Create a store with unionize tables, volumes, annotation, template, versions and a saved selection."""
    with (
        SyntheticServer(SyntheticAtlas(experiments=EXPERIMENTS)) as upstream,
        create_store(folder, database=database) as store,
    ):
        store.sync_structures(api_url=upstream.url)
        store.sync_experiments(api_url=upstream.url)
        store.sync_unionizes(api_url=upstream.url)
        store.sync_annotation(download_url=upstream.url)
        store.sync_template(download_url=upstream.url)
        store.fetch(Selection(), api_url=upstream.url)
        ids = store.select()
        store.aggregate(ids, name="all", group_by=by_coordinate("AP", bins=2), statistics=("mean", "sd"))
        store.compare_voxels(ids[:4], ids[4:], name="compared", permutations=20)
        store.compare_structures(ids[:4], ids[4:], name="by-structure", permutations=20, bootstrap=20)
        store.catalog.save_selection("few", ids[:3])
        store.catalog.exclude([ids[-1]], "for a test")
    return folder
